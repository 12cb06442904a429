//! What a web hook sends: the default body, or a template's.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::LazyLock;
use std::time::SystemTime;

use bytes::Bytes;
use gtmpl::{Context, FuncError, Template as Parsed, Value};
use regex::Regex;
use serde::Serialize;

use super::message::Message;
use super::meta::Meta;

/// Longest template.
const MAX_TEMPLATE: usize = 1 << 20;

/// Makes bodies.
pub(super) enum Template {
    /// JSON with the event's most important facts.
    Default,
    /// A file of the operator's.
    File(FileTemplate),
}

/// A template that was read and works.
pub(super) struct FileTemplate {
    parsed: Parsed,
    /// Values are put into JSON texts, so they are escaped as such.
    is_json: bool,
}

/// The default body; the order of keys is the original's.
#[derive(Serialize)]
struct DefaultBody<'a> {
    event: &'a str,
    message: &'a str,
    path: &'a str,
    origin: &'a str,
    key: &'a str,
}

impl Template {
    /// Reads a template; an empty path means the default body.
    pub(super) fn load(path: &str) -> Result<Self, String> {
        if path.is_empty() {
            return Ok(Self::Default);
        }
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        if text.len() > MAX_TEMPLATE {
            return Err(format!("is longer than {MAX_TEMPLATE} bytes"));
        }
        let is_json = Path::new(path).extension().is_some_and(|end| end == "json");
        FileTemplate::parse(path, &text, is_json).map(Self::File)
    }

    /// What the body is, as far as that can be told.
    pub(super) fn content_type(&self) -> &'static str {
        match self {
            Self::Default | Self::File(FileTemplate { is_json: true, .. }) => "application/json",
            Self::File(_) => "text/plain; charset=utf-8",
        }
    }

    /// The body for an event.
    pub(super) fn render(&self, message: &Message) -> Result<Bytes, String> {
        match self {
            Self::Default => Ok(default_body(message)),
            Self::File(file) => file.render(message).map(Bytes::from),
        }
    }
}

fn default_body(message: &Message) -> Bytes {
    let field = |key| message.meta.get(key).unwrap_or_default();
    let body = DefaultBody {
        event: &message.name,
        message: message.meta.message(),
        path: field("Path"),
        origin: field("Origin"),
        key: field("Key"),
    };
    serde_json::to_vec(&body).expect("text is JSON").into()
}

impl FileTemplate {
    fn parse(name: &str, text: &str, is_json: bool) -> Result<Self, String> {
        // A template that calls itself would take the process with it.
        static CALLS: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"\{\{-?\s*(template|block)\b").expect("it is a regex"));
        if let Some(found) = CALLS.captures(text) {
            let action = &found[1];
            return Err(format!("the action `{action}` is not supported"));
        }
        let mut parsed = Parsed::with_name(name);
        parsed.add_func("html", html);
        parsed.add_func("js", js);
        quietly(|| parsed.parse(text).map_err(|error| error.to_string()))?;
        let template = Self { parsed, is_json };
        // What only shows when it runs is better known now.
        template.render(&Message {
            name: "Event".to_owned(),
            meta: Meta::new("message"),
            time: SystemTime::now(),
        })?;
        Ok(template)
    }

    fn render(&self, message: &Message) -> Result<String, String> {
        let value = |text: &str| Value::String(self.escaped(text));
        let mut meta: HashMap<String, Value> = ["Path", "Origin", "Key"]
            .map(|key| (key.to_owned(), value("")))
            .into();
        let entries = message.meta.entries();
        meta.extend(entries.map(|(key, field)| (key.to_owned(), value(&field.to_string()))));
        let fields = HashMap::from([
            ("Type".to_owned(), value(&message.name)),
            ("Meta".to_owned(), Value::Map(meta)),
            ("TimeStamp".to_owned(), value(&message.time_text())),
        ]);
        let context = Context::from(Value::Object(fields));
        quietly(|| {
            self.parsed
                .render(&context)
                .map_err(|error| error.to_string())
        })
    }

    /// The text as it can stand between the quotes of a JSON text.
    fn escaped(&self, text: &str) -> String {
        if !self.is_json {
            return text.to_owned();
        }
        let quoted = serde_json::to_string(text).expect("text is JSON");
        quoted[1..quoted.len() - 1].to_owned()
    }
}

/// A panic of the template library fails this template, and no more than that.
fn quietly<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err("the template library panicked".to_owned()))
}

