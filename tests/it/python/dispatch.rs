//! Where the hooks of an API run, when its definition says so.

use serde_json::json;
use test_harness::bundle::md5_hex;
use test_harness::{Bundle, Definition};

use crate::gateway;

const SOURCE: &str = r#"
from tyk.decorators import *

@Hook
def Where(request, session, spec):
    with open("/proc/thread-self/comm") as name:
        request.object.return_overrides.response_body = name.read()
    request.object.return_overrides.response_code = 200
    return request, session
"#;

/// The manifest of a bundle whose author wants threads.
fn manifest() -> String {
    let bundle = Bundle::new("python").file("middleware.py", SOURCE);
    let mut manifest = bundle.pre("Where").manifest();
    manifest["custom_middleware"]["dispatch"] = json!("thread");
    manifest.to_string()
}

#[test]
fn an_api_says_where_its_hooks_run_and_others_are_not_asked() {
    let api = |id: &str| Definition::new(id).driver("python");
    let place = |id: &str, place: &str| {
        let api = api(id).pre("Where");
        api.set("/custom_middleware/dispatch", place)
    };
    let bundled = |id: &str| api(id).set("/custom_middleware_bundle", "b.zip");
    let folder = format!("middleware/bundles/{}", md5_hex("b.zip"));
    let gateway = gateway()
        .python("where.py", SOURCE)
        .file(&format!("{folder}/manifest.json"), manifest())
        .file(&format!("{folder}/middleware.py"), SOURCE)
        .api(place("inline", "inline"))
        .api(place("thread", "thread"))
        .api(place("auto", "auto"))
        .api(api("silent").pre("Where"))
        .api(bundled("authors"))
        .api(bundled("operators").set("/custom_middleware/dispatch", "inline"))
        .api(place("wrong", "fast"))
        .start();
    for (id, expected) in [
        ("inline", "data-"),
        ("thread", "py-host"),
        // What opens files may wait, so it never runs in place by itself.
        ("auto", "py-host"),
        ("silent", "py-host"),
        ("authors", "py-host"),
        ("operators", "data-"),
    ] {
        let response = gateway.get(&format!("/{id}/"));
        let text = response.text();
        assert!(text.starts_with(expected), "{id}: {response:?}");
    }
    assert_eq!(gateway.get("/wrong/").status, 404);
    let ready = gateway.get("/ready").text();
    for told in [
        "custom_middleware.dispatch",
        "fast",
        "auto",
        "inline",
        "thread",
    ] {
        assert!(ready.contains(told), "`{told}` is missing in {ready}");
    }
}
