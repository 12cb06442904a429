//! The operations of a document: their paths as patterns, and the schemas of their bodies.

use std::cmp::Reverse;

use serde_json::{Value, json};

const METHODS: &[&str] = &[
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];

/// An operation of the document.
pub(super) struct Place<'a> {
    /// Its path as a pattern.
    pub(super) path: String,
    pub(super) method: String,
    item: &'a Value,
    written: &'a Value,
}

impl Place<'_> {
    /// The pattern for what opens a path or answers in the upstream's place: it means this
    /// path and none below it.
    pub(super) fn exact(&self) -> String {
        format!("^{}$", self.path)
    }

    /// Paths that say more come first: with more segments, and with fewer parameters.
    pub(super) fn rank(&self) -> (Reverse<usize>, usize, Reverse<usize>) {
        let count = |sign: char| self.path.matches(sign).count();
        let parameters = count('{') + count('*');
        (Reverse(count('/')), parameters, Reverse(self.path.len()))
    }
}

/// The operations with this id.
pub(super) fn places<'a>(document: &'a Value, id: &str) -> Vec<Place<'a>> {
    let mut found = Vec::new();
    let paths = document.get("paths").and_then(Value::as_object);
    for (path, item) in paths.into_iter().flatten() {
        for method in METHODS {
            let Some(written) = item.get(*method) else {
                continue;
            };
            if written.get("operationId").and_then(Value::as_str) == Some(id) {
                found.push(Place {
                    path: pattern(path, &parameters(document, item, written)),
                    method: method.to_ascii_uppercase(),
                    item,
                    written,
                });
            }
        }
    }
    found
}

/// What a reference leads to, or the value itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let reference = value.get("$ref").and_then(Value::as_str);
    let pointer = reference.and_then(|reference| reference.strip_prefix('#'));
    let target = pointer.and_then(|pointer| document.pointer(pointer));
    target.unwrap_or(value)
}

/// The parameters of an operation, and those of all operations of its path.
fn parameters<'a>(document: &'a Value, item: &'a Value, written: &'a Value) -> Vec<&'a Value> {
    let lists = [item, written].map(|of| of.get("parameters").and_then(Value::as_array));
    let all = lists.into_iter().flatten().flatten();
    all.map(|parameter| resolved(document, parameter)).collect()
}

/// A path of the document as a pattern: signs stand for themselves, but for `*`, and a
/// parameter looks like the document says.
fn pattern(path: &str, parameters: &[&Value]) -> String {
    let mut pattern = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(sign) = rest.chars().next() {
        let name = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        if let Some((name, behind)) = name {
            let of = |parameter: &&&Value| {
                parameter["in"] == "path" && parameter["name"].as_str() == Some(name)
            };
            let parameter = parameters.iter().find(of);
            let form = parameter.and_then(|parameter| parameter["schema"]["pattern"].as_str());
            match form {
                Some(form) => {
                    let form = form.trim_start_matches('^').trim_end_matches('$');
                    pattern.push_str(&format!("{{{name}:(?:{form})}}"));
                }
                None => pattern.push_str(&format!("{{{name}}}")),
            }
            rest = behind;
            continue;
        }
        if "\\.+?()[]|^$".contains(sign) {
            pattern.push('\\');
        }
        pattern.push(sign);
        rest = &rest[sign.len_utf8()..];
    }
    pattern
}

/// The schema of an operation's body, if it has one; or what of it would not be validated.
pub(super) fn schema(document: &Value, place: &Place<'_>) -> Result<Option<Value>, String> {
    if document["openapi"]
        .as_str()
        .is_none_or(|of| !of.starts_with("3.0"))
    {
        return Err("schemas are validated in documents of OpenAPI 3.0 only".into());
    }
    let parameters = parameters(document, place.item, place.written);
    if let Some(parameter) = parameters.iter().find(|parameter| !is_free(parameter)) {
        let name = parameter["name"].as_str().unwrap_or_default();
        return Err(format!(
            "parameters are not validated, and `{name}` would have to be"
        ));
    }
    let Some(body) = place.written.get("requestBody") else {
        return Ok(None);
    };
    let content = resolved(document, body).get("content");
    let media = content.and_then(Value::as_object).into_iter().flatten();
    let mut media = media.map(|(name, media)| (name.split(';').next().unwrap_or_default(), media));
    match (media.next(), media.next()) {
        (None, _) => Ok(None),
        (Some(("application/json", media)), None) => Ok(media.get("schema").map(|schema| {
            let mut root = json!({"allOf": [schema]});
            // References lead from the root of the document.
            if let Some(components) = document.get("components") {
                root["components"] = components.clone();
            }
            allow_null(&mut root);
            root
        })),
        _ => Err("bodies of other types than application/json are not validated".into()),
    }
}

/// Whether a parameter may be anything: then it need not be validated.
fn is_free(parameter: &Value) -> bool {
    let schema = parameter["schema"].as_object();
    let is_text = |key: &String, value: &Value| key == "type" && value == "string";
    let is_said = |key: &String| matches!(key.as_str(), "description" | "example" | "title");
    parameter["in"] == "path"
        && schema.is_none_or(|schema| schema.iter().all(|(k, v)| is_text(k, v) || is_said(k)))
}

/// `nullable` of OpenAPI 3.0 as JSON Schema says it.
fn allow_null(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.values_mut().for_each(allow_null);
            if map.get("nullable") == Some(&Value::Bool(true))
                && let Some(Value::String(of)) = map.get("type")
            {
                let both = json!([of, "null"]);
                map.insert("type".into(), both);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(allow_null),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_documents_become_patterns() {
        let number = json!({"in": "path", "name": "id", "schema": {"pattern": "^[0-9]{2}$"}});
        let query = json!({"in": "query", "name": "name", "schema": {"pattern": "x"}});
        for (path, expected) in [
            ("/a", "/a"),
            ("/a.json", r"/a\.json"),
            ("/{id}/x", "/{id:(?:[0-9]{2})}/x"),
            ("/{name}/(x)", r"/{name}/\(x\)"),
            ("/a/*", "/a/*"),
            ("/a$", r"/a\$"),
            ("/{open", "/{open"),
        ] {
            assert_eq!(pattern(path, &[&number, &query]), expected, "{path}");
        }
    }

    #[test]
    fn nullable_values_may_be_null() {
        let mut schema = json!({"a": {"type": "string", "nullable": true}, "b": {"type": "x"}});
        allow_null(&mut schema);
        let expected = json!(["string", "null"]);
        assert_eq!(schema["a"]["type"], expected);
        assert_eq!(schema["b"]["type"], "x");
    }
}