/// `html`: the arguments as text between tags.
pub(crate) fn html(arguments: &[Value]) -> Result<Value, FuncError> {
    escape_all(arguments, |letter| match letter {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&#34;"),
        '\'' => Some("&#39;"),
        '\0' => Some("\u{fffd}"),
        _ => None,
    })
}

/// `js`: the arguments as text within a script's quotes.
pub(crate) fn js(arguments: &[Value]) -> Result<Value, FuncError> {
    escape_all(arguments, |letter| match letter {
        '\\' => Some("\\\\"),
        '\'' => Some("\\'"),
        '"' => Some("\\\""),
        '<' => Some("\\u003C"),
        '>' => Some("\\u003E"),
        '&' => Some("\\u0026"),
        '=' => Some("\\u003D"),
        '\n' => Some("\\u000A"),
        '\r' => Some("\\u000D"),
        '\t' => Some("\\u0009"),
        _ => None,
    })
}

fn escape_all(
    arguments: &[Value],
    escape: impl Fn(char) -> Option<&'static str>,
) -> Result<Value, FuncError> {
    let mut text = String::new();
    for letter in arguments.iter().flat_map(|value| {
        let letters: Vec<char> = value.to_string().chars().collect();
        letters
    }) {
        match escape(letter) {
            Some(written) => text.push_str(written),
            None => text.push(letter),
        }
    }
    Ok(Value::String(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            name: "AuthFailure".to_owned(),
            meta: Meta::new("say \"no\" <b>")
                .with("Path", "/a\\b")
                .with("Origin", "10.0.0.1")
                .with("Key", "k-1"),
            time: SystemTime::now(),
        }
    }

    fn check(text: &str, is_json: bool, expected: &str) {
        let template = FileTemplate::parse("t", text, is_json).unwrap();
        assert_eq!(template.render(&message()).unwrap(), expected, "{text}");
    }

    #[test]
    fn templates_see_the_event_as_the_originals_do() {
        check("{{.Type}}", false, "AuthFailure");
        check("{{.Meta.Message}}", false, "say \"no\" <b>");
        check("{{ .Meta.Origin }}|{{.Meta.Key}}", false, "10.0.0.1|k-1");
        check(
            "{{if eq .Type \"AuthFailure\"}}yes{{else}}no{{end}}",
            false,
            "yes",
        );
        check("{{with .Meta}}{{.Path}}{{end}}", false, "/a\\b");
        check(
            "{{printf \"%s-%s\" .Type .Meta.Key}}",
            false,
            "AuthFailure-k-1",
        );
        check("{{.Meta.Nothing}}", false, "<no value>");
        check("{{$k := .Meta.Key}}{{$k}}{{/* said */}}", false, "k-1");
        check("a {{- .Type -}} b", false, "aAuthFailureb");
        check("{{index .Meta \"Key\"}}", false, "k-1");
        check("{{len .Meta.Key}}", false, "3");
        check("{{.Type | urlquery}}", false, "AuthFailure");
        check(
            "{{.Meta.Message | html}}",
            false,
            "say &#34;no&#34; &lt;b&gt;",
        );
        check(
            "{{js .Meta.Message}}",
            false,
            "say \\\"no\\\" \\u003Cb\\u003E",
        );
    }

    #[test]
    fn values_cannot_break_out_of_json() {
        let text = r#"{"m": "{{.Meta.Message}}", "p": "{{.Meta.Path}}"}"#;
        let template = FileTemplate::parse("t", text, true).unwrap();
        let body = template.render(&message()).unwrap();
        let value: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(value["m"], "say \"no\" <b>");
        assert_eq!(value["p"], "/a\\b");
    }

    #[test]
    fn broken_templates_say_what_is_wrong() {
        for (text, part) in [
            ("{{.Type", "bad character"),
            ("{{if .Type}}", "unexpected EOF"),
            ("{{nothing .Type}}", "nothing"),
            ("{{slice .Type 1 2}}", "slice"),
            ("{{template \"x\"}}", "`template` is not supported"),
            (
                "{{define \"x\"}}{{- template \"x\" . }}{{end}}",
                "`template` is not supported",
            ),
            ("{{.Nothing.Deep}}", "Nothing"),
        ] {
            let said = FileTemplate::parse("t", text, false).err();
            let said = said.unwrap_or_else(|| panic!("{text} is taken"));
            assert!(said.contains(part), "{text}: {said}");
        }
    }
}
