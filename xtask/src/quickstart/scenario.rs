//! The requests of the quickstart, and what must come of each.

use std::fmt;

use serde_json::Value;

use super::http::Message;

/// One request and its expectations.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) title: String,
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) body: &'static str,
    pub(crate) expected: Vec<Expected>,
}

/// One thing that must be true afterwards.
#[derive(Debug, Clone)]
pub(crate) enum Expected {
    /// The status of the answer.
    Status(u16),
    /// A header of the answer, with all its values in order.
    Answer(&'static str, Vec<&'static str>),
    /// The answer's body as it is.
    Body(&'static str),
    /// What the upstream saw at this place of its report.
    Upstream(&'static str, &'static str),
    /// What the upstream must not have seen.
    UpstreamWithout(&'static str),
    /// A line of the gateway's log that has all these words.
    Log(&'static [&'static str]),
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(code) => write!(f, "the status is {code}"),
            Self::Answer(name, values) if values.is_empty() => {
                write!(f, "the answer has no header {name}")
            }
            Self::Answer(name, values) => {
                write!(f, "the answer's header {name} is {}", values.join(" and "))
            }
            Self::Body(text) => write!(f, "the body is {}", text.replace('\n', " ")),
            Self::Upstream(place, value) => write!(f, "the upstream sees {place} = {value}"),
            Self::UpstreamWithout(place) => write!(f, "the upstream sees no {place}"),
            Self::Log(words) => write!(f, "the gateway logs {}", words.join(" … ")),
        }
    }
}

impl Expected {
    /// What was found instead, if it is not as expected. The log is looked at elsewhere,
    /// because a line may come after the answer.
    pub(crate) fn differs(&self, answer: &Message) -> Option<String> {
        let seen: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let seen = |place: &str| seen.pointer(&format!("/{place}")).cloned();
        let (right, found) = match self {
            Self::Status(code) => (answer.status() == *code, answer.status().to_string()),
            Self::Answer(name, values) => {
                let found: Vec<&str> = answer.values(name).collect();
                (found == *values, format!("{found:?}"))
            }
            Self::Body(text) => (answer.text() == *text, answer.text()),
            Self::Upstream(place, value) => {
                let found = seen(place);
                let right = found == Some(Value::from(*value));
                (right, found.map_or("nothing".into(), |v| v.to_string()))
            }
            Self::UpstreamWithout(place) => {
                let found = seen(place);
                // An answer that is no report would be free of everything.
                let right = found.is_none() && seen("headers").is_some();
                (
                    right,
                    found.map_or("no report of an upstream".into(), |v| v.to_string()),
                )
            }
            Self::Log(_) => return None,
        };
        (!right).then_some(found)
    }
}

/// Every request, in the order in which it is sent.
pub(crate) fn all() -> Vec<Scenario> {
    let mut scenarios = vec![seed()];
    for (api, who) in [
        ("python", Who::all("python")),
        ("lua", Who::all("lua")),
        (
            "mixed",
            Who {
                auth: "lua",
                post: "lua",
                ..Who::all("python")
            },
        ),
    ] {
        scenarios.push(five_hooks(api, &who));
        scenarios.push(no_token(api));
        scenarios.push(teapot(api));
    }
    scenarios
}

/// Which language runs each hook of an API.
struct Who {
    pre: &'static str,
    auth: &'static str,
    post_key_auth: &'static str,
    post: &'static str,
    response: &'static str,
}

impl Who {
    fn all(language: &'static str) -> Self {
        Self {
            pre: language,
            auth: language,
            post_key_auth: language,
            post: language,
            response: language,
        }
    }
}

fn seed() -> Scenario {
    Scenario {
        title: "a pre hook in Python with data, an event and parameters; a post hook in Lua".into(),
        method: "GET",
        target: "/seed/widgets?param_remove=old&kept=yes".into(),
        headers: vec![("accept", "text/html")],
        body: "",
        expected: vec![
            Expected::Status(200),
            Expected::Upstream("path", "/widgets"),
            Expected::Upstream("headers/custom_header", "custom_value"),
            Expected::UpstreamWithout("headers/accept"),
            Expected::Upstream("params/param_a", "value_a"),
            Expected::Upstream("params/kept", "yes"),
            Expected::UpstreamWithout("params/param_remove"),
            Expected::Upstream("headers/x-stored", "cool_value"),
            Expected::Log(&["quickstart:a_middleware_event"]),
        ],
    }
}

