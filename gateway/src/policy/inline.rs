//! Policies that a session brings itself: a list of them in its metadata, under `policies`,
//! takes the place of those that it names.

use coprocess_core::Session;
use serde_json::Value;

use super::{Policy, PolicyError};
use crate::definition::PolicyDefinition;
use crate::json;

/// The entry of the metadata.
const ENTRY: &str = "policies";

/// Whether there may be some.
pub(super) fn may_be_there(session: &Session) -> bool {
    text(session).is_some()
}

fn text(session: &Session) -> Option<&str> {
    let text = session.metadata.get(ENTRY)?;
    text.starts_with('[').then_some(text)
}

/// The policies of a session. What is no list of objects is an entry like any other; one
/// that is, and has what is no policy in it, must not be passed over.
pub(super) fn of(session: &Session) -> Result<Option<Vec<Policy>>, PolicyError> {
    let list = text(session).and_then(|text| serde_json::from_str::<Vec<Value>>(text).ok());
    let list = list.filter(|list| list.first().is_some_and(Value::is_object));
    let Some(list) = list else {
        return Ok(None);
    };
    let policies = list.into_iter().enumerate().map(|(place, value)| {
        let wrong = |told: String| PolicyError::Inline(format!("{ENTRY}[{place}].{told}"));
        let (mut definition, _) = json::read_value::<PolicyDefinition>(&value)
            .map_err(|(path, message)| wrong(format!("{path}: {message}")))?;
        if definition.id.is_empty() {
            definition.id = place.to_string();
        }
        definition.check().map_err(wrong)?;
        let Value::Object(document) = value else {
            return Err(wrong(": it is not an object".into()));
        };
        Ok(Policy::new(definition, document))
    });
    policies.collect::<Result<_, _>>().map(Some)
}
