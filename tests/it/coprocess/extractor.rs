//! The ID extractor: callers whom the plugin has accepted before.

use serde_json::{Value, json};
use test_harness::{Definition, Gateway, Request, Upstream};

use super::sessions::{admin, assert_shown, call, checked, every_field, names_to_show, stored};
use super::{Driver, Setup, start};
use crate::gateway;

/// Far away, and not never.
pub(crate) const FUTURE: i64 = 4_102_444_800;

/// The session id of the value `abc`: the organisation, and the value's MD5.
pub(crate) const ID: &str = "org900150983cd24fb0d6963f7d28e17f72";

const FORM: &str = "application/x-www-form-urlencoded";

fn extractor(from: &str, with: &str) -> Value {
    json!({
        "extract_from": from,
        "extract_with": with,
        "extractor_config": {
            "header_name": "X-Id",
            "param_name": "id",
            "regex_expression": "[a-z]{3}",
            "xpath_expression": "//user[@kind='key']/id",
        },
    })
}

pub(crate) fn by_header(api: Definition) -> Definition {
    checked(api).set(
        "/custom_middleware/id_extractor",
        extractor("header", "value"),
    )
}

fn start_by_header(driver: Driver) -> Setup {
    start(driver, "sessions", by_header)
}

/// A request with an id in its header, and nothing that the plugin would accept.
pub(crate) fn known(id: &str) -> Request {
    Request::get("/api/").header("X-Id", id)
}

/// The same with what the plugin accepts.
pub(crate) fn accepted(request: Request, session: &Value) -> Request {
    request
        .header("X-Token", "token-1")
        .header("X-Session", session.to_string())
}

pub(crate) fn cached() -> Value {
    json!({"id_extractor_deadline": FUTURE})
}

/// Whether the plugin was called for the only request that the upstream saw.
#[track_caller]
pub(crate) fn was_asked(upstream: &Upstream) -> bool {
    upstream.take_one().header("X-Checked").is_some()
}

const XML: &str = "<users><user><id>no</id></user><user kind='key'><id>a&#98;c</id></user></users>";

type Make = fn() -> Request;

pub(crate) fn every_combination_spares_the_plugin_the_second_call(driver: Driver) {
    let rows: &[(&str, &str, Make)] = &[
        ("header", "value", || known("abc")),
        ("header", "regex", || known("KEY 12-abc def")),
        ("header", "xpath", || known(XML)),
        ("form", "value", || Request::get("/api/?x=1&id=a&id=b%63")),
        ("form", "value", || {
            Request::post("/api/?id=c", "x=1&id=ab").header("Content-Type", FORM)
        }),
        ("form", "regex", || Request::get("/api/?id=12abc!")),
        ("form", "xpath", || {
            Request::get("/api/?id=%3Cuser%20kind='key'%3E%3Cid%3Eabc%3C/id%3E%3C/user%3E")
        }),
        ("body", "regex", || Request::post("/api/", "1 2 abc def")),
        ("body", "xpath", || Request::post("/api/", XML)),
    ];
    for (from, with, make) in rows {
        let setup = start(driver, "sessions", |api| {
            checked(api).set("/custom_middleware/id_extractor", extractor(from, with))
        });
        let send = |request: &Request| setup.gateway.send(request);
        send(&make()).assert_error(403, "Forbidden");
        let response = send(&accepted(make(), &cached()));
        assert_eq!(response.status, 200, "{from} {with}: {response:?}");
        assert!(was_asked(&setup.upstream), "{from} {with}");
        for _ in 0..3 {
            let response = send(&make());
            assert_eq!(response.status, 200, "{from} {with}: {response:?}");
            assert!(!was_asked(&setup.upstream), "{from} {with}");
        }
        let session = stored(&setup.gateway, ID).unwrap_or_default();
        assert_eq!(session["meta_data"]["token"], "token-1", "{from} {with}");
        let listed = setup.gateway.admin("/tyk/keys").json();
        assert_eq!(listed, json!({"keys": [ID]}), "{from} {with}");
    }
}

