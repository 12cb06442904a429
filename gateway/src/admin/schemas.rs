//! The schemas of what the admin API takes and answers.

use serde_json::{Map, Value, json};

use crate::definition::{PolicyDefinition, SessionDefinition};

/// All schemas by name.
pub(super) fn all() -> Map<String, Value> {
    let mut schemas = Map::new();
    add::<SessionDefinition>("Session", &mut schemas);
    add::<PolicyDefinition>("Policy", &mut schemas);
    let text = || json!({"type": "string"});
    let object = |properties: Value, required: &[&str]| json!({"type": "object", "properties": properties, "required": required});
    let others = [
        (
            "Done",
            object(
                json!({
                    "key": text(), "status": text(), "action": text(), "key_hash": text(),
                    "warnings": {"type": "array", "items": text()},
                }),
                &["key", "status", "action"],
            ),
        ),
        (
            "Message",
            object(
                json!({"status": text(), "message": text()}),
                &["status", "message"],
            ),
        ),
        (
            "Error",
            object(
                json!({"status": text(), "message": text(), "detail": text()}),
                &["status", "message"],
            ),
        ),
        (
            "Keys",
            object(
                json!({"keys": {"type": "array", "items": text()}}),
                &["keys"],
            ),
        ),
        (
            "PolicyUpdate",
            object(
                json!({"policy": text(), "apply_policies": {"type": "array", "items": text()}}),
                &[],
            ),
        ),
        (
            "Policies",
            json!({"type": "array", "items": {"$ref": "#/components/schemas/Policy"}}),
        ),
        (
            "Api",
            json!({"type": "object", "description": "A definition in the classic form."}),
        ),
        (
            "Apis",
            json!({"type": "array", "items": {"$ref": "#/components/schemas/Api"}}),
        ),
        ("Object", json!({"type": "object"})),
    ];
    schemas.extend(others.map(|(name, schema)| (name.to_owned(), schema)));
    schemas
}

/// Adds the schema of a type, and of what it consists of.
fn add<T: schemars::JsonSchema>(name: &str, schemas: &mut Map<String, Value>) {
    let settings = schemars::generate::SchemaSettings::openapi3();
    let mut generator = settings.into_generator();
    let schema = generator.root_schema_for::<T>();
    let mut schema = schema.to_value();
    if let Some(document) = schema.as_object_mut() {
        document.remove("$schema");
        document.remove("components");
    }
    schemas.extend(generator.take_definitions(true));
    schemas.insert(name.to_owned(), schema);
}
