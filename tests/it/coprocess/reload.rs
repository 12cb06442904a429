//! Plugin code and reload: what is in flight finishes on the old code, what comes next is new.

use std::sync::{Mutex, mpsc};

use test_harness::probe::Probe;
use test_harness::{Definition, Gateway, Request, Upstream, plugin_fixture, wait};

use super::{Driver, Setup, start, start_with};

/// Puts the second version of the plugin in place of the first.
fn edit(gateway: &Gateway, driver: Driver, scenario: &str) {
    for entry in std::fs::read_dir(plugin_fixture(scenario, driver)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        gateway.write(
            &format!("middleware/{driver}/{name}"),
            std::fs::read(entry.path()).unwrap(),
        );
    }
}

fn stamped(api: Definition) -> Definition {
    api.pre("Stamp").response("StampResponse")
}

#[track_caller]
fn assert_version(setup: &Setup, version: &str) {
    let _before = setup.upstream.take();
    // Several connections, so that every data-plane thread is asked.
    for _ in 0..6 {
        let response = setup.gateway.get("/api/");
        assert_eq!(
            (response.status, response.header("X-Version")),
            (200, Some(version))
        );
        assert_eq!(setup.upstream.take_one().header("X-Version"), Some(version));
    }
}

pub(crate) fn edited_code_is_picked_up(driver: Driver) {
    let setup = start(driver, "reload_before", stamped);
    assert_version(&setup, "before");
    edit(&setup.gateway, driver, "reload_after");
    assert_version(&setup, "before");
    setup.gateway.reload();
    assert_version(&setup, "after");
    edit(&setup.gateway, driver, "reload_before");
    setup.gateway.hang_up();
    assert_version(&setup, "before");
}

pub(crate) fn a_new_function_is_found_after_a_reload(driver: Driver) {
    let setup = start(driver, "reload_before", |api| api.pre("OnlyAfter"));
    setup
        .gateway
        .get("/api/")
        .assert_error(500, "Middleware error");
    edit(&setup.gateway, driver, "reload_after");
    setup.gateway.reload();
    assert_eq!(setup.gateway.get("/api/").status, 200);
}

/// An upstream that answers when it is told to.
fn held() -> (Upstream, mpsc::Sender<()>) {
    let (release, told) = mpsc::channel::<()>();
    let told = Mutex::new(told);
    let upstream = Upstream::serving(move |connection| {
        while connection.next_request().is_some() {
            let _ = told.lock().unwrap().recv_timeout(wait::DEADLINE);
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nheld");
        }
    });
    (upstream, release)
}

pub(crate) fn a_request_in_flight_finishes_on_the_old_code(driver: Driver) {
    let (upstream, release) = held();
    let setup = start_with(driver, "reload_before", upstream, stamped);
    let mut client = setup.gateway.connect();
    client.send(Request::get("/api/").bytes());
    setup.upstream.wait_for("the request", |_| true);
    edit(&setup.gateway, driver, "reload_after");
    setup.gateway.reload();
    release.send(()).unwrap();
    let response = client.read_final("GET").unwrap();
    assert_eq!(
        response.header("X-Version"),
        Some("before"),
        "its response hook is the old one"
    );
    release.send(()).unwrap();
    assert_eq!(
        setup.gateway.get("/api/").header("X-Version"),
        Some("after")
    );
}

pub(crate) fn steady_load_through_hooks_sees_no_failure_during_reloads(driver: Driver) {
    let setup = start(driver, "reload_before", stamped);
    let probes: Vec<Probe> = (0..3)
        .map(|_| Probe::load(setup.gateway.address(), "/api/"))
        .collect();
    for round in 0..20 {
        let scenario = if round % 2 == 0 {
            "reload_after"
        } else {
            "reload_before"
        };
        edit(&setup.gateway, driver, scenario);
        setup.gateway.reload();
    }
    for probe in probes {
        probe.finish().assert_undisturbed(wait::DEADLINE);
    }
    assert_version(&setup, "before");
}

pub(crate) fn code_broken_by_an_edit_refuses_its_api_only(driver: Driver) {
    let setup = start(driver, "reload_before", stamped);
    let sound = Definition::new("sound")
        .driver(driver)
        .upstream(&setup.upstream);
    for entry in std::fs::read_dir(plugin_fixture("broken", driver)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let to = if name.starts_with("broken") {
            name.replace("broken", "versioned")
        } else {
            name
        };
        setup.gateway.write(
            &format!("middleware/{driver}/{to}"),
            std::fs::read(entry.path()).unwrap(),
        );
    }
    setup.gateway.write_api(&sound.pre("Sound"));
    setup.gateway.reload();
    setup
        .gateway
        .get("/api/")
        .assert_error(500, "Middleware error");
    assert_eq!(setup.gateway.get("/sound/").status, 200);
    edit(&setup.gateway, driver, "reload_after");
    setup.gateway.reload();
    assert_version(&setup, "after");
}

pub(crate) fn requests_in_hooks_finish_on_sigterm(driver: Driver) {
    let (upstream, release) = held();
    let mut setup = start_with(driver, "reload_before", upstream, stamped);
    let mut client = setup.gateway.connect();
    client.send(Request::get("/api/").bytes());
    setup.upstream.wait_for("the request", |_| true);
    setup.gateway.signal("TERM");
    release.send(()).unwrap();
    let response = client.read_final("GET").unwrap();
    assert_eq!(
        (response.status, response.header("X-Version")),
        (200, Some("before"))
    );
    assert_eq!(setup.gateway.wait_for_exit().code(), Some(0));
}

pub(crate) fn sigint_is_the_gateways_also_with_plugins(driver: Driver) {
    let mut setup = start(driver, "reload_before", stamped);
    assert_eq!(setup.gateway.get("/api/").status, 200);
    setup.gateway.signal("INT");
    assert_eq!(setup.gateway.wait_for_exit().code(), Some(0));
}
