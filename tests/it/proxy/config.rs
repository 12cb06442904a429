//! Bad input at start-up: named exactly, and never worse than it has to be.

use std::net::TcpListener;

use serde_json::json;
use test_harness::{Definition, Upstream};

use crate::gateway;

#[test]
fn broken_json_in_the_configuration_is_located() {
    let ended = gateway()
        .conf_text("{\n  \"listen_port\": 0,\n  \"secret\": oops\n}")
        .start_expecting_failure();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    for part in ["tyk.conf", "3", "13"] {
        assert!(
            ended.log.contains(part),
            "`{part}` is missing in: {}",
            ended.log
        );
    }
}

#[test]
fn a_value_of_the_wrong_type_is_named_with_its_path() {
    let ended = gateway()
        .conf(json!({"coprocess_options": {"enable_coprocess": "yes please"}}))
        .start_expecting_failure();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    for part in [
        "tyk.conf",
        "coprocess_options",
        "enable_coprocess",
        "boolean",
    ] {
        assert!(
            ended.log.contains(part),
            "`{part}` is missing in: {}",
            ended.log
        );
    }
}

#[test]
fn a_missing_configuration_file_is_one_clear_line() {
    let ended = gateway().run(&["--conf", "nowhere.conf"]);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    assert!(ended.log.contains("nowhere.conf"), "{}", ended.log);
    assert!(ended.log.trim_end().lines().count() <= 2, "{}", ended.log);
}

#[test]
fn unknown_keys_are_named_with_their_path_and_change_nothing() {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .conf(json!({"coprocess_options": {"enable_coproces": true}, "listen_prot": 1}))
        .api(
            Definition::new("a")
                .upstream(&upstream)
                .set("/proxy/strip_listen_pth", true),
        )
        .start();
    gateway.wait_for_log("coprocess_options.enable_coproces");
    gateway.wait_for_log("listen_prot");
    gateway.wait_for_log_with(&["a.json", "proxy.strip_listen_pth"]);
    assert_eq!(gateway.get("/a/").status, 200);
}

#[test]
fn unknown_keys_are_errors_under_strict() {
    let ended = gateway()
        .conf(json!({"coprocess_options": {"enable_coproces": true}}))
        .argument("--strict")
        .start_expecting_failure();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    assert!(
        ended.log.contains("coprocess_options.enable_coproces"),
        "{}",
        ended.log
    );
}

#[test]
fn a_broken_definition_is_located_and_leaves_the_other_apis_alone() {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .api(Definition::new("good").upstream(&upstream))
        .file(
            "apps/broken.json",
            "{\n \"api_id\": \"broken\",\n \"proxy\": {\"listen_path\" \"/b/\"}\n}",
        )
        .file(
            "apps/wrong.json",
            r#"{"api_id": "wrong", "use_keyless": 7}"#,
        )
        .start();
    gateway.wait_for_log_with(&["broken.json", "3", "26"]);
    gateway.wait_for_log_with(&["wrong.json", "use_keyless"]);
    assert_eq!(gateway.get("/good/").status, 200);
    assert_eq!(gateway.get("/b/").status, 404);
}

#[test]
fn two_apis_on_one_listen_path_are_told_apart_by_id() {
    let [first, second] = [(); 2].map(|()| Upstream::echo());
    let gateway = gateway()
        .api(Definition::new("a").listen("/dup").upstream(&first))
        .api(Definition::new("b").listen("/dup").upstream(&second))
        .start();
    gateway.wait_for_log_with(&["WARN", "/dup-b"]);
    assert_eq!(gateway.get("/dup/x").status, 200);
    assert_eq!(first.take_one().target, "/x");
    assert_eq!(gateway.get("/dup-b/x").status, 200);
    assert_eq!(second.take_one().target, "/x");
}

#[test]
fn an_unusable_listen_path_skips_its_api_only() {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .api(Definition::new("empty").listen("").upstream(&upstream))
        .api(
            Definition::new("spaced")
                .listen("/with space/")
                .upstream(&upstream),
        )
        .api(Definition::new("good").upstream(&upstream))
        .start();
    for id in ["empty", "spaced"] {
        gateway.wait_for_log_with(&[id, "listen path"]);
    }
    assert_eq!(gateway.get("/good/").status, 200);
}

#[test]
fn a_port_in_use_is_one_clear_line_and_exit_code_1() {
    let occupied = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = occupied.local_addr().unwrap().port();
    let ended = gateway()
        .conf(json!({"listen_port": port}))
        .start_expecting_failure();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    let lines: Vec<&str> = ended
        .log
        .lines()
        .filter(|line| line.contains(&port.to_string()))
        .collect();
    assert_eq!(lines.len(), 1, "{}", ended.log);
    assert!(lines[0].contains("in use"), "{}", ended.log);
    assert!(!ended.log.contains("panicked"), "{}", ended.log);
}

#[test]
fn the_well_known_sample_secret_is_refused() {
    let sample = json!({"secret": "352d20ee67be67f6340b4c0605b044b7"});
    let ended = gateway().conf(sample.clone()).start_expecting_failure();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    assert!(ended.log.contains("secret"), "{}", ended.log);
    let allowed = gateway()
        .conf(sample)
        .conf(json!({"allow_insecure_configs": true}))
        .start();
    assert_eq!(allowed.get("/hello").status, 200);
}

#[test]
fn variables_override_the_file() {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .api(Definition::new("a").target(&Upstream::nobody()))
        .file(
            "others/b.json",
            Definition::new("b").upstream(&upstream).json(),
        )
        .env("TYK_GW_APPPATH", "others")
        .env("TYK_GW_HIDEGENERATORHEADER", "true")
        .env("TYK_GW_HTTPSERVEROPTIONS_ENABLESTRICTROUTES", "true")
        .start();
    assert_eq!(gateway.get("/b/").status, 200);
    assert_eq!(gateway.get("/a/").status, 404);
}

#[test]
fn a_variable_that_does_not_fit_is_named() {
    let ended = gateway()
        .env("TYK_GW_WORKERS", "many")
        .start_expecting_failure();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    assert!(ended.log.contains("TYK_GW_WORKERS"), "{}", ended.log);
}