pub(crate) fn a_hit_brings_back_every_field(driver: Driver) {
    for disabled in [false, true] {
        let upstream = Upstream::echo();
        let api = by_header(Definition::new("api").driver(driver).upstream(&upstream));
        let gateway = gateway()
            .fixture("sessions", driver)
            .conf(json!({"local_session_cache": {"disable_cached_session_state": disabled}}))
            .api(api.post_key_auth("Show").response("ShowResponse"))
            .start();
        let show = |request: Request| request.header("X-Show", names_to_show());
        let first = gateway.send(&show(accepted(known("abc"), &every_field())));
        assert_eq!(first.status, 200, "{first:?}");
        assert!(was_asked(&upstream));
        // The first look may come before the session is in the store.
        assert!(stored(&gateway, ID).is_some());
        let hit = gateway.send(&show(known("abc")));
        assert_eq!(hit.header("Saw-Alias"), Some("a caller"), "{hit:?}");
        assert_eq!(hit.header("X-RateLimit-Limit"), Some("100"));
        let seen = upstream.take_one();
        assert_eq!(seen.header("X-Checked"), None);
        let seen = seen.header("Saw-Session").unwrap();
        assert_shown(&serde_json::from_str(seen).unwrap(), "token-1", ID);
    }
}

pub(crate) fn what_has_no_id_is_refused_before_the_plugin(driver: Driver) {
    let rows: &[(&str, &str, Make)] = &[
        ("header", "value", || Request::get("/api/")),
        ("header", "value", || known("")),
        ("header", "regex", || known("12 AB")),
        ("header", "xpath", || known("<user/>")),
        ("header", "xpath", || known("no document")),
        ("form", "value", || Request::get("/api/")),
        ("form", "value", || Request::get("/api/?id=")),
        ("form", "value", || {
            Request::post("/api/", "id=abc").header("Content-Type", "text/plain")
        }),
        ("body", "regex", || Request::get("/api/")),
        ("body", "regex", || Request::post("/api/", "12")),
        ("body", "xpath", || Request::post("/api/", "<a><b></a>")),
        ("body", "xpath", || Request::post("/api/", b"<a>\xff</a>")),
        ("body", "xpath", || {
            let entity = "<!DOCTYPE user [<!ENTITY e 'abc'>]><user kind='key'><id>&e;</id></user>";
            Request::post("/api/", entity)
        }),
    ];
    for (from, with, make) in rows {
        let setup = start(driver, "sessions", |api| {
            checked(api).set("/custom_middleware/id_extractor", extractor(from, with))
        });
        setup
            .gateway
            .send(&accepted(make(), &cached()))
            .assert_error(400, "Authorization field missing");
        assert!(setup.upstream.take().is_empty());
    }
    let setup = start(driver, "sessions", |api| {
        let mut third = extractor("header", "regex");
        third["extractor_config"]["regex_match_index"] = json!(2);
        checked(api).set("/custom_middleware/id_extractor", third)
    });
    setup
        .gateway
        .send(&accepted(known("abc def"), &cached()))
        .assert_error(400, "Authorization field missing");
    let response = setup
        .gateway
        .send(&accepted(known("def ghi abc"), &cached()));
    assert_eq!(response.status, 200);
    assert!(stored(&setup.gateway, ID).is_some());
}

pub(crate) fn a_session_without_a_deadline_to_come_asks_the_plugin_again(driver: Driver) {
    let setup = start_by_header(driver);
    for session in [json!({}), json!({"id_extractor_deadline": 1000})] {
        for _ in 0..2 {
            let response = setup.gateway.send(&accepted(known("abc"), &session));
            assert_eq!(response.status, 200, "{response:?}");
            assert!(was_asked(&setup.upstream));
        }
        setup
            .gateway
            .send(&known("abc"))
            .assert_error(403, "Forbidden");
    }
}

