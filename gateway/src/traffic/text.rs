//! Texts of a definition with variables in them: `$tyk_context.…`, `$tyk_meta.…`, `$1`.

use std::collections::HashMap;

use http::header;
use percent_encoding::{percent_decode_str, utf8_percent_encode};
use regex::Regex;

use crate::coprocess::query;
use crate::exchange::Exchange;
use crate::upstream::body::RequestBody;

/// A text, taken apart.
#[derive(Debug, Default)]
pub struct Text(Vec<Part>);

#[derive(Debug)]
enum Part {
    Plain(String),
    /// A variable of the request; `None` where the API has none.
    Context(Option<String>),
    /// A value of the session's metadata.
    Meta(String),
    /// A group of a match.
    Group(usize),
}

/// What variables stand for, beyond the request itself.
#[derive(Debug, Default)]
pub struct Values {
    /// What `$0`, `$1` and so on stand for.
    pub groups: Vec<String>,
    /// More variables of the request.
    pub context: HashMap<String, String>,
}

impl Text {
    /// Takes a text apart. Variables of the request are empty where `enable_context_vars` is
    /// off. `with_groups` says that `$1` is a variable too.
    pub fn parse(text: &str, has_context: bool, with_groups: bool) -> Result<Self, String> {
        let pattern = r"\$tyk_(?P<kind>context|meta)\.(?P<name>[A-Za-z0-9_.-]+)|\$(?P<group>\d+)";
        let variables = Regex::new(pattern).expect("it is a regex");
        if let Some(start) = text.find("$secret_") {
            let rest: String = text[start..].chars().take(24).collect();
            return Err(format!("`{rest}`: secrets are not implemented"));
        }
        let (mut parts, mut end) = (Vec::new(), 0);
        for found in variables.captures_iter(text) {
            let whole = found.get(0).expect("a match has a whole");
            let part = match (found.name("kind"), found.name("name"), found.name("group")) {
                (Some(kind), Some(name), _) => {
                    let name = name.as_str().to_owned();
                    match kind.as_str() {
                        "meta" => Part::Meta(name),
                        _ => Part::Context(has_context.then_some(name)),
                    }
                }
                (_, _, Some(group)) if with_groups => {
                    Part::Group(group.as_str().parse().unwrap_or(usize::MAX))
                }
                _ => continue,
            };
            parts.push(Part::Plain(text[end..whole.start()].to_owned()));
            parts.push(part);
            end = whole.end();
        }
        parts.push(Part::Plain(text[end..].to_owned()));
        Ok(Self(parts))
    }

    /// The text for a request. `escape` makes values fit into a URL.
    pub fn render(&self, exchange: &Exchange, values: &Values, escape: bool) -> String {
        let mut text = String::new();
        for part in &self.0 {
            let value = match part {
                Part::Plain(plain) => {
                    text.push_str(plain);
                    continue;
                }
                Part::Group(group) => {
                    let value = values.groups.get(*group);
                    text.push_str(value.map_or("", String::as_str));
                    continue;
                }
                Part::Meta(name) => {
                    let session = exchange.session.as_deref();
                    session.and_then(|session| session.metadata.get(name).cloned())
                }
                Part::Context(name) => name.as_deref().and_then(|name| {
                    let own = values.context.get(name).cloned();
                    own.or_else(|| context(exchange, name))
                }),
            };
            let value = value.unwrap_or_default();
            // A URL that the text begins with stays one.
            let is_url =
                text.is_empty() && (value.starts_with("http://") || value.starts_with("https://"));
            if escape && !is_url {
                text.extend(utf8_percent_encode(&value, query::ENCODED));
            } else {
                text.push_str(&value);
            }
        }
        text
    }
}

/// A variable of the request.
pub fn context(exchange: &Exchange, name: &str) -> Option<String> {
    let head = &exchange.head;
    match name {
        "path" => {
            return Some(
                percent_decode_str(head.uri.path())
                    .decode_utf8_lossy()
                    .into(),
            );
        }
        "path_parts" => {
            let path = percent_decode_str(head.uri.path()).decode_utf8_lossy();
            let parts = path.split('/').filter(|part| !part.is_empty());
            return Some(parts.collect::<Vec<_>>().join(","));
        }
        "remote_addr" => return exchange.client.text.to_str().ok().map(str::to_owned),
        "request_id" => return Some(exchange.id.to_string()),
        "token" => {
            let session = exchange.session.as_deref()?;
            return Some(session.key_id.clone());
        }
        _ => {}
    }
    if let Some(name) = name.strip_prefix("headers_") {
        let name = name.replace('_', "-");
        let values = head.headers.get_all(name.as_str()).iter();
        let values: Vec<_> = values
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        return (!values.is_empty()).then(|| values.join(","));
    }
    if let Some(name) = name.strip_prefix("cookies_") {
        return cookie(exchange, name);
    }
    let name = name.strip_prefix("request_data_")?;
    let values = form(exchange, name);
    (!values.is_empty()).then(|| values.join(","))
}

fn cookie(exchange: &Exchange, name: &str) -> Option<String> {
    let fields = exchange.head.headers.get_all(header::COOKIE).iter();
    let mut pairs = fields
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let found = pairs.find(|(known, _)| known.replace('-', "_") == name);
    found.map(|(_, value)| value.to_owned())
}

/// The values of a parameter of the query, and of a form where the body is held.
fn form(exchange: &Exchange, name: &str) -> Vec<String> {
    let head = &exchange.head;
    let is_form = head.headers.get(header::CONTENT_TYPE).is_some_and(|value| {
        let value = value.as_bytes();
        value.starts_with(b"application/x-www-form-urlencoded")
    });
    let body = match &exchange.body {
        RequestBody::Whole(body) if is_form => std::str::from_utf8(body).unwrap_or_default(),
        _ => "",
    };
    parameters(body)
        .chain(parameters(head.uri.query().unwrap_or_default()))
        .filter(|(known, _)| known == name)
        .map(|(_, value)| value)
        .collect()
}

/// Names and values of a query or a form, decoded.
pub fn parameters(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split('&').map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = |text| query::decode(text).into_owned();
        (decoded(name), decoded(value))
    })
}
