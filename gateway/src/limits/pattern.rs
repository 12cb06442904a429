//! `rate_limit_pattern`: an entry of a session's metadata that says whose requests are
//! counted together, in the place of its key.

use std::borrow::Cow;

use coprocess_core::Session;

use crate::exchange::Exchange;
use crate::traffic::text::context;

/// The entry's name.
const NAME: &str = "rate_limit_pattern";

/// What the pattern of a session says for this request; nothing where there is none, or
/// nothing is left of it.
pub fn of(session: &Session, exchange: &Exchange) -> Option<String> {
    let pattern = session.metadata.get(NAME)?;
    let text = expand(pattern, |kind, name| match kind {
        "$tyk_meta." => session.metadata.get(name).map(|text| text.as_str().into()),
        _ => context(exchange, name).map(Cow::Owned),
    });
    // Organisations do not share counters because their plugins had the same idea.
    (!text.is_empty()).then(|| format!("{}\u{0}{text}", exchange.api.spec.org_id))
}

/// The text with its variables replaced; one without a value is replaced by nothing.
fn expand<'a>(text: &str, value: impl Fn(&str, &str) -> Option<Cow<'a, str>>) -> String {
    const KINDS: [&str; 2] = ["$tyk_meta.", "$tyk_context."];
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (plain, variable) = rest.split_at(at);
        expanded.push_str(plain);
        let Some(kind) = KINDS.into_iter().find(|kind| variable.starts_with(kind)) else {
            expanded.push('$');
            rest = &variable[1..];
            continue;
        };
        let name = &variable[kind.len()..];
        let belongs =
            |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
        let length = name.find(|letter| !belongs(letter)).unwrap_or(name.len());
        expanded.push_str(&value(kind, &name[..length]).unwrap_or_default());
        rest = &name[length..];
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_and_the_rest_stays() {
        let value = |kind: &str, name: &str| match (kind, name) {
            ("$tyk_meta.", "plan") => Some("gold".into()),
            ("$tyk_context.", "remote_addr") => Some("10.0.0.1".into()),
            _ => None,
        };
        for (text, expected) in [
            ("", ""),
            ("all", "all"),
            ("$tyk_meta.plan", "gold"),
            ("$tyk_meta.plan|$tyk_context.remote_addr!", "gold|10.0.0.1!"),
            ("$tyk_meta.other", ""),
            ("a$b $tyk_other.x", "a$b $tyk_other.x"),
            ("é$tyk_meta.plan é", "égold é"),
        ] {
            assert_eq!(expand(text, value), expected, "{text}");
        }
    }
}