pub(crate) fn a_token_is_not_needed_where_the_session_has_a_deadline(driver: Driver) {
    let setup = start_by_header(driver);
    let without = |session: &Value| known("abc").header("X-Session", session.to_string());
    for refused in [
        json!({}),
        json!({"metadata": {"note": "nobody knows you"}}),
        json!({"rate": 5, "alias": "before the password"}),
    ] {
        setup
            .gateway
            .send(&without(&refused))
            .assert_error(403, "Forbidden");
    }
    assert_eq!(setup.gateway.send(&without(&cached())).status, 200);
    assert!(was_asked(&setup.upstream));
    assert_eq!(setup.gateway.send(&known("abc")).status, 200);
    assert!(!was_asked(&setup.upstream));
    let session = json!({"id_extractor_deadline": FUTURE, "org_id": "org"});
    assert_eq!(stored(&setup.gateway, ID), Some(session));
}

pub(crate) fn another_identity_is_not_replaced_by_a_known_caller(driver: Driver) {
    let upstream = Upstream::echo();
    let named = |id: &str| by_header(Definition::new(id).driver(driver).upstream(&upstream));
    let gateway = gateway()
        .fixture("sessions", driver)
        .api(named("api"))
        .api(named("other").set("/base_identity_provided_by", "jwt_claim"))
        .start();
    let first = gateway.send(&accepted(known("abc"), &cached()));
    assert_eq!(first.status, 200);
    assert_eq!(gateway.send(&known("abc")).status, 200);
    let elsewhere = Request::get("/other/").header("X-Id", "abc");
    gateway.send(&elsewhere).assert_error(403, "Forbidden");
}

pub(crate) fn a_colliding_id_does_not_let_its_caller_in(driver: Driver) {
    let upstream = Upstream::echo();
    let api = by_header(Definition::new("api").driver(driver).upstream(&upstream));
    let gateway = gateway()
        .fixture("sessions", driver)
        .conf(json!({"hash_keys": true, "enable_hashed_keys_listing": true}))
        .api(api)
        .start();
    // The ids of both values have the same hash of 32 bits.
    let first = gateway.send(&accepted(known("k77202"), &cached()));
    assert_eq!(first.status, 200);
    assert_eq!(gateway.send(&known("k77202")).status, 200);
    let listed = gateway.admin("/tyk/keys").json();
    assert_eq!(listed, json!({"keys": ["9487e0ea"]}));
    gateway.send(&known("k1294")).assert_error(403, "Forbidden");
}

pub(crate) fn a_deleted_session_is_asked_for_again(driver: Driver) {
    let setup = start_by_header(driver);
    let first = setup.gateway.send(&accepted(known("abc"), &cached()));
    assert_eq!(first.status, 200);
    assert_eq!(setup.gateway.send(&known("abc")).status, 200);
    let deleted = admin(&setup.gateway, "DELETE", &format!("/tyk/keys/{ID}"));
    assert_eq!(deleted.json()["action"], "deleted");
    setup
        .gateway
        .send(&known("abc"))
        .assert_error(403, "Forbidden");
}

pub(crate) fn a_session_says_no_without_the_plugin_too(driver: Driver) {
    let setup = start_by_header(driver);
    let mut session = cached();
    session["is_inactive"] = json!(true);
    for request in [accepted(known("abc"), &session), known("abc")] {
        setup
            .gateway
            .send(&request)
            .assert_error(403, "Key is inactive, please renew");
    }
    assert!(setup.upstream.take().is_empty());
}

