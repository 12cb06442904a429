//! Reads JSON files strictly and kindly: an error names file, line, column and what was
//! expected; keys that nothing reads are listed with their path.

use std::fmt;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

/// A file read into `T`, and the keys that `T` did not take.
#[derive(Debug)]
pub struct Parsed<T> {
    /// What the file says.
    pub value: T,
    /// The file as written, without its nulls.
    pub raw: Value,
    /// Paths of keys that were not read, `a.b[0].c`.
    pub unread: Vec<String>,
}

/// A file that is not what it should be.
#[derive(Debug, PartialEq, Eq)]
pub struct JsonError {
    /// The file.
    pub file: String,
    /// Line and column, counted from 1, where they are known.
    pub place: Option<(usize, usize)>,
    /// The path of the value, where the text parsed but the value did not fit.
    pub path: Option<String>,
    /// What was wrong and what was expected.
    pub message: String,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        if let Some(path) = &self.path {
            write!(f, ": {path}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for JsonError {}

/// Reads `text` as a `T`. A null counts as a key that is not there, because the tools that
/// write these files put null where they mean empty.
pub fn parse<T: DeserializeOwned>(file: &Path, text: &str) -> Result<Parsed<T>, JsonError> {
    let file_name = file.display().to_string();
    let mut raw: Value = serde_json::from_str(text).map_err(|error| JsonError {
        file: file_name.clone(),
        place: Some((error.line(), error.column())),
        path: None,
        message: without_place(&error),
    })?;
    drop_nulls(&mut raw);
    match read_value(&raw) {
        Ok((value, unread)) => Ok(Parsed { value, raw, unread }),
        Err((path, message)) => Err(JsonError {
            file: file_name,
            place: place_of::<T>(text, &path),
            message,
            path: Some(path),
        }),
    }
}

/// Reads a part of a document as a `T`; with the paths of keys that `T` did not take. The
/// error is the path of the value that does not fit, and what was expected.
pub fn read_value<T: DeserializeOwned>(
    value: &Value,
) -> Result<(T, Vec<String>), (String, String)> {
    let mut unread = Vec::new();
    let mut note = |path: serde_ignored::Path<'_>| unread.push(write_path(&path));
    let mut track = serde_path_to_error::Track::new();
    let deserializer = serde_path_to_error::Deserializer::new(value, &mut track);
    match T::deserialize(serde_ignored::Deserializer::new(deserializer, &mut note)) {
        Ok(value) => Ok((value, unread)),
        Err(error) => Err((track.path().to_string(), without_place(&error))),
    }
}

/// Writes a path as people do: `a.b[0].c`.
fn write_path(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;
    match path {
        Path::Root => String::new(),
        Path::Seq { parent, index } => format!("{}[{index}]", write_path(parent)),
        Path::Map { parent, key } => match write_path(parent) {
            above if above.is_empty() => key.clone(),
            above => format!("{above}.{key}"),
        },
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => write_path(parent),
    }
}

/// The values of a parsed document have no place any more, so the text is read once more:
/// only when something is wrong, and only believed when it fails at the same path.
fn place_of<T: DeserializeOwned>(text: &str, path: &str) -> Option<(usize, usize)> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let error = serde_path_to_error::deserialize::<_, T>(&mut deserializer).err()?;
    (error.path().to_string() == path).then(|| (error.inner().line(), error.inner().column()))
}

fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// A number as the original writes it: one without a fraction has no point.
pub fn number(number: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and small")]
    if number.fract() == 0.0 && number.abs() < 1e15 {
        return Value::from(number as i64);
    }
    Value::from(number)
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// The value at a path written as [`Parsed::unread`] writes it.
pub fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.replace('[', ".")
        .replace(']', "")
        .split('.')
        .try_fold(value, |value, part| match value {
            Value::Array(items) => items.get(part.parse::<usize>().ok()?),
            value => value.get(part),
        })
}

/// Whether a value asks for nothing: false, zero, empty, switched off.
pub fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.iter().all(is_empty),
        Value::Object(map) => is_off(value) || map.values().all(is_empty),
    }
}

/// Whether a value is an object that is switched off.
pub fn is_off(value: &Value) -> bool {
    value.get("enabled") == Some(&Value::Bool(false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default)]
    struct Sample {
        port: u16,
        inner: Vec<Inner>,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default)]
    struct Inner {
        name: String,
    }

    fn check_error(text: &str, expected: &str) {
        let error = parse::<Sample>(Path::new("f.json"), text).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn broken_text_names_line_and_column() {
        check_error("{\n  \"port\": }", "f.json:2:11: expected value");
        check_error("{\"port\": 1", "f.json:1:10: EOF while parsing an object");
    }

    #[test]
    fn wrong_value_names_path_and_place() {
        check_error(
            "{\n\"inner\": [{\"name\": 3}]}",
            "f.json:2:20: inner[0].name: invalid type: integer `3`, expected a string",
        );
        check_error(
            "{\"port\": 70000}",
            "f.json:1:14: port: invalid value: integer `70000`, expected u16",
        );
    }

    #[test]
    fn nulls_are_absent_and_unread_keys_have_paths() {
        let text = r#"{"port": null, "inner": [{"nme": "x"}], "other": {"deep": 1}}"#;
        let parsed = parse::<Sample>(Path::new("f.json"), text).unwrap();
        assert_eq!(parsed.value.port, 0);
        assert_eq!(parsed.unread, ["inner[0].nme", "other"]);
        assert_eq!(at(&parsed.raw, "inner[0].nme"), Some(&Value::from("x")));
    }
}
