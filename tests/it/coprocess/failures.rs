//! Hooks that do not do their work: refused, logged, and nobody else notices.

use test_harness::{Definition, Request};

use super::{Driver, Setup, start};
use crate::gateway;

pub(crate) fn a_hook_that_fails_is_a_middleware_error(driver: Driver) {
    for function in [
        "Raises",
        "WrongShape",
        "Nothing",
        "BadCode",
        "DeepRecursion",
    ] {
        for place in [
            Definition::pre as fn(Definition, &str) -> Definition,
            Definition::post,
        ] {
            let setup = start(driver, "failing", |api| place(api, function));
            for _ in 0..2 {
                let response = setup.gateway.get("/api/");
                assert_eq!(response.status, 500, "{function}: {response:?}");
                response.assert_error(500, "Middleware error");
            }
            assert!(setup.upstream.take().is_empty(), "{function}");
        }
    }
}

pub(crate) fn the_log_has_the_traceback(driver: Driver) {
    let setup = start(driver, "failing", |api| api.pre("Raises"));
    assert_eq!(setup.gateway.get("/api/").status, 500);
    for part in ["planned failure", "failing.", "Raises", "api", driver] {
        setup.gateway.wait_for_log(part);
    }
    let log = setup.gateway.log().text();
    let source = test_harness::plugin_fixture("failing", driver);
    let file = std::fs::read_dir(source)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let text = std::fs::read_to_string(&file).unwrap();
    let line = 1 + text
        .lines()
        .position(|line| line.contains("planned failure"))
        .unwrap();
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    let told = [format!("{name}:{line}"), format!("{name}\", line {line}")];
    assert!(
        told.iter().any(|place| log.contains(place)),
        "none of {told:?} in the log"
    );
}

pub(crate) fn a_failing_response_hook_is_a_middleware_error(driver: Driver) {
    let setup = start(driver, "failing", |api| api.response("ResponseRaises"));
    setup
        .gateway
        .get("/api/")
        .assert_error(500, "Middleware error");
    setup.gateway.wait_for_log("planned failure");
}

pub(crate) fn a_hook_that_fails_harms_nobody_else(driver: Driver) {
    let setup = start(driver, "failing", |api| api.pre("Raises"));
    setup.gateway.write_api(
        &Definition::new("sound")
            .driver(driver)
            .pre("Works")
            .upstream(&setup.upstream),
    );
    setup
        .gateway
        .write_api(&Definition::new("plain").upstream(&setup.upstream));
    setup.gateway.reload();
    let mut client = setup.gateway.connect();
    for _ in 0..10 {
        assert_eq!(client.request(&Request::get("/api/")).status, 500);
        assert_eq!(client.request(&Request::get("/sound/")).status, 200);
        assert_eq!(setup.upstream.take_one().header("X-Works"), Some("yes"));
        assert_eq!(client.request(&Request::get("/plain/")).status, 200);
        assert_eq!(setup.upstream.take_one().header("X-Works"), None);
    }
}

pub(crate) fn nothing_malformed_ever_leaves(driver: Driver) {
    for function in ["LineBreak", "BadName", "BadUrl", "BadMethod"] {
        let setup = start(driver, "failing", |api| api.pre(function));
        setup
            .gateway
            .get("/api/")
            .assert_error(500, "Middleware error");
        assert!(setup.upstream.take().is_empty(), "{function}");
    }
    // The same on the way back: what a plugin wants to tell the client itself.
    let upstream = test_harness::Upstream::echo();
    let api = Definition::new("api")
        .driver(driver)
        .pre("Override")
        .upstream(&upstream);
    let gateway = gateway().fixture("overrides", driver).api(api).start();
    let setup = Setup { gateway, upstream };
    let request = Request::get("/api/")
        .header("X-Code", "200")
        .header("X-Header", "X Bad Name=value");
    setup
        .gateway
        .send(&request)
        .assert_error(500, "Middleware error");
    let request = Request::get("/api/").header("X-Code", "70");
    setup
        .gateway
        .send(&request)
        .assert_error(500, "Middleware error");
}