fn five_hooks(api: &str, who: &Who) -> Scenario {
    Scenario {
        title: format!("{api}: a request through all five hooks"),
        method: "POST",
        target: format!("/{api}/orders?city=Paris&debug=1"),
        headers: vec![
            ("authorization", "token-of-ada"),
            ("x-internal", "not for the upstream"),
            ("content-type", "text/plain"),
        ],
        body: "two cups of tea",
        expected: vec![
            Expected::Status(200),
            Expected::Upstream("path", "/orders"),
            Expected::Upstream("headers/x-pre", who.pre),
            Expected::UpstreamWithout("headers/x-internal"),
            Expected::Upstream("params/via", "pre"),
            Expected::Upstream("params/city", "Paris"),
            Expected::UpstreamWithout("params/debug"),
            Expected::Upstream("headers/x-checked-by", who.auth),
            Expected::Upstream("headers/x-post-key-auth", who.post_key_auth),
            Expected::Upstream("headers/x-owner", "ada"),
            Expected::Upstream("headers/x-post", who.post),
            Expected::Upstream("body", "TWO CUPS OF TEA"),
            Expected::Answer("x-response", vec![who.response]),
            Expected::Answer("x-upstream-secret", vec![]),
            Expected::Answer("set-cookie", vec!["flavour=oat", "size=large"]),
        ],
    }
}

fn no_token(api: &str) -> Scenario {
    Scenario {
        title: format!("{api}: without a token, the auth_check hook turns the request away"),
        method: "GET",
        target: format!("/{api}/orders"),
        headers: Vec::new(),
        body: "",
        expected: vec![
            Expected::Status(403),
            Expected::Body("{\n    \"error\": \"Forbidden\"\n}"),
        ],
    }
}

fn teapot(api: &str) -> Scenario {
    Scenario {
        title: format!("{api}: the pre hook answers in the upstream's place"),
        method: "GET",
        target: format!("/{api}/orders?teapot=yes"),
        headers: Vec::new(),
        body: "",
        expected: vec![
            Expected::Status(418),
            Expected::Answer("content-type", vec!["application/json"]),
            Expected::Body("{\n    \"error\": \"this is a teapot\"\n}"),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Message {
        Message {
            start: "HTTP/1.1 200 OK".into(),
            headers: vec![("set-cookie".into(), "a".into())],
            body: body.as_bytes().to_vec(),
        }
    }

    #[test]
    fn wrong_answer_is_told_with_what_was_found() {
        let report = answer(r#"{"headers": {"x-pre": "lua"}}"#);
        let wrong = [
            (Expected::Status(418), "200"),
            (Expected::Answer("set-cookie", vec!["a", "b"]), "[\"a\"]"),
            (Expected::Answer("set-cookie", vec![]), "[\"a\"]"),
            (Expected::Upstream("headers/x-pre", "python"), "\"lua\""),
            (Expected::Upstream("headers/x-post", "lua"), "nothing"),
            (Expected::UpstreamWithout("headers/x-pre"), "\"lua\""),
            (Expected::Body("x"), r#"{"headers": {"x-pre": "lua"}}"#),
        ];
        for (expected, found) in wrong {
            assert_eq!(expected.differs(&report).as_deref(), Some(found));
        }
        let empty = Expected::UpstreamWithout("headers/x-pre").differs(&answer("{}"));
        assert!(empty.is_some());
    }

    #[test]
    fn right_answer_is_quiet() {
        let report = answer(r#"{"headers": {"x-pre": "lua"}}"#);
        let right = [
            Expected::Status(200),
            Expected::Answer("set-cookie", vec!["a"]),
            Expected::Answer("x-none", vec![]),
            Expected::Upstream("headers/x-pre", "lua"),
            Expected::UpstreamWithout("headers/x-post"),
        ];
        for expected in right {
            assert_eq!(expected.differs(&report), None, "{expected}");
        }
    }

    #[test]
    fn every_hook_is_seen_in_every_language_and_mixed() {
        let scenarios = all();
        for api in ["/python/", "/lua/", "/mixed/", "/seed/"] {
            assert!(scenarios.iter().any(|one| one.target.starts_with(api)));
        }
    }
}
