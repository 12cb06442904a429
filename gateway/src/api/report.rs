//! What became of the files of definitions, field by field.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::reading::Read;
use crate::json;
use crate::policy::Policies;

/// One file of a definition.
#[derive(Debug, Clone)]
pub struct DefinitionReport {
    /// The file.
    pub file: PathBuf,
    /// The API's id; empty when the file cannot be read.
    pub api_id: String,
    /// Whether it is an OpenAPI document.
    pub is_oas: bool,
    /// How much of it counts.
    pub fields: Fields,
    /// What does not.
    pub findings: Vec<Finding>,
    /// Why the API is not loaded.
    pub problem: Option<String>,
}

/// How many fields a definition sets, and how many of them count. A field is a value that
/// asks for something: what is false, zero, empty or switched off does not, and a list of
/// plain values is one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fields {
    /// How many there are.
    pub set: usize,
    /// How many of them count.
    pub honoured: usize,
}

/// A field that does not do what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its path, `a.b[0].c`.
    pub path: String,
    /// What follows.
    pub effect: Effect,
    /// What is to be said beside that.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What follows from a field that does not do what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// The API refuses its requests, because the field protects it.
    Refuses,
    /// The field has no effect.
    Ignored,
    /// The field names what is not there; who needs it is refused.
    Missing,
}

// === impl DefinitionReport ===

impl DefinitionReport {
    /// What is to be said of a file, of which nothing is known where it cannot be read.
    pub(super) fn new(file: &Path, read: Option<&Read>, policies: &Policies) -> Self {
        let mut report = Self {
            file: file.to_owned(),
            api_id: String::new(),
            is_oas: false,
            fields: Fields::default(),
            findings: Vec::new(),
            problem: None,
        };
        let Some(read) = read else { return report };
        report.api_id.clone_from(&read.definition.api_id);
        report.fields = read.fields;
        report.is_oas = read.oas.is_some();
        report.findings.clone_from(&read.findings);
        report.findings.extend(missing_policies(read, policies));
        report
    }
}

/// The policies that a definition names and that are not there.
fn missing_policies(read: &Read, policies: &Policies) -> Vec<Finding> {
    let definition = &read.definition;
    let jwt = read.oas.as_ref().and_then(|oas| oas.jwt.as_deref());
    // Where they are said depends on the form.
    let (list, map) = match jwt {
        Some(jwt) => (
            format!("{jwt}.defaultPolicies"),
            format!("{jwt}.scopes.scopeToPolicyMapping"),
        ),
        None => (
            "jwt_default_policies".to_owned(),
            "scopes.jwt.scope_to_policy".to_owned(),
        ),
    };
    let defaults = definition.jwt_default_policies.iter().enumerate();
    let defaults = defaults.map(|(place, id)| (format!("{list}[{place}]"), id));
    let older = definition.jwt_scope_to_policy_mapping.iter();
    let older = older.map(|(scope, id)| (format!("jwt_scope_to_policy_mapping.{scope}"), id));
    let scopes = definition.scopes.jwt.scope_to_policy.iter();
    let scopes = scopes.map(|(scope, id)| (format!("{map}.{scope}"), id));
    let named = defaults.chain(older).chain(scopes);
    let missing = named.filter(|(_, id)| policies.get(id).is_none());
    let findings = missing.map(|(path, id)| Finding {
        path,
        effect: Effect::Missing,
        message: format!("there is no policy `{id}`"),
    });
    findings.collect()
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        match self.message.as_str() {
            "" => Ok(()),
            message => write!(f, " ({message})"),
        }
    }
}

// === impl Fields ===

impl Fields {
    /// Counts the fields of a document of which these paths were not read.
    pub fn count(document: &Value, unread: &[String]) -> Self {
        let mut fields = Self::default();
        fields.add(document, "", unread, false);
        fields
    }

    /// How many of a hundred count; whole, and 100 only when all do.
    pub fn percent(self) -> usize {
        (self.honoured * 100).checked_div(self.set).unwrap_or(100)
    }

    fn add(&mut self, value: &Value, path: &str, unread: &[String], is_lost: bool) {
        let is_lost = is_lost || unread.iter().any(|lost| lost == path);
        match value {
            _ if json::is_empty(value) => {}
            Value::Object(map) => {
                for (key, value) in map {
                    let path = match path {
                        "" => key.clone(),
                        above => format!("{above}.{key}"),
                    };
                    self.add(value, &path, unread, is_lost);
                }
            }
            Value::Array(items) if items.iter().any(is_nested) => {
                for (place, value) in items.iter().enumerate() {
                    self.add(value, &format!("{path}[{place}]"), unread, is_lost);
                }
            }
            _ => {
                self.set += 1;
                self.honoured += usize::from(!is_lost);
            }
        }
    }
}

fn is_nested(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(document: &Value, unread: &[&str], set: usize, honoured: usize, percent: usize) {
        let unread: Vec<_> = unread.iter().map(|path| (*path).to_owned()).collect();
        let fields = Fields::count(document, &unread);
        assert_eq!(fields, Fields { set, honoured }, "{document}");
        assert_eq!(fields.percent(), percent, "{document}");
    }

    #[test]
    fn fields_that_ask_for_something_are_counted() {
        check(&json!({}), &[], 0, 0, 100);
        check(
            &json!({"a": 1, "b": false, "c": "", "d": []}),
            &[],
            1,
            1,
            100,
        );
        check(&json!({"a": {"enabled": false, "b": 1}}), &[], 0, 0, 100);
        check(&json!({"a": {"enabled": true, "b": 1}}), &["a.b"], 2, 1, 50);
        check(&json!({"a": [1, 2], "b": 1, "c": 2}), &["a"], 3, 2, 66);
        check(
            &json!({"a": [{"b": 1}, {"b": 2, "c": 3}]}),
            &["a[1].c"],
            3,
            2,
            66,
        );
        check(&json!({"a": {"b": {"c": 1, "d": 2}}}), &["a.b"], 2, 0, 0);
    }
}
