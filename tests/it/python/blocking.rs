//! Python code that waits: nobody else does.

use std::time::{Duration, Instant};

use test_harness::probe::Probe;
use test_harness::{Definition, Request, Upstream};

use crate::gateway;

const SOURCE: &str = r#"
from tyk.decorators import *
import threading
import time

ticks = 0

def tick():
    global ticks
    while True:
        time.sleep(0.01)
        ticks += 1

threading.Thread(target=tick, daemon=True).start()

@Hook
def Sleeps(request, session, spec):
    time.sleep(3)
    request.add_header("X-Slept", "yes")
    return request, session

@Hook
def Quick(request, session, spec):
    request.add_header("X-Quick", "yes")
    return request, session

@Hook
def Ticks(request, session, spec):
    request.add_header("X-Ticks", str(ticks))
    return request, session
"#;

#[test]
fn a_sleeping_hook_delays_nobody_else() {
    let upstream = Upstream::echo();
    let api = |id: &str| Definition::new(id).driver("python").upstream(&upstream);
    let gateway = gateway()
        .python("blocking.py", SOURCE)
        .api(api("sleeps").pre("Sleeps"))
        .api(api("quick").pre("Quick"))
        .api(Definition::new("plain").upstream(&upstream))
        .start();
    let probes: Vec<Probe> = ["/quick/", "/plain/", "/quick/", "/plain/"]
        .into_iter()
        .map(|path| Probe::start(gateway.address(), path))
        .collect();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert_eq!(gateway.get("/sleeps/").status, 200));
        }
    });
    assert!(begun.elapsed() > Duration::from_secs(3), "it has slept");
    for probe in probes {
        probe.finish().assert_undisturbed(Duration::from_secs(1));
    }
}

#[test]
fn threads_that_a_plugin_starts_make_progress_between_requests() {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .python("blocking.py", SOURCE)
        .api(
            Definition::new("ticks")
                .driver("python")
                .upstream(&upstream)
                .pre("Ticks"),
        )
        .start();
    let ticks = || -> u64 {
        assert_eq!(gateway.send(&Request::get("/ticks/")).status, 200);
        upstream
            .take_one()
            .header("X-Ticks")
            .unwrap()
            .parse()
            .unwrap()
    };
    let before = ticks();
    // Nothing calls into Python meanwhile.
    let begun = Instant::now();
    test_harness::wait::until("half a second", || {
        begun.elapsed() > Duration::from_millis(500)
    });
    let after = ticks();
    assert!(
        after >= before + 10,
        "{before} ticks before, {after} after half a second"
    );
}
