//! The binary with the language, driven as the gateway's own suite drives its binaries.

use serde_json::json;
use test_harness::{Definition, GatewayBuilder, Upstream};

const PLUGIN: &str = "# Marks.\nMarkPre: X-Mark = pre\nMarkResponse: X-Answer = response\n";

fn gateway() -> GatewayBuilder {
    GatewayBuilder::new(env!("CARGO_BIN_EXE_lang-template"))
}

#[test]
fn the_binary_lists_its_language() {
    let ended = gateway().run(&["version"]);
    assert!(ended.log.contains("languages: template"), "{}", ended.log);
}

#[test]
fn hooks_run_and_those_that_are_not_there_refuse() {
    let upstream = Upstream::echo();
    let api = |id: &str| Definition::new(id).driver("template").upstream(&upstream);
    let gateway = gateway()
        .plugin("template", "marks.tmpl", PLUGIN)
        .plugin("template", "broken.tmpl", "\nno function\n")
        .conf(json!({"coprocess_options": {"template_prefix": "my-"}}))
        .api(api("api").pre("MarkPre").response("MarkResponse"))
        .api(api("none").pre("NotThere"))
        .start();
    let response = gateway.get("/api/");
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("X-Answer"), Some("my-response"));
    assert_eq!(upstream.take_one().header("X-Mark"), Some("my-pre"));
    gateway.get("/none/").assert_error(500, "Middleware error");
    gateway.wait_for_log_with(&["NotThere", "MarkPre, MarkResponse", "broken.tmpl:2"]);
}
