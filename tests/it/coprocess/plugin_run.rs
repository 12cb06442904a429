//! `gateway plugin run` and `gateway plugin test`: hooks without a server.

use serde_json::{Value, json};
use test_harness::bundle::Bundle;
use test_harness::{GatewayBuilder, Request};

use super::{Driver, start};
use crate::gateway;

fn with(driver: Driver, scenario: &str, request: &Value) -> GatewayBuilder {
    gateway()
        .fixture(scenario, driver)
        .file("request.json", request.to_string())
}

/// Runs a hook of a scenario's folder; the result as JSON.
#[track_caller]
fn run(driver: Driver, scenario: &str, hook: &str, hook_type: &str, request: &Value) -> Value {
    let ended = with(driver, scenario, request).run(&[
        "plugin",
        "run",
        "--driver",
        driver,
        "--hook",
        hook,
        "--type",
        hook_type,
        "--request",
        "request.json",
        "--json",
    ]);
    let line = ended.log.lines().find(|line| line.starts_with('{'));
    let line = line.unwrap_or_else(|| panic!("no JSON: {}", ended.log));
    let result: Value = serde_json::from_str(line).unwrap();
    assert_eq!(
        ended.status.success(),
        result["ok"] == true,
        "{}",
        ended.log
    );
    result
}

pub(crate) fn the_same_comes_out_as_goes_to_an_upstream(driver: Driver) {
    let setup = start(driver, "edits", |api| api.pre("Edit"));
    for (header, value) in [
        ("X-Nothing", "1"),
        ("X-Set-Url", "/api/new?c=d"),
        ("X-Set-Method", "PUT"),
        ("X-Set-Header", "x-old=new"),
        ("X-Delete-Header", "x-oLD"),
        ("X-Add-Param", "b=4 & 5"),
        ("X-Delete-Param", "b"),
        ("X-Set-Body", "longer than before"),
        ("X-Set-Body", "empty"),
        ("X-Edit-Views", "1"),
        ("X-Set-Header", "Content-Length=1"),
    ] {
        let request = Request::post("/api/x?b=2&a=1", "hello")
            .header("X-Old", "1")
            .header(header, value);
        assert_eq!(setup.gateway.send(&request).status, 200, "{header}");
        let seen = setup.upstream.take_one();
        let described = json!({
            "method": "POST", "url": "/api/x?b=2&a=1", "body": "hello",
            "headers": { "X-Old": "1", header: value },
        });
        let result = run(driver, "edits", "Edit", "pre", &described);
        let after = &result["after"];
        assert_eq!(after["method"], seen.method, "{header}");
        assert_eq!(
            after["body"],
            String::from_utf8_lossy(&seen.body).into_owned(),
            "{header}"
        );
        let url = after["url"].as_str().unwrap();
        assert_eq!(url.strip_prefix("/api").unwrap(), seen.target, "{header}");
        assert_eq!(
            after["headers"]["X-Old"].as_str(),
            seen.header("X-Old"),
            "{header}"
        );
        let length = after["headers"]["Content-Length"].as_str();
        assert_eq!(length, seen.header("Content-Length"), "{header}");
    }
}

pub(crate) fn an_auth_hook_accepts_or_rejects(driver: Driver) {
    let request = json!({ "headers": { "Authorization": "good" } });
    let result = run(driver, "hooks", "CheckToken", "auth_check", &request);
    assert_eq!(result["accepted"], true, "{result}");
    assert_eq!(
        result["session"]["meta_data"]["token"], "caller-1",
        "{result}"
    );
    assert_eq!(result["session"]["alias"], "a caller", "{result}");
    let result = run(driver, "hooks", "CheckToken", "auth_check", &json!({}));
    assert_eq!(result["accepted"], false, "{result}");
}

pub(crate) fn a_later_hook_is_given_the_session_of_the_file(driver: Driver) {
    let session = json!({ "alias": "a caller", "metadata": { "plan": "gold" } });
    let request = json!({ "session": session });
    let result = run(
        driver,
        "hooks",
        "MarkPostKeyAuth",
        "post_key_auth",
        &request,
    );
    assert_eq!(
        result["after"]["headers"]["X-Plan"], "gold/gold",
        "{result}"
    );
    assert_eq!(
        result["after"]["headers"]["X-Alias"], "a caller",
        "{result}"
    );
}

