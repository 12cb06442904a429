//! Hooks that do not return: the client is answered at the limit, and nobody else waits.

use std::time::{Duration, Instant};

use serde_json::json;
use test_harness::probe::Probe;
use test_harness::{Definition, Gateway, Upstream};

use super::Driver;
use crate::gateway;

/// In what time the client must have its answer when the limit is 300 milliseconds.
const PROMPT: Duration = Duration::from_secs(2);

fn start(driver: Driver, change: impl Fn(Definition) -> Definition) -> (Gateway, Upstream) {
    let upstream = Upstream::echo();
    let api = |id: &str| Definition::new(id).driver(driver).upstream(&upstream);
    let gateway = gateway()
        .fixture("endless", driver)
        .conf(json!({"coprocess_options": {"hook_timeout_ms": 300}}))
        .api(change(api("endless")))
        .api(api("quick").pre("Quick"))
        .api(Definition::new("plain").upstream(&upstream))
        .start();
    (gateway, upstream)
}

#[track_caller]
fn assert_cut(gateway: &Gateway, status: u16, message: &str) {
    let begun = Instant::now();
    gateway.get("/endless/").assert_error(status, message);
    assert!(
        begun.elapsed() < PROMPT,
        "answered after {:?}",
        begun.elapsed()
    );
}

pub(crate) fn an_endless_loop_ends_at_the_limit(driver: Driver) {
    let (gateway, upstream) = start(driver, |api| api.pre("Spin"));
    for _ in 0..3 {
        assert_cut(&gateway, 500, "Middleware error");
        assert_eq!(
            gateway.get("/quick/").status,
            200,
            "the language still serves"
        );
    }
    assert_eq!(upstream.take().len(), 3, "only the quick ones arrived");
    gateway.wait_for_log_with(&["endless", "Spin", driver, "longer than"]);
}

pub(crate) fn an_endless_auth_check_lets_nobody_in(driver: Driver) {
    let (gateway, upstream) = start(driver, |api| api.auth_check("SpinAuth"));
    assert_cut(&gateway, 403, "Key not authorised");
    assert!(upstream.take().is_empty());
}

pub(crate) fn an_endless_response_hook_ends_at_the_limit(driver: Driver) {
    let (gateway, _upstream) = start(driver, |api| api.response("SpinResponse"));
    assert_cut(&gateway, 500, "Middleware error");
    assert_eq!(gateway.get("/quick/").status, 200);
}

pub(crate) fn a_loop_that_swallows_the_cut_is_answered_in_time_too(driver: Driver) {
    let (gateway, _upstream) = start(driver, |api| api.pre("SpinSwallowing"));
    for _ in 0..2 {
        assert_cut(&gateway, 500, "Middleware error");
        assert_eq!(gateway.get("/plain/").status, 200);
    }
}

pub(crate) fn an_entry_may_have_a_limit_of_its_own(driver: Driver) {
    let upstream = Upstream::echo();
    let entry = json!({"name": "Spin", "timeout_ms": 200});
    let api = Definition::new("endless")
        .driver(driver)
        .upstream(&upstream)
        .hook("pre", entry);
    let gateway = gateway().fixture("endless", driver).api(api).start();
    assert_cut(&gateway, 500, "Middleware error");
}

pub(crate) fn an_endless_loop_slows_nobody_else(driver: Driver) {
    let (gateway, _upstream) = start(driver, |api| api.pre("Spin"));
    let plain: Vec<Probe> = (0..4)
        .map(|_| Probe::start(gateway.address(), "/plain/"))
        .collect();
    let quick: Vec<Probe> = (0..4)
        .map(|_| Probe::start(gateway.address(), "/quick/"))
        .collect();
    for _ in 0..3 {
        assert_cut(&gateway, 500, "Middleware error");
    }
    for probe in plain.into_iter().chain(quick) {
        probe
            .finish()
            .assert_undisturbed(Duration::from_millis(500));
    }
}
