//! All five hooks, end to end.

use serde_json::json;
use test_harness::{Definition, Request, Upstream};

use super::{Driver, start};
use crate::gateway;

pub(crate) fn every_hook_leaves_its_mark_in_order(driver: Driver) {
    let setup = start(driver, "hooks", |api| {
        api.pre("MarkPre")
            .auth_check("CheckToken")
            .post_key_auth("MarkPostKeyAuth")
            .post("MarkPost")
            .response("MarkResponse")
    });
    let response = setup
        .gateway
        .send(&Request::get("/api/x").header("Authorization", "good"));
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("X-Response"), Some("response"));
    assert_eq!(response.header("X-Session-Plan"), Some("gold"));
    assert!(response.text().ends_with("}!"), "{response:?}");
    let length = response.body.len().to_string();
    assert_eq!(response.header("Content-Length"), Some(length.as_str()));
    let seen = setup.upstream.take_one();
    assert_eq!(seen.header("X-Trail"), Some("pre,auth,post_key_auth,post"));
    assert_eq!(seen.header("X-Plan"), Some("gold/gold"));
    assert_eq!(seen.header("X-Alias"), Some("a caller"));
    assert!(seen.problems.is_empty(), "{seen:?}");
}

pub(crate) fn hooks_of_one_kind_run_in_the_order_of_their_list(driver: Driver) {
    let setup = start(driver, "hooks", |api| {
        api.pre("SecondPre")
            .pre("MarkPre")
            .pre("SecondPre")
            .post("MarkPost")
    });
    assert_eq!(setup.gateway.get("/api/").status, 200);
    assert_eq!(
        setup.upstream.take_one().header("X-Trail"),
        Some("second,pre,second,post")
    );
}

pub(crate) fn a_disabled_hook_does_not_run(driver: Driver) {
    let setup = start(driver, "hooks", |api| {
        api.hook("pre", json!({"name": "MarkPre", "disabled": true}))
            .hook("pre", json!({"name": "NoSuchFunction", "disabled": true}))
            .pre("SecondPre")
    });
    assert_eq!(setup.gateway.get("/api/").status, 200);
    assert_eq!(setup.upstream.take_one().header("X-Trail"), Some("second"));
}

pub(crate) fn a_keyless_api_runs_pre_post_and_response_only(driver: Driver) {
    let setup = start(driver, "hooks", |api| {
        api.pre("MarkPre")
            .post_key_auth("MarkPostKeyAuth")
            .post("MarkPost")
            .response("MarkResponse")
    });
    let response = setup.gateway.get("/api/");
    assert_eq!(
        (response.status, response.header("X-Session-Plan")),
        (200, Some("none"))
    );
    assert_eq!(
        setup.upstream.take_one().header("X-Trail"),
        Some("pre,post")
    );
}

pub(crate) fn an_api_without_hooks_is_not_touched(driver: Driver) {
    let setup = start(driver, "hooks", |api| api);
    let response = setup.gateway.get("/api/");
    assert_eq!(
        (response.status, response.header("X-Response")),
        (200, None)
    );
    assert_eq!(setup.upstream.take_one().header("X-Trail"), None);
}

pub(crate) fn a_hook_sees_the_request_as_it_is(driver: Driver) {
    let setup = start(driver, "view", |api| {
        api.pre("Describe").set("/org_id", "the-org")
    });
    let request = Request::post("/api/a%20b?p=1%262&p=3&q", "grüße")
        .header("Host", "shop.example:81")
        .header("x-mIXED-case", "kept")
        .header("X-Many", "first")
        .header("X-Many", "second");
    assert_eq!(setup.gateway.send(&request).status, 200);
    let seen = setup.upstream.take_one();
    for (name, value) in [
        ("Saw-Url", "/api/a%20b?p=1%262&p=3&q"),
        ("Saw-Request-Uri", "/api/a%20b?p=1%262&p=3&q"),
        ("Saw-Method", "POST"),
        ("Saw-Scheme", "http"),
        ("Saw-Host", "shop.example:81"),
        ("Saw-Mixed-Case", "kept"),
        ("Saw-Many", "first"),
        ("Saw-Param", "1&2"),
        ("Saw-Body", "grüße"),
        ("Saw-Raw-Length", "7"),
        ("Saw-Code", "-1"),
        ("Saw-Api", "api"),
        ("Saw-Org", "the-org"),
        ("Saw-Bundle", "d41d8cd98f00b204e9800998ecf8427e"),
        ("Saw-Config", "absent"),
        ("Saw-Token", "none"),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }

    let request = Request::post("/api/", b"\xff\x00\xfe");
    assert_eq!(setup.gateway.send(&request).status, 200);
    let seen = setup.upstream.take_one();
    assert_eq!(
        seen.header("Saw-Body"),
        Some("empty"),
        "what is not UTF-8 is not shown as text"
    );
    assert_eq!(seen.header("Saw-Raw-Length"), Some("3"));
}

pub(crate) fn a_hook_sees_its_session_and_config(driver: Driver) {
    let setup = start(driver, "view", |api| {
        api.hook("pre", json!({"name": "Describe", "raw_body_only": true}))
            .set("/config_data", json!({"greeting": "hello"}))
    });
    assert_eq!(setup.gateway.post("/api/", "text").status, 200);
    let seen = setup.upstream.take_one();
    assert_eq!(seen.header("Saw-Config"), Some("hello"));
    assert_eq!(
        seen.header("Saw-Body"),
        Some("empty"),
        "raw_body_only hides the text"
    );
    assert_eq!(seen.header("Saw-Raw-Length"), Some("4"));

    let setup = start(driver, "view", |api| {
        api.pre("Describe")
            .set("/config_data", json!({"greeting": "hello"}))
            .set("/config_data_disabled", true)
    });
    assert_eq!(setup.gateway.get("/api/").status, 200);
    assert_eq!(
        setup.upstream.take_one().header("Saw-Config"),
        Some("absent")
    );
}

pub(crate) fn hooks_run_before_a_tunnel_opens(driver: Driver) {
    let upstream = Upstream::serving(|connection| {
        if connection.next_head().is_some() {
            connection.send(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            );
            while let Some(bytes) = connection.read_some() {
                connection.send(bytes);
            }
        }
    });
    let api = Definition::new("api").driver(driver).upstream(&upstream);
    let gateway = gateway()
        .fixture("hooks", driver)
        .conf(json!({"http_server_options": {"enable_websockets": true}}))
        .api(api.pre("MarkPre").auth_check("CheckToken").post("MarkPost"))
        .start();
    let handshake = Request::get("/api/")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket");
    gateway.send(&handshake).assert_error(403, "Forbidden");
    assert!(upstream.take().is_empty());
    let mut client = gateway.connect();
    let response = client.request(&handshake.header("Authorization", "good"));
    assert_eq!(response.status, 101, "{response:?}");
    client.send("through");
    assert_eq!(client.read_exactly(7).unwrap(), b"through");
    assert_eq!(upstream.take_one().header("X-Trail"), Some("pre,auth,post"));
}
