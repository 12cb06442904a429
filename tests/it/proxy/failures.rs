//! What clients see when the upstream cannot answer.

use serde_json::json;
use test_harness::{Definition, Request, Upstream, wait};

use crate::gateway;

#[test]
fn an_upstream_that_is_down_is_told_in_the_documented_form() {
    let gateway = gateway()
        .api(Definition::new("a").target(&Upstream::nobody()))
        .start();
    let response = gateway.get("/a/");
    response.assert_error(500, "There was a problem proxying the request");
    assert_eq!(
        response.header("Connection"),
        None,
        "the client's connection is not at fault"
    );
}

#[test]
fn a_name_that_does_not_resolve_is_told_apart() {
    let gateway = gateway()
        .api(Definition::new("a").target("http://nowhere.invalid/"))
        .start();
    gateway
        .get("/a/")
        .assert_error(500, "Upstream host lookup failed");
}

#[test]
fn an_upstream_that_does_not_answer_times_out() {
    let upstream = Upstream::serving(|connection| {
        connection.next_request();
        while connection.read_some().is_some() {}
    });
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .conf(json!({"proxy_default_timeout": 1}))
        .start();
    let started = std::time::Instant::now();
    gateway
        .get("/a/")
        .assert_error(504, "Upstream service reached hard timeout.");
    assert!(
        started.elapsed() < wait::DEADLINE / 3,
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn errors_come_back_in_xml_to_a_request_in_xml() {
    let gateway = gateway()
        .api(Definition::new("a").target(&Upstream::nobody()))
        .start();
    for content_type in ["application/xml", "text/xml", "application/soap+xml"] {
        let request = Request::post("/a/", "<a/>").header("Content-Type", content_type);
        let response = gateway.send(&request);
        assert_eq!(response.status, 500);
        assert_eq!(response.header("Content-Type"), Some(content_type));
        let body = response.text();
        let expected = "<error>There was a problem proxying the request</error>";
        assert!(
            body.starts_with("<?xml ") && body.ends_with(expected),
            "{body}"
        );
    }
}

#[test]
fn the_generator_can_be_hidden() {
    let gateway = gateway()
        .api(Definition::new("a").target(&Upstream::nobody()))
        .conf(json!({"hide_generator_header": true}))
        .start();
    let response = gateway.get("/a/");
    assert_eq!(
        (response.status, response.header("X-Generator")),
        (500, None)
    );
}

#[test]
fn one_api_in_trouble_leaves_the_others_alone() {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .api(Definition::new("down").target(&Upstream::nobody()))
        .api(Definition::new("up").upstream(&upstream))
        .start();
    let mut client = gateway.connect();
    for _ in 0..5 {
        assert_eq!(client.request(&Request::get("/down/")).status, 500);
        assert_eq!(client.request(&Request::get("/up/")).status, 200);
    }
}

#[test]
fn the_log_names_the_api_and_its_upstream() {
    let target = Upstream::nobody();
    let gateway = gateway()
        .api(Definition::new("the-broken-one").target(&target))
        .start();
    assert_eq!(gateway.get("/the-broken-one/").status, 500);
    gateway.wait_for_log_with(&["the-broken-one", "upstream"]);
}