pub(crate) fn a_response_hook_is_given_a_response(driver: Driver) {
    let response = json!({
        "status": 200, "headers": { "X-Removed": "1", "X-Changed": ["old"] }, "body": "text",
    });
    let request = json!({ "response": response });
    let result = run(driver, "responses", "Rewrite", "response", &request);
    assert_eq!(result["before"]["headers"]["X-Removed"], "1", "{result}");
    let after = &result["after"];
    assert_eq!(
        (&after["status"], &after["body"]),
        (&json!(202), &json!("rewritten: text"))
    );
    assert_eq!(after["headers"]["X-Removed"], Value::Null, "{result}");
    assert_eq!(after["headers"]["X-Changed"], "new", "{result}");
}

pub(crate) fn a_hook_that_fails_ends_with_one_and_names_its_place(driver: Driver) {
    let result = run(driver, "failing", "Raises", "pre", &json!({}));
    let error = result["error"].as_str().unwrap();
    for part in ["planned failure", "failing.", "Raises"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let ended = with(driver, "failing", &json!({})).run(&[
        "plugin", "run", "--driver", driver, "--hook", "Raises", "--type", "pre",
    ]);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    assert!(
        ended.log.contains("pre hook `Raises` failed: "),
        "{}",
        ended.log
    );
}

pub(crate) fn people_see_a_difference_without_colours_where_no_terminal_is(driver: Driver) {
    let request = json!({ "headers": { "X-Delete-Header": "X-Old", "X-Old": "1" } });
    let ended = with(driver, "edits", &request).run(&[
        "plugin",
        "run",
        "--driver",
        driver,
        "--hook",
        "Edit",
        "--type",
        "pre",
        "--request",
        "request.json",
        "--repeat",
        "5",
    ]);
    assert!(ended.status.success(), "{}", ended.log);
    assert!(ended.log.contains("\n-X-Old: 1\n"), "{}", ended.log);
    assert!(ended.log.contains("5 calls: median "), "{}", ended.log);
    assert!(!ended.log.contains('\x1b'), "{}", ended.log);
}

/// A command line that must be refused, and what is said.
#[track_caller]
fn refused(driver: Driver, request: &str, arguments: &str, expected: &str) {
    let arguments = arguments.replace("DRIVER", driver);
    let manifest =
        r#"{"file_list": ["gone.txt"], "custom_middleware": {"pre": [{"name": "Edit"}]}}"#;
    let mut line = vec!["plugin", "run"];
    line.extend(arguments.split_whitespace());
    let ended = gateway()
        .fixture("edits", driver)
        .file("request.json", request)
        .file("bundle/manifest.json", manifest)
        .run(&line);
    assert_eq!(ended.status.code(), Some(2), "{line:?}: {}", ended.log);
    assert!(ended.log.contains(expected), "{line:?}: {}", ended.log);
}

pub(crate) fn a_wrong_command_line_ends_with_two_and_says_why(driver: Driver) {
    for (arguments, expected) in [
        (
            "--hook Edit",
            "name the code: --bundle DIR, --file FILE or --driver",
        ),
        (
            "--driver DRIVER --hook Edit",
            "no manifest says what kind of hook `Edit` is; add --type",
        ),
        (
            "--driver DRIVER --hook Edit --type prae",
            "no hook type `prae`; there are: pre, auth_check",
        ),
        (
            "--bundle bundle --hook Edit --type pre",
            "file_list names gone.txt, which is not there",
        ),
        ("--bundle nowhere --hook Edit", "nowhere: No such file"),
        ("--bundle request.json --hook Edit", "request.json: "),
        ("--file request.json --hook Edit --type pre", "add --driver"),
        (
            "--file request.json --hook Edit --type pre --driver cobol",
            "driver `cobol` is not in this binary, which has: ",
        ),
        (
            "--driver DRIVER --hook Edit --type pre --request gone",
            "gone: No such file",
        ),
    ] {
        refused(driver, "{}", arguments, expected);
    }
}

pub(crate) fn a_request_that_cannot_be_used_ends_with_two_and_says_why(driver: Driver) {
    let arguments = "--driver DRIVER --hook Edit --type pre --request request.json";
    for (request, expected) in [
        (r#"{"metod": 1}"#, "unknown field `metod`"),
        (r#"{"url": "a b"}"#, "url \"a b\": "),
        (r#"{"method": "A B"}"#, "method \"A B\": "),
        (r#"{"headers": {"a b": "1"}}"#, "header \"a b\": "),
        (r#"{"headers": {"a": "\n"}}"#, "header \"a\": "),
        (
            r#"{"body": "1", "body_base64": "MQ=="}"#,
            "three ways to say one thing",
        ),
        (r#"{"body_base64": "?"}"#, "body_base64: "),
        (r#"{"body_file": "nowhere"}"#, "body_file: nowhere: "),
        (r#"{"session": {"rate": "fast"}}"#, "session: "),
        ("hello", "is neither JSON nor an HTTP message"),
        ("{", "request.json:1:1: EOF"),
    ] {
        refused(driver, request, arguments, expected);
    }
}

/// A bundle of the `edits` scenario with these cases.
fn bundle(driver: Driver, cases: &[(&str, Value)]) -> GatewayBuilder {
    let mut built = gateway();
    let bundle = Bundle::new(driver).fixture("edits", driver).pre("Edit");
    bundle.place(&built.folder().join("bundle"));
    built = built.file("bundle.zip", bundle.zip());
    for (name, case) in cases {
        built = built.file(&format!("bundle/tests/{name}.json"), case.to_string());
    }
    built
}

pub(crate) fn a_bundle_runs_from_its_folder_and_from_its_archive(driver: Driver) {
    for place in ["bundle", "bundle.zip"] {
        let ended =
            bundle(driver, &[]).run(&["plugin", "run", "--bundle", place, "--hook", "Edit"]);
        assert!(ended.status.success(), "{place}: {}", ended.log);
        let said = "pre hook `Edit` ran in ";
        assert!(ended.log.contains(said), "{place}: {}", ended.log);
    }
    let ended = bundle(driver, &[]).run(&["plugin", "run", "--bundle", "bundle", "--hook", "Edti"]);
    assert_eq!(ended.status.code(), Some(2), "{}", ended.log);
    let said = "manifest.json has no hook `Edti`; it has: Edit (pre)";
    assert!(ended.log.contains(said), "{}", ended.log);
}

pub(crate) fn cases_say_what_is_expected_and_what_there_was(driver: Driver) {
    let request =
        json!({ "headers": { "X-Set-Header": "X-Old=new", "X-Delete-Header": "X-Gone" } });
    let good = json!({ "after": { "headers": { "X-Old": "new", "X-Gone": null } }, "ok": true });
    let bad = json!({ "after": { "headers": { "X-Old": "older" } } });
    let case = |expect: &Value| json!({ "hook": "Edit", "request": request, "expect": expect });
    let method = json!({ "headers": { "X-Set-Method": "NO METHOD" } });
    let fails = json!({ "hook": "Edit", "request": method, "expect": { "error": "method" } });
    let ended = bundle(driver, &[("a", case(&good)), ("c", fails)])
        .run(&["plugin", "test", "--bundle", "bundle"]);
    assert!(ended.status.success(), "{}", ended.log);
    assert!(
        ended
            .log
            .contains("ok      a\nok      c\n2 passed, 0 failed\n"),
        "{}",
        ended.log
    );
    let ended = bundle(driver, &[("a", case(&good)), ("b", case(&bad))])
        .run(&["plugin", "test", "--bundle", "bundle"]);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    for part in [
        "FAILED  b",
        "expect.after.headers.X-Old",
        "-\"older\"",
        "+\"new\"",
        "1 passed, 1 failed",
    ] {
        assert!(ended.log.contains(part), "{part}: {}", ended.log);
    }
    let ended = bundle(driver, &[]).run(&["plugin", "test", "--bundle", "bundle"]);
    assert_eq!(ended.status.code(), Some(2), "{}", ended.log);
}
