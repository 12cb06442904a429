//! Templates that make a new body of an old one.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use coprocess_core::Session;
use gtmpl::{Context, FuncError, Template as Parsed, Value};
use regex::Regex;

use crate::coprocess::document;
use crate::definition::TemplateData;
use crate::events::template as escapes;

/// Longest template.
const MAX_TEMPLATE: usize = 1 << 20;

/// A template that was read.
pub struct Template {
    parsed: Parsed,
    input: Input,
    /// The session's metadata is shown.
    pub with_session: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    Json,
    Xml,
}

/// Why a body cannot be transformed.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The body is not what the template is for.
    #[error("body is not {0}: {1}")]
    Body(&'static str, String),
    /// The template does not work on it.
    #[error("template: {0}")]
    Template(String),
}

impl Template {
    /// Reads a template from the definition, or from the file that it names.
    pub fn new(written: &TemplateData) -> Result<Self, String> {
        let source = &written.template_source;
        let text = match written.template_mode.as_str() {
            "blob" => {
                let bytes = STANDARD.decode(source);
                let bytes = bytes.map_err(|error| format!("template_source: {error}"))?;
                String::from_utf8(bytes).map_err(|error| format!("template_source: {error}"))?
            }
            "file" => std::fs::read_to_string(source)
                .map_err(|error| format!("template_source: `{source}`: {error}"))?,
            other => return Err(format!("template_mode: `{other}` is not one of blob, file")),
        };
        if text.len() > MAX_TEMPLATE {
            return Err(format!("template_source: longer than {MAX_TEMPLATE} bytes"));
        }
        // A template that calls itself would take the process with it.
        static CALLS: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r"\{\{-?\s*(template|block)\b").expect("it is a regex"));
        if let Some(found) = CALLS.captures(&text) {
            let action = &found[1];
            return Err(format!(
                "template_source: the action `{action}` is not supported"
            ));
        }
        let input = match written.input_type.as_str() {
            "" | "json" => Input::Json,
            "xml" => Input::Xml,
            other => return Err(format!("input_type: `{other}` is not one of json, xml")),
        };
        let mut parsed = Parsed::with_name("template");
        parsed.add_func("html", escapes::html);
        parsed.add_func("js", escapes::js);
        parsed.add_func("jsonMarshal", json_text);
        quietly(|| {
            parsed
                .parse(text.as_str())
                .map_err(|error| error.to_string())
        })
        .map_err(|error| format!("template_source: {error}"))?;
        Ok(Self {
            parsed,
            input,
            with_session: written.enable_session,
        })
    }

    /// Makes the new body.
    pub fn render(
        &self,
        body: &[u8],
        session: Option<&Session>,
        context: Option<HashMap<String, String>>,
    ) -> Result<String, TemplateError> {
        let mut fields = match self.read(body)? {
            serde_json::Value::Object(fields) => {
                let fields = fields.into_iter();
                fields.map(|(key, value)| (key, convert(value))).collect()
            }
            other => HashMap::from([("array".to_owned(), convert(other))]),
        };
        if self.with_session {
            let metadata = session.map(|session| &session.metadata);
            let metadata = metadata.into_iter().flatten();
            let metadata = metadata.map(|(key, value)| (key.clone(), Value::from(value.clone())));
            fields.insert("_tyk_meta".into(), Value::Map(metadata.collect()));
        }
        if let Some(context) = context {
            let context = context.into_iter();
            let context = context.map(|(key, value)| (key, Value::from(value)));
            fields.insert("_tyk_context".into(), Value::Map(context.collect()));
        }
        let context = Context::from(Value::Map(fields));
        quietly(|| {
            self.parsed
                .render(&context)
                .map_err(|error| error.to_string())
        })
        .map_err(TemplateError::Template)
    }

    fn read(&self, body: &[u8]) -> Result<serde_json::Value, TemplateError> {
        let wrong = |kind, error: String| TemplateError::Body(kind, error);
        if body.is_empty() {
            return Ok(serde_json::Value::Object(serde_json::Map::new()));
        }
        match self.input {
            Input::Json => {
                serde_json::from_slice(body).map_err(|error| wrong("JSON", error.to_string()))
            }
            Input::Xml => {
                let text = std::str::from_utf8(body);
                let text = text.map_err(|error| wrong("XML", error.to_string()))?;
                let read = document::parse(text);
                let read = read.map_err(|error| wrong("XML", error.to_string()))?;
                Ok(read.to_value())
            }
        }
    }
}

