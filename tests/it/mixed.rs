//! Several languages in one API, hook by hook.

use serde_json::{Value, json};
use test_harness::{Definition, Gateway, Redis, Request, Upstream, wait};

use crate::gateway;

#[test]
fn both_languages_are_listed() {
    let linked = gateway().linked_languages();
    for name in ["lua", "python"] {
        assert!(linked.iter().any(|one| one == name), "{linked:?}");
    }
}

#[test]
fn hooks_of_one_api_may_each_have_their_own_language() {
    for (default, other) in [("python", "lua"), ("lua", "python")] {
        let upstream = Upstream::echo();
        let api = Definition::new("api")
            .driver(default)
            .upstream(&upstream)
            .pre("MarkPre")
            .hook("pre", json!({"name": "SecondPre", "driver": other}))
            .auth_hook(json!({"name": "CheckToken", "driver": other}))
            .post_key_auth("MarkPostKeyAuth")
            .hook("post", json!({"name": "MarkPost", "driver": other}))
            .response("MarkResponse")
            .hook("response", json!({"name": "MarkResponse", "driver": other}));
        let gateway = gateway()
            .fixture("hooks", default)
            .fixture("hooks", other)
            .api(api)
            .start();
        gateway.get("/api/").assert_error(403, "Forbidden");
        let response = gateway.send(&Request::get("/api/").header("Authorization", "good"));
        assert_eq!(
            (response.status, response.header("X-Session-Plan")),
            (200, Some("gold"))
        );
        assert!(response.text().ends_with("}!!"), "{response:?}");
        let seen = upstream.take_one();
        assert_eq!(
            seen.header("X-Trail"),
            Some("pre,second,auth,post_key_auth,post")
        );
        assert_eq!(seen.header("X-Plan"), Some("gold/gold"), "{default}");
    }
}

/// Within one gateway, and between two that share a Redis.
#[test]
fn data_stored_in_one_language_is_read_in_the_other() {
    let upstream = Upstream::echo();
    let redis = Redis::start();
    let api = |id: &str, driver: &str, function: &str| {
        Definition::new(id)
            .driver(driver)
            .upstream(&upstream)
            .pre(function)
    };
    let start = |storage: &Value| {
        gateway()
            .fixture("events", "python")
            .fixture("events", "lua")
            .conf(storage.clone())
            .api(api("store-python", "python", "Store"))
            .api(api("store-lua", "lua", "Store"))
            .api(api("fetch-python", "python", "Fetch"))
            .api(api("fetch-lua", "lua", "Fetch"))
            .start()
    };
    let check = |one: &Gateway, other: &Gateway| {
        for (from, to) in [("python", "lua"), ("lua", "python")] {
            let store = Request::get(&format!("/store-{from}/"))
                .header("X-Key", from)
                .header("X-Value", "grüße");
            let fetch = Request::get(&format!("/fetch-{to}/")).header("X-Key", from);
            // With Redis, a plugin waits for less than a loaded machine may take.
            wait::until(&format!("{from} to {to}"), || {
                assert_eq!(one.send(&store).status, 200);
                assert_eq!(other.send(&fetch).status, 200);
                let seen = upstream.take();
                let found = seen.last().and_then(|seen| seen.header("X-Found"));
                found == Some("grüße")
            });
        }
    };
    let alone = start(&json!({}));
    check(&alone, &alone);
    check(&start(&redis.conf()), &start(&redis.conf()));
}

#[test]
fn a_failure_in_one_language_leaves_the_other_alone() {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .fixture("failing", "python")
        .fixture("failing", "lua")
        .api(
            Definition::new("p-bad")
                .driver("python")
                .upstream(&upstream)
                .pre("Raises"),
        )
        .api(
            Definition::new("l-bad")
                .driver("lua")
                .upstream(&upstream)
                .pre("Raises"),
        )
        .api(
            Definition::new("p-good")
                .driver("python")
                .upstream(&upstream)
                .pre("Works"),
        )
        .api(
            Definition::new("l-good")
                .driver("lua")
                .upstream(&upstream)
                .pre("Works"),
        )
        .start();
    for _ in 0..3 {
        for (path, status) in [
            ("/p-bad/", 500),
            ("/l-bad/", 500),
            ("/p-good/", 200),
            ("/l-good/", 200),
        ] {
            assert_eq!(gateway.get(path).status, status, "{path}");
        }
    }
}