pub(crate) fn ids_have_the_form_of_the_hash_function(driver: Driver) {
    // Base64 of `{"org":"org","id":"900150983cd24fb0d6963f7d28e17f72","h":"murmur64"}`.
    let id = "eyJvcmciOiJvcmciLCJpZCI6IjkwMDE1MDk4M2NkMjRmYjBkNjk2M2Y3ZDI4ZTE3ZjcyIiwiaCI6Im11\
              cm11cjY0In0=";
    for hashed in [false, true] {
        let upstream = Upstream::echo();
        let api = by_header(Definition::new("api").driver(driver).upstream(&upstream));
        let gateway = gateway()
            .fixture("sessions", driver)
            .conf(json!({"hash_keys": hashed, "hash_key_function": "murmur64"}))
            .api(api)
            .start();
        let first = gateway.send(&accepted(known("abc"), &cached()));
        assert_eq!(first.status, 200);
        assert!(was_asked(&upstream));
        assert_eq!(gateway.send(&known("abc")).status, 200);
        assert!(!was_asked(&upstream));
        assert!(stored(&gateway, id).is_some(), "hashed: {hashed}");
    }
}

pub(crate) fn bodies_go_on_to_the_byte(driver: Driver) {
    let form = b"a=%20&id=abc&b=\xff+\x00&id=".to_vec();
    let xml = XML.as_bytes().to_vec();
    let binary = b"\x00\xffabc\x80 \r\n".to_vec();
    for (from, with, body) in [
        ("form", "value", form),
        ("body", "xpath", xml),
        ("body", "regex", binary),
    ] {
        let setup = start(driver, "sessions", |api| {
            checked(api).set("/custom_middleware/id_extractor", extractor(from, with))
        });
        let plain = || Request::post("/api/", body.clone()).header("Content-Type", FORM);
        let mut chunks = format!("{:x}\r\n", body.len()).into_bytes();
        chunks.extend_from_slice(&body);
        chunks.extend_from_slice(b"\r\n0\r\n\r\n");
        let chunked = || {
            let head = Request::new("POST", "/api/")
                .header("Content-Type", FORM)
                .header("Transfer-Encoding", "chunked");
            [head.bytes(), chunks.clone()].concat()
        };
        let response = setup.gateway.send(&accepted(plain(), &cached()));
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(setup.upstream.take_one().body, body, "with the plugin");
        assert_eq!(setup.gateway.send(&plain()).status, 200);
        let seen = setup.upstream.take_one();
        assert_eq!(seen.header("X-Checked"), None);
        assert_eq!(seen.body, body, "{from} {with}");
        let mut client = setup.gateway.connect();
        client.send(chunked());
        assert_eq!(client.read_final("POST").unwrap().status, 200);
        let seen = setup.upstream.take_one();
        assert_eq!(seen.body, body, "{from} {with}, chunked");
        assert!(seen.problems.is_empty(), "{seen:?}");
    }
}

pub(crate) fn a_long_body_is_searched_as_well(driver: Driver) {
    let setup = start(driver, "sessions", |api| {
        checked(api).set(
            "/custom_middleware/id_extractor",
            extractor("body", "regex"),
        )
    });
    let mut body = vec![b'1'; 3_000_000];
    body.extend_from_slice(b"abc");
    let send = |request: &Request| setup.gateway.send(request).status;
    let plain = Request::post("/api/", body.clone());
    assert_eq!(send(&accepted(plain.clone(), &cached())), 200);
    assert_eq!(setup.upstream.take_one().body.len(), body.len());
    assert_eq!(send(&plain), 200);
    assert!(!was_asked(&setup.upstream));
    assert!(stored(&setup.gateway, ID).is_some());
}

