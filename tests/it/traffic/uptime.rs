//! Uptime tests: upstreams that are asked again and again whether they are there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use test_harness::upstream::response;
use test_harness::{Definition, Gateway, GatewayBuilder, Receiver, Upstream, wait};

use crate::gateway;

/// An upstream whose tests fail while the switch is off, and the switch.
fn switched() -> (Upstream, Arc<AtomicBool>) {
    let is_well = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&is_well);
    let upstream = Upstream::answering(move |received| {
        let fails = received.target == "/health" && !is_well.load(Ordering::SeqCst);
        response(if fails { 500 } else { 200 }, "text/plain", b"here")
    });
    (upstream, switch)
}

/// A gateway that tests often.
fn testing() -> GatewayBuilder {
    gateway().conf(json!({"workers": 1, "uptime_tests": {"config": {
        "failure_trigger_sample_size": 2, "time_wait": 0.02,
    }}}))
}

/// An API that leaves out whom these tests say to be down.
fn balanced(upstreams: &[&Upstream], tests: Value) -> Definition {
    let urls: Vec<_> = upstreams.iter().map(|one| one.url("")).collect();
    let told = json!([{"handler_name": "eh_log_handler", "handler_meta": {"prefix": "T"}}]);
    Definition::new("a")
        .set("/proxy/enable_load_balancing", true)
        .set("/proxy/check_host_against_uptime_tests", true)
        .set("/proxy/target_list", json!(urls))
        .set("/uptime_tests/check_list", tests)
        .set("/event_handlers/events/HostUp", told.clone())
        .set("/event_handlers/events/HostDown", told)
}

fn patient(url: &str) -> Value {
    json!({"url": url, "timeout": "10s"})
}

/// How many of ten requests the upstream gets.
fn share(gateway: &Gateway, upstream: &Upstream) -> usize {
    let _before = upstream.take();
    for _ in 0..10 {
        assert_eq!(gateway.get("/a/x").status, 200);
    }
    let seen = upstream.take();
    seen.iter().filter(|seen| seen.target == "/x").count()
}

#[test]
fn a_host_that_fails_its_tests_gets_no_requests_until_it_is_well_again() {
    let ((first, switch), second) = (switched(), Upstream::echo());
    let tests = json!([patient(&first.url("/health")), patient(&second.url("/"))]);
    let gateway = testing().api(balanced(&[&first, &second], tests)).start();
    assert_eq!(share(&gateway, &first), 5);
    switch.store(false, Ordering::SeqCst);
    gateway.wait_for_log_with(&["T:HostDown"]);
    assert_eq!(share(&gateway, &first), 0);
    // What is known of a host outlives a reload.
    gateway.reload();
    assert_eq!(share(&gateway, &first), 0);
    switch.store(true, Ordering::SeqCst);
    gateway.wait_for_log_with(&["T:HostUp"]);
    assert_eq!(share(&gateway, &first), 5);
}

#[test]
fn without_a_host_that_is_up_requests_are_refused() {
    let (upstream, switch) = switched();
    let tests = json!([patient(&upstream.url("/health"))]);
    let definition = balanced(&[&upstream], tests);
    let gateway = testing().api(definition.clone()).start();
    switch.store(false, Ordering::SeqCst);
    gateway.wait_for_log_with(&["T:HostDown"]);
    let response = gateway.get("/a/x");
    assert_eq!(
        (response.status, response.text().as_str()),
        (503, "all hosts are down")
    );
    gateway.write_api(&definition.set("/proxy/check_host_against_uptime_tests", false));
    gateway.reload();
    assert_eq!(gateway.get("/a/x").status, 200);
}

#[test]
fn tests_end_with_the_definition_that_asks_for_them() {
    let upstream = Upstream::echo();
    let test = |path: &str| balanced(&[&upstream], json!([patient(&upstream.url(path))]));
    let asked = |path: &str| {
        let seen = upstream.received();
        seen.iter().filter(|seen| seen.target == path).count()
    };
    let gateway = testing().api(test("/one")).start();
    wait::until("the first test runs", || asked("/one") > 2);
    gateway.write_api(&test("/other"));
    gateway.reload();
    let _before = upstream.take();
    wait::until("the second test runs", || asked("/other") > 10);
    assert!(asked("/one") <= 1, "only one may have been on its way");
    gateway.write_api(&test("/other").set("/uptime_tests/disabled", true));
    gateway.reload();
    assert_eq!(gateway.get("/a/x").status, 200);
    assert!(gateway.stop().success());
}

#[test]
fn connections_are_tested_by_what_is_said_over_them() {
    let speaking = |answer: &'static [u8]| {
        Upstream::serving(move |connection| {
            connection.send(answer);
            let _ = connection.next_request();
        })
    };
    let (well, ill) = (speaking(b"+PONG"), speaking(b"-FAIL"));
    let test = |upstream: &Upstream| {
        json!({
            "url": upstream.address().to_string(), "protocol": "tcp", "timeout": "10s",
            "commands": [{"name": "expect", "message": "+PONG"}],
        })
    };
    let tests = json!([test(&well), test(&ill)]);
    let gateway = testing().api(balanced(&[&well, &ill], tests)).start();
    gateway.wait_for_log_with(&["Host is down", &ill.address().to_string()]);
    wait::until("the other one is tested too", || well.connections() > 5);
    let told = gateway.log().text();
    let well = well.address().to_string();
    let is_well = |line: &&str| line.contains("Host is down") && line.contains(&well);
    assert_eq!(told.lines().find(is_well), None);
}

#[test]
fn handlers_are_told_which_test_has_failed() {
    let (upstream, switch) = switched();
    switch.store(false, Ordering::SeqCst);
    let receiver = Receiver::start();
    let hook = json!([{"handler_name": "eh_web_hook_handler", "handler_meta": {
        "method": "POST", "target_path": receiver.url(), "template_path": "down.json",
    }}]);
    let template = r#"{"type": "{{.Type}}", "message": "{{.Meta.Message}}",
        "url": "{{.Meta.HostInfo.CheckURL}}", "status": {{.Meta.HostInfo.ResponseCode}},
        "tcp": {{.Meta.HostInfo.IsTCPError}}, "api": "{{.Meta.HostInfo.MetaData.api_id}}"}"#;
    let test = patient(&upstream.url("/health"));
    let _gateway = testing()
        .file("down.json", template)
        .api(
            Definition::new("a")
                .upstream(&upstream)
                .set("/uptime_tests/check_list", json!([test]))
                .set("/event_handlers/events/HostDown", hook),
        )
        .start();
    let received = receiver.wait_for("the web hook", |hook| hook.complete);
    let body: Value = serde_json::from_slice(&received.body).unwrap();
    assert_eq!(
        body,
        json!({
            "type": "HostDown", "message": "Uptime test failed", "status": 500, "tcp": false,
            "url": upstream.url("/health"), "api": "a",
        })
    );
}

#[test]
fn tests_that_cannot_be_run_take_their_api_out() {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .api(balanced(&[&upstream], json!(["ftp://nowhere"])))
        .start();
    gateway.wait_for_log_with(&["uptime_tests.check_list[0].url: `ftp://nowhere`"]);
    assert_eq!(gateway.get("/a/x").status, 404);
}
