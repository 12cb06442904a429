//! What a token says.

use serde_json::Value;

use super::{Object, Refused, invalid};
use crate::session::unix_now;

/// The claims of a token.
#[derive(Debug)]
pub(super) struct Claims(pub(super) Object);

/// Seconds by which clocks may differ.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TimeRules {
    pub(super) expires: u64,
    pub(super) issued: u64,
    pub(super) not_before: u64,
}

impl Claims {
    /// The text of a claim.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// When the token expires, in seconds since 1970.
    pub(super) fn expires(&self) -> Option<i64> {
        self.0.get("exp").and_then(seconds)
    }

    /// Whom the token is for: the claim that the definition names, or `sub`.
    pub(super) fn identity(&self, claim: &str) -> Result<String, Refused> {
        let said = |reason: String| Err(Refused::Identity(reason));
        match self.text(claim).filter(|_| !claim.is_empty()) {
            Some("") => {
                return said(format!(
                    "found an empty user ID in predefined base field claim {claim}"
                ));
            }
            Some(id) => return Ok(id.to_owned()),
            None => {}
        }
        match self.text("sub") {
            Some("") => said("found an empty user ID in sub claim".into()),
            Some(id) => Ok(id.to_owned()),
            None => said("no suitable claims for user ID were found".into()),
        }
    }

    /// Checks the three times, as far as the token has them. One that is no number is not
    /// taken for one that is absent.
    pub(super) fn check_time(&self, rules: TimeRules) -> Result<(), Refused> {
        let now = unix_now();
        let skew = |skew: u64| i64::try_from(skew).unwrap_or(i64::MAX);
        let holds = |claim: &str, test: &dyn Fn(i64) -> bool| match self.0.get(claim) {
            None => true,
            Some(value) => seconds(value).is_some_and(test),
        };
        let expires = now.saturating_sub(skew(rules.expires));
        if !holds("exp", &|time| expires < time) {
            return Err(Refused::Time("token has expired"));
        }
        let issued = now.saturating_add(skew(rules.issued));
        if !holds("iat", &|time| time <= issued) {
            return Err(Refused::Time("token used before issued"));
        }
        let not_before = now.saturating_add(skew(rules.not_before));
        if !holds("nbf", &|time| time <= not_before) {
            return Err(Refused::Time("token is not valid yet"));
        }
        Ok(())
    }

    /// Checks who has issued the token and for whom, where the definition says.
    pub(super) fn check_parties(
        &self,
        issuers: &[String],
        audiences: &[String],
    ) -> Result<(), Refused> {
        let issuer = self.text("iss");
        if !issuers.is_empty() && !issuers.iter().any(|known| Some(known.as_str()) == issuer) {
            return Err(invalid(format!("issuer {issuer:?} is not accepted")));
        }
        let mut meant: Vec<&str> = self.text("aud").into_iter().collect();
        if let Some(Value::Array(all)) = self.0.get("aud") {
            meant.extend(all.iter().filter_map(Value::as_str));
        }
        if !audiences.is_empty()
            && !audiences
                .iter()
                .any(|known| meant.contains(&known.as_str()))
        {
            return Err(invalid(format!("audience {meant:?} is not accepted")));
        }
        Ok(())
    }

    /// The scopes in a claim, whose name may lead into objects: words of a text, or a list.
    pub(super) fn scopes(&self, claim: &str) -> Vec<&str> {
        let mut steps = claim.split('.');
        let first = steps.next().and_then(|step| self.0.get(step));
        let found = steps.fold(first, |value, step| value?.get(step));
        match found {
            Some(Value::String(text)) => text.split(' ').filter(|word| !word.is_empty()).collect(),
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

/// A time as tokens have it: a number, with a fraction or without.
#[allow(
    clippy::cast_possible_truncation,
    reason = "a conversion from a float saturates, and the fraction of a second is left out"
)]
fn seconds(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_f64().map(|time| time as i64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(value: Value) -> Claims {
        match value {
            Value::Object(map) => Claims(map),
            _ => unreachable!("tests give objects"),
        }
    }

    #[test]
    fn times_are_checked_with_their_skew() {
        let now = unix_now();
        let rules = TimeRules {
            expires: 100,
            issued: 100,
            not_before: 100,
        };
        for (value, strict, skewed) in [
            (json!({}), true, true),
            (
                json!({"exp": now + 50, "iat": now - 50, "nbf": now - 50}),
                true,
                true,
            ),
            (json!({"exp": now - 50}), false, true),
            (json!({"exp": now - 150}), false, false),
            (json!({"exp": now as f64 + 50.5}), true, true),
            (json!({"exp": 0}), false, false),
            (json!({"exp": "never"}), false, false),
            (json!({"exp": {}}), false, false),
            (json!({"iat": now + 50}), false, true),
            (json!({"nbf": now + 50}), false, true),
            (json!({"nbf": now + 150}), false, false),
            (json!({"nbf": 1e300}), false, false),
        ] {
            let found = claims(value.clone());
            let none = TimeRules::default();
            assert_eq!(found.check_time(none).is_ok(), strict, "{value}");
            assert_eq!(found.check_time(rules).is_ok(), skewed, "{value}");
        }
    }

    #[test]
    fn identities_are_found_and_never_empty() {
        for (value, claim, expected) in [
            (json!({"sub": "s"}), "", Ok("s")),
            (json!({"sub": "s", "user": "u"}), "user", Ok("u")),
            (json!({"sub": "s", "user": 7}), "user", Ok("s")),
            (
                json!({"sub": "s", "user": ""}),
                "user",
                Err("base field claim user"),
            ),
            (json!({"sub": ""}), "", Err("empty user ID in sub")),
            (json!({"": "x"}), "", Err("no suitable claims")),
            (json!({"sub": ["s"]}), "", Err("no suitable claims")),
        ] {
            match (claims(value).identity(claim), expected) {
                (Ok(found), expected) => assert_eq!(Ok(&*found), expected),
                (Err(refused), Err(part)) => assert!(refused.to_string().contains(part)),
                (Err(refused), Ok(_)) => panic!("{refused}"),
            }
        }
    }

    #[test]
    fn scopes_are_words_or_lists_at_the_end_of_a_path() {
        for (value, claim, expected) in [
            (json!({"scope": "a b"}), "scope", &["a", "b"][..]),
            (json!({"x": {"y": ["a b", 1]}}), "x.y", &["a b"]),
            (json!({"x": "a"}), "x.y", &[]),
            (json!({}), "scope", &[]),
        ] {
            assert_eq!(claims(value).scopes(claim), expected);
        }
    }

    #[test]
    fn parties_have_to_match_where_some_are_named() {
        let list = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let (issuer, audience) = (list(&["i", "j"]), list(&["a"]));
        for (value, expected) in [
            (json!({"iss": "i", "aud": "a"}), true),
            (json!({"iss": "j", "aud": ["x", "a"]}), true),
            (json!({"iss": "k", "aud": "a"}), false),
            (json!({"iss": "i", "aud": ["x"]}), false),
            (json!({"iss": "i"}), false),
            (json!({"aud": "a"}), false),
        ] {
            let found = claims(value.clone());
            assert_eq!(
                found.check_parties(&issuer, &audience).is_ok(),
                expected,
                "{value}"
            );
            assert!(found.check_parties(&[], &[]).is_ok());
        }
    }
}
