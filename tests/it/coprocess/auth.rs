//! Plugins that decide who may call.

use test_harness::{Definition, Request};

use super::{Driver, start};

fn authenticated(api: Definition) -> Definition {
    api.auth_check("CheckToken")
        .post_key_auth("MarkPostKeyAuth")
}

pub(crate) fn a_token_opens_the_api(driver: Driver) {
    let setup = start(driver, "hooks", authenticated);
    let response = setup
        .gateway
        .send(&Request::get("/api/x").header("Authorization", "good"));
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(setup.upstream.take_one().target, "/x");
}

pub(crate) fn no_token_is_forbidden(driver: Driver) {
    let setup = start(driver, "hooks", authenticated);
    for request in [
        Request::get("/api/"),
        Request::get("/api/").header("Authorization", "bad"),
        Request::get("/api/").header("Authorization", ""),
        Request::post("/api/", "body"),
    ] {
        setup.gateway.send(&request).assert_error(403, "Forbidden");
    }
    assert!(setup.upstream.take().is_empty());
}

pub(crate) fn later_hooks_see_the_session(driver: Driver) {
    let setup = start(driver, "hooks", |api| {
        authenticated(api).response("MarkResponse")
    });
    let response = setup
        .gateway
        .send(&Request::get("/api/").header("Authorization", "good"));
    assert_eq!(
        response.header("X-Session-Plan"),
        Some("gold"),
        "{response:?}"
    );
    let seen = setup.upstream.take_one();
    assert_eq!(seen.header("X-Plan"), Some("gold/gold"));
    assert_eq!(seen.header("X-Alias"), Some("a caller"));
    assert_eq!(seen.header("X-Trail"), Some("auth,post_key_auth"));
}

pub(crate) fn a_failing_check_is_not_authorised(driver: Driver) {
    for function in ["AuthRaises", "AuthNothing"] {
        let setup = start(driver, "failing", |api| api.auth_check(function));
        setup
            .gateway
            .get("/api/")
            .assert_error(403, "Key not authorised");
        assert!(setup.upstream.take().is_empty(), "{function}");
    }
}

pub(crate) fn a_check_is_ignored_on_a_keyless_api(driver: Driver) {
    let setup = start(driver, "hooks", |api| {
        authenticated(api).set("/use_keyless", true)
    });
    assert_eq!(setup.gateway.get("/api/").status, 200);
    assert_eq!(setup.upstream.take_one().header("X-Trail"), None);
}

pub(crate) fn the_older_switch_works_too(driver: Driver) {
    let setup = start(driver, "hooks", |api| {
        authenticated(api)
            .set("/custom_plugin_auth_enabled", false)
            .set("/enable_coprocess_auth", true)
    });
    setup.gateway.get("/api/").assert_error(403, "Forbidden");
    let response = setup
        .gateway
        .send(&Request::get("/api/").header("Authorization", "good"));
    assert_eq!(response.status, 200);
}
