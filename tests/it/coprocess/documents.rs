//! Hooks of definitions that are OpenAPI documents.

use serde_json::{Value, json};
use test_harness::{Bundle, BundleServer, Request, Upstream};

use super::Driver;
use crate::gateway;
use crate::oas::{document, set};

fn hook(name: &str) -> Value {
    json!({"enabled": true, "functionName": name})
}

pub(crate) fn a_document_names_hooks_of_every_kind(driver: Driver) {
    let upstream = Upstream::echo();
    let global = json!({
        "pluginConfig": {"driver": driver},
        "prePlugins": [hook("MarkPre"), {"enabled": false, "functionName": "NoSuch"}],
        "postAuthenticationPlugin": {"plugins": [hook("MarkPostKeyAuth")]},
        "postPlugins": [hook("MarkPost")],
        "responsePlugins": [hook("MarkResponse")],
    });
    let custom = json!({"enabled": true, "config": hook("CheckToken")});
    let api = set(document("api", &upstream), "/middleware/global", global);
    let api = set(
        api,
        "/server/authentication",
        json!({"enabled": true, "custom": custom}),
    );
    let gateway = gateway()
        .fixture("hooks", driver)
        .file("apps/api.json", api.to_string())
        .start();
    gateway.get("/api/x").assert_error(403, "Forbidden");
    let request = Request::get("/api/x").header("Authorization", "good");
    let response = gateway.send(&request);
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("X-Response"), Some("response"));
    let trail = upstream.take_one().header("X-Trail").map(str::to_owned);
    assert_eq!(trail.as_deref(), Some("pre,auth,post_key_auth,post"));
}

pub(crate) fn a_document_names_a_bundle(driver: Driver) {
    let (server, upstream) = (BundleServer::start(), Upstream::echo());
    let bundle = Bundle::new(driver).tree("bundle_tree", driver);
    server.put("a.zip", bundle.pre("Tell").zip());
    let config = json!({"driver": driver, "bundle": {"enabled": true, "path": "a.zip"}});
    let api = set(
        document("api", &upstream),
        "/middleware/global/pluginConfig",
        config,
    );
    let gateway = gateway()
        .with_plugins()
        .conf(server.conf())
        .file("apps/api.json", api.to_string())
        .start();
    assert_eq!(gateway.get("/api/x").status, 200);
    let listed = gateway.admin("/tyk/apis/api/plugins").json();
    assert_eq!(listed["hooks"][0]["name"], "Tell", "{listed}");
}
