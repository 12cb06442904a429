//! A fault in one plugin while other routes are watched: the frame that each language fills.

use std::time::{Duration, Instant};

use serde_json::json;
use test_harness::probe::Probe;
use test_harness::{Definition, Upstream};

use super::Driver;
use crate::gateway;

/// Runs the function `Fault` of `source` twice as a `pre` hook with a limit of 300 milliseconds.
/// Each call must be refused with `Middleware error` within two seconds. The `watched` routes must
/// not notice: `/plain/` has no plugin, `/quick/` runs `Quick` of the same language. Afterwards the
/// process is the same and `Quick` serves again.
#[track_caller]
pub(crate) fn check(driver: Driver, file: &str, source: &str, watched: &[&str]) {
    let upstream = Upstream::echo();
    let api = |id: &str| Definition::new(id).driver(driver).upstream(&upstream);
    let mut gateway = gateway()
        .plugin(driver, file, source)
        .conf(json!({"coprocess_options": {"hook_timeout_ms": 300}}))
        .api(api("faulty").pre("Fault"))
        .api(api("quick").pre("Quick"))
        .api(Definition::new("plain").upstream(&upstream))
        .start();
    assert_eq!(gateway.get("/quick/").status, 200);
    // Several connections to each, so that every data-plane thread is asked.
    let probes: Vec<Probe> = watched
        .iter()
        .flat_map(|path| [path; 3])
        .map(|path| Probe::start(gateway.address(), path))
        .collect();
    for _ in 0..2 {
        let begun = Instant::now();
        let response = gateway.get("/faulty/");
        assert_eq!(response.status, 500, "{response:?}");
        response.assert_error(500, "Middleware error");
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(2), "answered after {took:?}");
    }
    for probe in probes {
        probe.finish().assert_undisturbed(Duration::from_secs(1));
    }
    assert!(gateway.is_running());
    test_harness::wait::until("the language serves again", || {
        gateway.get("/quick/").status == 200
    });
    gateway.wait_for_log_with(&["faulty", "Fault", driver]);
}