/// Settings that cannot work, and what the log says of them.
fn mistakes() -> Vec<(Value, &'static str)> {
    let change = |from: &str, with: &str, key: &str, value: Value| {
        let mut changed = extractor(from, with);
        changed["extractor_config"][key] = value;
        changed
    };
    let empty =
        json!({"extract_from": "header", "extract_with": "value", "extractor_config": null});
    let calls = change("body", "xpath", "xpath_expression", json!("count(//a)"));
    vec![
        (
            extractor("querystring", "value"),
            "extract_from: `querystring`",
        ),
        (extractor("header", "magic"), "extract_with: `magic`"),
        (extractor("body", "value"), "extract_with: a whole body"),
        (empty, "header_name: is missing"),
        (
            change("header", "value", "header_name", json!("a b")),
            "header_name: `a b`",
        ),
        (
            change("form", "value", "param_name", json!(null)),
            "param_name: is missing",
        ),
        (
            change("header", "regex", "regex_expression", json!("(a")),
            "regex_expression: `(a`",
        ),
        (
            change("header", "regex", "regex_match_index", json!(-1)),
            "regex_match_index: -1",
        ),
        (calls, "xpath_expression: `count(//a)`"),
    ]
}

pub(crate) fn settings_that_cannot_work_refuse_their_api_only(driver: Driver) {
    let rows = mistakes();
    let upstream = Upstream::echo();
    let mut builder = gateway().fixture("sessions", driver);
    builder = builder.api(by_header(
        Definition::new("api").driver(driver).upstream(&upstream),
    ));
    for (number, (settings, _)) in rows.iter().enumerate() {
        let api = Definition::new(&format!("bad-{number}")).driver(driver);
        let api = checked(api.upstream(&upstream));
        builder = builder.api(api.set("/custom_middleware/id_extractor", settings.clone()));
    }
    let gateway = builder.start();
    let ready = gateway.get("/ready");
    assert_eq!(ready.status, 503);
    for (number, (settings, reason)) in rows.iter().enumerate() {
        let request = Request::get(&format!("/bad-{number}/")).header("X-Id", "abc");
        gateway
            .send(&accepted(request, &cached()))
            .assert_error(500, "Internal Server Error");
        let api = format!("bad-{number}");
        let line = gateway.wait_for_log_with(&["refuses", &format!("api=\"{api}\"")]);
        assert!(line.contains(reason), "{settings}: {line}");
        assert!(ready.text().contains(reason), "{settings}: {ready:?}");
    }
    let response = gateway.send(&accepted(known("abc"), &cached()));
    assert_eq!(response.status, 200, "the sound API serves");
}

pub(crate) fn an_extractor_without_a_plugin_has_no_effect(driver: Driver) {
    let setup = start(driver, "sessions", |api| {
        let bad = extractor("querystring", "magic");
        api.set("/custom_middleware/id_extractor", bad)
    });
    assert_eq!(setup.gateway.get("/api/").status, 200);
    setup.gateway.wait_for_log("The id_extractor has no effect");
    for off in [
        json!({"extract_from": "", "extract_with": "", "extractor_config": {}}),
        json!({"disabled": true, "extract_from": "header", "extract_with": "nonsense"}),
        json!(null),
    ] {
        let setup = start(driver, "sessions", |api| {
            checked(api).set("/custom_middleware/id_extractor", off.clone())
        });
        let response = setup.gateway.send(&call("key-1", &json!({})));
        assert_eq!(response.status, 200, "{off}: {response:?}");
        assert!(is_stored_under_its_token(&setup.gateway), "{off}");
    }
}

fn is_stored_under_its_token(gateway: &Gateway) -> bool {
    gateway.admin("/tyk/keys").json() == json!({"keys": ["key-1"]})
}

pub(crate) fn a_broken_plugin_is_not_spared(driver: Driver) {
    let setup = start_by_header(driver);
    let first = setup.gateway.send(&accepted(known("abc"), &cached()));
    assert_eq!(first.status, 200);
    let api = by_header(Definition::new("api").driver(driver)).auth_check("NoSuchFunction");
    setup.gateway.write_api(&api.upstream(&setup.upstream));
    setup.gateway.reload();
    setup
        .gateway
        .send(&known("abc"))
        .assert_error(403, "Key not authorised");
}
