//! Code that was switched off because it cannot be stopped.

use serde_json::json;
use test_harness::{Bundle, BundleServer, Definition, Request, Upstream, wait};

use crate::gateway;

#[test]
fn a_bundle_that_was_switched_off_is_loaded_again_by_a_reload() {
    let (server, upstream) = (BundleServer::start(), Upstream::echo());
    let bundle = Bundle::new("python")
        .fixture("endless", "python")
        .hook("pre", json!({"name": "SpinWhenAsked", "timeout_ms": 50}));
    server.put("a.zip", bundle.zip());
    let api = Definition::new("a").upstream(&upstream);
    let gateway = gateway()
        .with_plugins()
        .conf(server.conf())
        .api(api.set("/custom_middleware_bundle", "a.zip"))
        .start();
    assert_eq!(gateway.get("/a/").status, 200);
    let spin = Request::get("/a/").header("X-Spin", "yes");
    wait::until("the bundle is switched off", || {
        assert_eq!(gateway.send(&spin).status, 500);
        gateway.get("/a/").status == 500
    });
    gateway.wait_for_log("disabled");
    // The content is the same, so nothing but this makes it load the code anew.
    gateway.reload();
    assert_eq!(gateway.get("/a/").status, 200);
}
