//! Definitions that are OpenAPI documents with an extension for gateways.

mod admin;
mod files;

use serde_json::{Value, json};
use test_harness::Upstream;

/// A document with three operations, whose API `id` listens at `/<id>/`.
pub(crate) fn document(id: &str, upstream: &Upstream) -> Value {
    let operation =
        |id: &str| json!({"operationId": id, "responses": {"200": {"description": ""}}});
    json!({
        "openapi": "3.0.3",
        "info": {"title": id, "version": "1"},
        "paths": {
            "/things": {"get": operation("list"), "post": operation("make")},
            "/things/{id}": {"get": operation("show")},
        },
        "x-tyk-api-gateway": {
            "info": {"id": id, "orgId": "org", "name": id, "state": {"active": true}},
            "upstream": {"url": upstream.url("")},
            "server": {"listenPath": {"value": format!("/{id}/"), "strip": true}},
        },
    })
}

/// The same with a value set below the extension, by JSON pointer; objects on the way are made.
pub(crate) fn set(mut document: Value, pointer: &str, value: Value) -> Value {
    let mut slot = &mut document["x-tyk-api-gateway"];
    for key in pointer.split('/').skip(1) {
        slot = &mut slot[key];
    }
    *slot = value;
    document
}

/// The same with a security scheme that the document declares and the extension turns on.
fn secured(mut document: Value, name: &str, declared: Value, extension: Value) -> Value {
    document["components"]["securitySchemes"][name] = declared;
    document["security"] = json!([{name: []}]);
    let pointer = format!("/server/authentication/securitySchemes/{name}");
    let document = set(document, "/server/authentication/enabled", json!(true));
    set(document, &pointer, extension)
}
