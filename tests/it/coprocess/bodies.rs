//! Bodies that are held for a hook, and those that are not.

use std::time::Duration;

use serde_json::json;
use test_harness::{Definition, Gateway, Request, Upstream};

use super::{Driver, start, start_with};
use crate::gateway;

pub(crate) fn a_body_over_the_limit_is_refused_before_the_upstream_sees_it(driver: Driver) {
    let upstream = Upstream::echo();
    let api = |id: &str| Definition::new(id).driver(driver).upstream(&upstream);
    let gateway: Gateway = gateway()
        .fixture("edits", driver)
        .conf(json!({"coprocess_options": {"max_body_bytes": 1000}}))
        .api(api("hooked").pre("Edit"))
        .api(api("plain"))
        .start();
    assert_eq!(gateway.post("/hooked/", vec![b'x'; 1000]).status, 200);
    let _fits = upstream.take_one();
    gateway
        .post("/hooked/", vec![b'x'; 1001])
        .assert_error(413, "Request is too large");
    let mut client = gateway.connect();
    client.send("POST /hooked/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send([b"3e9\r\n".as_slice(), &[b'x'; 1001], b"\r\n0\r\n\r\n"].concat());
    client
        .read_final("POST")
        .unwrap()
        .assert_error(413, "Request is too large");
    assert!(upstream.take().is_empty());
    assert_eq!(
        gateway.post("/plain/", vec![b'x'; 100_000]).status,
        200,
        "no hook, no limit"
    );
}

pub(crate) fn a_hook_that_wants_no_body_lets_it_stream(driver: Driver) {
    let setup = start(driver, "hooks", |api| {
        api.hook("pre", json!({"name": "MarkPre", "body": "stream"}))
    });
    let mut client = setup.gateway.connect();
    client.send("POST /api/ HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello");
    let begun = setup
        .upstream
        .wait_for("the head before the body has ended", |_| true);
    assert_eq!(begun.header("X-Trail"), Some("pre"));
    client.send("world");
    assert_eq!(client.read_final("POST").unwrap().status, 200);
    assert_eq!(setup.upstream.take_one().body, b"helloworld");
}

pub(crate) fn a_malformed_body_is_the_clients_fault(driver: Driver) {
    let setup = start(driver, "hooks", |api| api.pre("MarkPre"));
    let mut client = setup.gateway.connect();
    client.send(
        "POST /api/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
    );
    assert_eq!(client.read_final("POST").unwrap().status, 400);
    assert!(client.ends());
    assert!(setup.upstream.take().is_empty());
}

pub(crate) fn a_client_gone_in_the_middle_of_its_body_runs_no_hook(driver: Driver) {
    let setup = start(driver, "hooks", |api| api.pre("MarkPre"));
    for framing in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let mut client = setup.gateway.connect();
        client.send(format!(
            "POST /api/ HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n5\r\nhe"
        ));
        drop(client);
        assert_eq!(setup.gateway.get("/api/sentinel").status, 200);
        assert_eq!(setup.upstream.take_one().target, "/sentinel", "{framing}");
    }
}

pub(crate) fn a_client_that_waits_to_be_told_to_continue_is_told(driver: Driver) {
    let setup = start(driver, "edits", |api| api.pre("Edit"));
    let mut client = setup.gateway.connect();
    client.send(
        "POST /api/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nX-Set-Body: reverse\r\n\
         Content-Length: 5\r\n\r\n",
    );
    assert_eq!(client.read_response("POST").unwrap().status, 100);
    client.send("hello");
    assert_eq!(client.read_final("POST").unwrap().status, 200);
    assert_eq!(setup.upstream.take_one().body, b"olleh");
}

pub(crate) fn an_upstream_that_breaks_off_is_not_shown_to_a_response_hook(driver: Driver) {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let setup = start_with(
            driver,
            "responses",
            Upstream::replying_once(answer),
            |api| api.response("Rewrite"),
        );
        let mut client = setup.gateway.connect();
        client.read_limit(Duration::from_secs(10));
        let response = client.request(&Request::get("/api/"));
        response.assert_error(502, "There was a problem proxying the request");
    }
}
