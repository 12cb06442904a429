//! The document that describes the admin API.

use serde_json::Value;

use super::admin;
use crate::gateway;

#[test]
fn the_document_names_routes_that_are_there_and_schemas_that_it_has() {
    let gateway = gateway().start();
    assert_eq!(gateway.get("/tyk/openapi.json").status, 403);
    let response = gateway.admin("/tyk/openapi.json");
    assert_eq!(response.header("Content-Type"), Some("application/json"));
    let document = response.json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    for path in [
        "/hello",
        "/ready",
        "/tyk/apis",
        "/tyk/apis/{id}",
        "/tyk/apis/{id}/plugins",
        "/tyk/apis/oas",
        "/tyk/apis/oas/{id}",
        "/tyk/apis/oas/{id}/export",
        "/tyk/health",
        "/tyk/keys",
        "/tyk/keys/create",
        "/tyk/keys/preview",
        "/tyk/keys/policy/{hash}",
        "/tyk/keys/{key}",
        "/tyk/openapi.json",
        "/tyk/org/keys",
        "/tyk/org/keys/{org}",
        "/tyk/policies",
        "/tyk/policies/{id}",
        "/tyk/reload",
        "/tyk/reload/group",
    ] {
        assert!(paths.contains_key(path), "{path} is missing");
    }
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().unwrap() {
            let method = method.to_uppercase();
            assert!(operation["summary"].is_string(), "{method} {path}");
            let called = path.replace(['{', '}'], "");
            let response = admin(&gateway, &method, &called, "");
            let text = response.text();
            assert_ne!(response.status, 405, "{method} {path}: {text}");
            assert!(!text.contains(r#""Not found""#), "{method} {path}: {text}");
        }
    }
    let schemas = &document["components"]["schemas"];
    assert!(
        schemas["Session"]["properties"]["quota_max"].is_object(),
        "{schemas}"
    );
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 20, "{references:?}");
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(
            document.pointer(pointer).is_some(),
            "{reference} leads nowhere"
        );
    }
}

/// All references of a document.
fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                found.push(reference.clone());
            }
            map.values().for_each(|value| collect(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}
