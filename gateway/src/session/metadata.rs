//! The metadata of a stored session: any JSON in the document, text for plugins.

use coprocess_core::StringMap;
use serde_json::{Map, Value};

use super::record::{get, put_value};

/// Text that is still what a plugin was shown keeps the value behind it.
pub(super) fn apply_metadata(map: &mut Map<String, Value>, metadata: &StringMap) {
    let mut before = get::<Map<String, Value>>(map, "meta_data").unwrap_or_default();
    let entries = metadata.iter().map(|(key, text)| {
        let kept = before.remove(key).filter(|value| text_of(value) == *text);
        (
            key.clone(),
            kept.unwrap_or_else(|| Value::String(text.clone())),
        )
    });
    let entries: Map<_, _> = entries.collect();
    let entries = (!entries.is_empty()).then_some(Value::Object(entries));
    put_value(map, "meta_data", entries);
}

/// An entry as plugins see it.
pub(super) fn shown((key, value): (&String, &Value)) -> (String, String) {
    (key.clone(), text_of(value))
}

/// A value of the metadata as plugins see it.
pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
