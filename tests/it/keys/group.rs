//! Several gateways on one Redis.

use serde_json::json;
use test_harness::{Definition, Redis, Request, Upstream, wait};

use super::{admin, create, keyed, with_key};
use crate::gateway;

#[test]
fn a_reload_of_the_group_reaches_every_gateway() {
    let mut redis = Redis::start();
    let upstream = Upstream::echo();
    let [one, two] = [(); 2].map(|()| gateway().conf(redis.conf()).start());
    let listening = "Listening for notices to reload.";
    two.wait_for_log(listening);
    two.write_api(&Definition::new("late").upstream(&upstream));
    let response = admin(&one, "GET", "/tyk/reload/group", "");
    assert_eq!(response.text(), r#"{"status":"ok","message":""}"#);
    let is_there = |path: &str| two.get(path).status == 200;
    wait::until("the other gateway reloads", || is_there("/late/"));
    // The original's gateways are heard as well.
    two.write_api(&Definition::new("later").upstream(&upstream));
    let notice = r#"{"command":"GroupReload","payload":""}"#;
    redis.command(&["PUBLISH", "tyk.cluster.notifications", notice]);
    wait::until("it hears the original", || is_there("/later/"));
    // A notice that may have been missed is made up for.
    two.write_api(&Definition::new("missed").upstream(&upstream));
    redis.kill();
    redis.start_again();
    wait::until("it reloads when it is back", || is_there("/missed/"));
}

#[test]
fn a_group_of_one_reloads_itself() {
    let upstream = Upstream::echo();
    let gateway = gateway().start();
    gateway.write_api(&Definition::new("late").upstream(&upstream));
    let response = admin(&gateway, "GET", "/tyk/reload/group?block=true", "");
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(gateway.get("/late/").status, 200);
}

#[test]
fn a_key_of_one_gateway_opens_the_others() {
    let redis = Redis::start();
    let upstream = Upstream::echo();
    let [one, two] = [(); 2].map(|()| {
        gateway()
            .conf(redis.conf())
            .conf(json!({"local_session_cache": {"disable_cached_session_state": true}}))
            .api(keyed("api", &upstream))
            .start()
    });
    let session = json!({"org_id": "org", "access_rights": {"api": {}}});
    let key = create(&one, &session);
    let request: Request = with_key("/api/", &key);
    assert_eq!(two.send(&request).status, 200);
    let deleted = admin(&one, "DELETE", &format!("/tyk/keys/{key}"), "");
    assert_eq!(deleted.status, 200);
    assert_eq!(two.send(&request).status, 403);
}
