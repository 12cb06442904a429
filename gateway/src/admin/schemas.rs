//! The schemas of what the admin API takes and answers.

use serde_json::{Map, Value, json};

use crate::definition::{PolicyDefinition, SessionDefinition};

/// All schemas by name.
pub(super) fn all() -> Map<String, Value> {
    let mut schemas = Map::new();
    add::<SessionDefinition>("Session", &mut schemas);
    add::<PolicyDefinition>("Policy", &mut schemas);
    let others = [
        ("Api", api()),
        ("Apis", list_of("Api")),
        ("OasApi", oas_api()),
        ("OasApis", list_of("OasApi")),
        ("Policies", list_of("Policy")),
        (
            "Pem",
            json!({"type": "string", "description": "A PEM text."}),
        ),
        ("Object", json!({"type": "object"})),
    ];
    let others = others.into_iter().chain(answers());
    schemas.extend(others.map(|(name, schema)| (name.to_owned(), schema)));
    schemas
}

fn api() -> Value {
    json!({"type": "object", "description": "A definition in the classic form."})
}

fn oas_api() -> Value {
    let about = "An OpenAPI document with the extension x-tyk-api-gateway.";
    json!({"type": "object", "description": about, "required": ["openapi", "x-tyk-api-gateway"]})
}

fn list_of(name: &str) -> Value {
    json!({"type": "array", "items": {"$ref": format!("#/components/schemas/{name}")}})
}

/// What has a few keys only.
fn answers() -> [(&'static str, Value); 5] {
    let text = || json!({"type": "string"});
    let texts = || json!({"type": "array", "items": {"type": "string"}});
    let object = |properties: Value, required: &[&str]| json!({"type": "object", "properties": properties, "required": required});
    let done = json!({
        "key": text(), "status": text(), "action": text(), "key_hash": text(), "warnings": texts(),
    });
    let message = json!({"status": text(), "message": text()});
    let error = json!({"status": text(), "message": text(), "detail": text()});
    let update = json!({"policy": text(), "apply_policies": texts()});
    [
        ("Done", object(done, &["key", "status", "action"])),
        ("Message", object(message, &["status", "message"])),
        ("Error", object(error, &["status", "message"])),
        ("Keys", object(json!({"keys": texts()}), &["keys"])),
        ("PolicyUpdate", object(update, &[])),
    ]
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