/// A panic of the template library fails this template, and no more than that.
fn quietly<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err("the template library panicked".to_owned()))
}

fn convert(value: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match value {
        Json::Null => Value::Nil,
        Json::Bool(flag) => Value::Bool(flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(whole)) => whole.into(),
            (None, None) => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        Json::String(text) => Value::String(text),
        Json::Array(items) => Value::Array(items.into_iter().map(convert).collect()),
        Json::Object(fields) => {
            let fields = fields.into_iter();
            Value::Map(fields.map(|(key, value)| (key, convert(value))).collect())
        }
    }
}

/// `jsonMarshal`: a value as JSON.
fn json_text(arguments: &[Value]) -> Result<Value, FuncError> {
    fn json(value: &Value) -> serde_json::Value {
        match value {
            Value::Nil | Value::NoValue | Value::Function(_) => serde_json::Value::Null,
            Value::Bool(flag) => (*flag).into(),
            Value::String(text) => text.as_str().into(),
            Value::Array(items) => items.iter().map(json).collect(),
            // Sorted, as the original's are.
            Value::Object(fields) | Value::Map(fields) => {
                let sorted: std::collections::BTreeMap<_, _> = fields.iter().collect();
                let fields = sorted.into_iter();
                let fields = fields.map(|(key, value)| (key.clone(), json(value)));
                serde_json::Value::Object(fields.collect())
            }
            number => serde_json::from_str(&number.to_string()).unwrap_or_default(),
        }
    }
    let value = arguments.first().map_or(serde_json::Value::Null, json);
    Ok(Value::String(value.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str, input: &str) -> Result<Template, String> {
        Template::new(&TemplateData {
            template_mode: "blob".into(),
            template_source: STANDARD.encode(text),
            input_type: input.into(),
            enable_session: false,
        })
    }

    fn check(text: &str, input: &str, body: &str, expected: &str) {
        let rendered = template(text, input)
            .unwrap()
            .render(body.as_bytes(), None, None);
        assert_eq!(rendered.unwrap(), expected, "{text} {body}");
    }

    #[test]
    fn templates_see_the_body() {
        check(
            "{{.a}} {{.b.c}}",
            "json",
            r#"{"a": 1, "b": {"c": "x"}}"#,
            "1 x",
        );
        check("{{range .array}}<{{.}}>{{end}}", "json", "[1,2]", "<1><2>");
        check(
            "{{jsonMarshal .b}}",
            "json",
            r#"{"b": {"z": [1, null], "a": "\""}}"#,
            r#"{"a":"\"","z":[1,null]}"#,
        );
        check("{{if .a}}yes{{else}}no{{end}}", "json", "", "no");
        check(
            r#"{{.r.item}}{{.r.other}} {{index .r "-id"}}"#,
            "xml",
            r#"<r id="7"><item>a</item><other>b</other></r>"#,
            "ab 7",
        );
        check(
            "{{range .r.i}}{{.}},{{end}}",
            "xml",
            "<r><i>1</i><i>2</i></r>",
            "1,2,",
        );
    }

    #[test]
    fn what_cannot_be_used_is_told() {
        for text in ["{{.a", "{{nothing .a}}", "{{template \"template\"}}"] {
            assert!(template(text, "json").is_err(), "{text}");
        }
        let wrong = template("{{.a}}", "json").unwrap().render(b"{", None, None);
        assert!(matches!(wrong, Err(TemplateError::Body("JSON", _))));
    }
}
