//! The ID extractor: finds in a request what tells its caller from others, so that a session
//! that a plugin made once can be used again without the plugin.
//!
//! What is searched comes from anybody. Every way to search is bounded: bodies by the limit
//! of held bodies, regular expressions by being linear, XML by [`document`].

pub(crate) mod document;
mod form;
mod xpath;

use std::borrow::Cow;

use http::request::Parts;
use http::{HeaderName, Method, header};
use regex::bytes::{Regex, RegexBuilder};

use crate::definition;
use crate::session::key::md5_hex;
use xpath::XPath;

/// Most bytes that a compiled expression may take.
const MAX_REGEX_BYTES: usize = 1024 * 1024;

/// Where the id of an API's requests is, and how it is taken out.
#[derive(Debug)]
pub struct IdExtractor {
    source: Source,
    method: Taking,
}

#[derive(Debug)]
enum Source {
    Header(HeaderName),
    Form(String),
    Body,
}

#[derive(Debug)]
enum Taking {
    Value,
    Regex { expression: Regex, index: usize },
    XPath(XPath),
}

/// A setting of `id_extractor` that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("custom_middleware.id_extractor.{key}: {reason}")]
pub struct Mistake {
    key: &'static str,
    reason: String,
}

fn mistake(key: &'static str, reason: impl Into<String>) -> Mistake {
    let reason = reason.into();
    Mistake { key, reason }
}

// === impl IdExtractor ===

impl IdExtractor {
    /// The extractor that a definition asks for, if it asks for one.
    pub fn new(wanted: &definition::IdExtractor) -> Result<Option<Self>, Mistake> {
        // Templates write out the keys of an extractor that is not used.
        let is_empty = wanted.extract_from.is_empty() && wanted.extract_with.is_empty();
        if wanted.disabled || is_empty {
            return Ok(None);
        }
        let source = source(wanted)?;
        let method = taking(wanted)?;
        if matches!((&source, &method), (Source::Body, Taking::Value)) {
            let reason = "a whole body is no id; take it out with `regex` or `xpath`";
            return Err(mistake("extract_with", reason));
        }
        Ok(Some(Self { source, method }))
    }

    /// Whether the body of this request has to be held for it.
    pub fn reads_body(&self, head: &Parts) -> bool {
        match self.source {
            Source::Header(_) => false,
            Source::Form(_) => has_form(head),
            Source::Body => true,
        }
    }

    /// What it searches besides the body.
    pub fn head_text<'a>(&self, head: &'a Parts) -> &'a [u8] {
        match &self.source {
            Source::Header(name) => head.headers.get(name).map_or(b"", |value| value.as_bytes()),
            Source::Form(_) => head.uri.query().unwrap_or_default().as_bytes(),
            Source::Body => b"",
        }
    }

    /// The MD5 of the id, in hex: what a session id is made of. Nothing where there is no
    /// id. `body` is empty where it is not read.
    pub fn digest(&self, head_text: &[u8], body: &[u8]) -> Option<String> {
        let searched = match &self.source {
            Source::Header(_) => Cow::Borrowed(head_text),
            Source::Form(name) => Cow::Owned(form::values(name, body, head_text)),
            Source::Body => Cow::Borrowed(body),
        };
        let found = match &self.method {
            Taking::Value => searched,
            Taking::Regex { expression, index } => {
                let found = expression.find_iter(&searched).nth(*index)?;
                Cow::Owned(found.as_bytes().to_vec())
            }
            Taking::XPath(path) => {
                let text = std::str::from_utf8(&searched).ok()?;
                let document = document::parse(text).ok()?;
                Cow::Owned(path.text(&document)?.into_bytes())
            }
        };
        (!found.is_empty()).then(|| md5_hex(&found))
    }
}

fn source(wanted: &definition::IdExtractor) -> Result<Source, Mistake> {
    let settings = &wanted.extractor_config;
    match wanted.extract_from.as_str() {
        "header" => {
            let key = "extractor_config.header_name";
            let name = settings.header_name.as_str();
            if name.is_empty() {
                return Err(mistake(key, "is missing; name the header that has the id"));
            }
            HeaderName::from_bytes(name.as_bytes())
                .map(Source::Header)
                .map_err(|_| mistake(key, format!("`{name}` is no header")))
        }
        "form" if settings.param_name.is_empty() => Err(mistake(
            "extractor_config.param_name",
            "is missing; name the parameter that has the id",
        )),
        "form" => Ok(Source::Form(settings.param_name.clone())),
        "body" => Ok(Source::Body),
        other => Err(mistake(
            "extract_from",
            format!("`{other}` is not one of header, form, body"),
        )),
    }
}

fn taking(wanted: &definition::IdExtractor) -> Result<Taking, Mistake> {
    let settings = &wanted.extractor_config;
    match wanted.extract_with.as_str() {
        "value" => Ok(Taking::Value),
        "regex" => {
            let key = "extractor_config.regex_expression";
            let text = settings.regex_expression.as_str();
            if text.is_empty() {
                return Err(mistake(key, "is missing"));
            }
            let expression = RegexBuilder::new(text)
                .size_limit(MAX_REGEX_BYTES)
                .build()
                .map_err(|error| mistake(key, format!("`{text}`: {}", in_one_line(&error))))?;
            let index = settings.regex_match_index;
            let index = usize::try_from(index).map_err(|_| {
                let reason = format!("{index} is below 0; matches are counted from 0");
                mistake("extractor_config.regex_match_index", reason)
            })?;
            Ok(Taking::Regex { expression, index })
        }
        "xpath" => {
            let key = "extractor_config.xpath_expression";
            let text = settings.xpath_expression.as_str();
            if text.is_empty() {
                return Err(mistake(key, "is missing"));
            }
            XPath::parse(text)
                .map(Taking::XPath)
                .map_err(|reason| mistake(key, format!("`{text}`: {reason}")))
        }
        other => Err(mistake(
            "extract_with",
            format!("`{other}` is not one of value, regex, xpath"),
        )),
    }
}

/// The library draws where the mistake is, over several lines; the last one says what it is.
fn in_one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default().trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

/// Whether the body has parameters, by the rules of the original's HTTP library.
fn has_form(head: &Parts) -> bool {
    let has_body = matches!(head.method, Method::POST | Method::PUT | Method::PATCH);
    let content_type = head.headers.get(header::CONTENT_TYPE);
    let essence = content_type
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next());
    has_body
        && essence.is_some_and(|essence| {
            essence
                .trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        })
}

#[cfg(test)]
mod tests;
