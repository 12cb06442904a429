//! `TYK_GW_…` variables: the path of a key in upper case without its underscores, levels
//! joined by one underscore (`coprocess_options.enable_coprocess` is
//! `TYK_GW_COPROCESSOPTIONS_ENABLECOPROCESS`).

use serde_json::Value;

use super::{Config, ConfigError};

const PREFIX: &str = "TYK_GW_";

/// Puts the variables' values over the configuration's.
pub(super) fn apply(
    config: Config,
    variables: impl Iterator<Item = (String, String)>,
    language_options: &[&str],
    warnings: &mut Vec<String>,
) -> Result<Config, ConfigError> {
    let mut tree = serde_json::to_value(config).expect("a configuration is plain JSON");
    for option in language_options {
        // So that a language's keys have names too; null marks one without a value.
        tree["coprocess_options"]
            .as_object_mut()
            .expect("a struct")
            .entry(*option)
            .or_insert(Value::Null);
    }
    for (variable, text) in variables {
        if variable == "TYK_LOGLEVEL" {
            tree["log_level"] = Value::String(text);
            continue;
        }
        let Some(name) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        match find(&mut tree, name) {
            Some(slot) => *slot = convert(&variable, &text, slot)?,
            None => warnings.push(format!("{variable}: no such setting, has no effect")),
        }
    }
    if let Some(options) = tree["coprocess_options"].as_object_mut() {
        options.retain(|_, value| !value.is_null());
    }
    // The types were checked one by one, so what is left are ranges, such as a port of 70000.
    serde_path_to_error::deserialize(&tree).map_err(|error| ConfigError::Variable {
        variable: format!("a {PREFIX} variable sets {}", error.path()),
        reason: error.inner().to_string(),
    })
}

fn find<'a>(tree: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    for (key, value) in tree.as_object_mut()? {
        let written = key.replace('_', "").to_uppercase();
        match name.strip_prefix(&written) {
            Some("") if !value.is_object() => return Some(value),
            Some(rest) => {
                let Some(below) = rest.strip_prefix('_') else {
                    continue;
                };
                if let Some(slot) = find(value, below) {
                    return Some(slot);
                }
            }
            None => {}
        }
    }
    None
}

/// Reads `text` as the type that the setting has now.
fn convert(variable: &str, text: &str, old: &Value) -> Result<Value, ConfigError> {
    let wrong = |expected: &str| ConfigError::Variable {
        variable: variable.to_owned(),
        reason: format!("`{text}` is not {expected}"),
    };
    match old {
        Value::Bool(_) => text
            .parse()
            .map(Value::Bool)
            .map_err(|_| wrong("true or false")),
        Value::Number(_) => text
            .parse::<u64>()
            .map(Value::from)
            .map_err(|_| wrong("a whole number")),
        Value::String(_) => Ok(Value::String(text.to_owned())),
        // A language's own key: its type is the language's business.
        _ => Ok(serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))),
    }
}
