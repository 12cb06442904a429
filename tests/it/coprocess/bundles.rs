//! Code from bundles: it runs, it stays apart from other code, and it changes on reload.

use std::fs;

use serde_json::{Value, json};
use test_harness::bundle::md5_hex;
use test_harness::probe::Probe;
use test_harness::{Bundle, BundleServer, Definition, Gateway, Upstream, wait};

use super::Driver;
use crate::gateway;

/// A gateway, the server of its bundles, and the upstream of its APIs.
struct Setup {
    gateway: Gateway,
    server: BundleServer,
    upstream: Upstream,
}

/// Starts one API for each bundle: `a`, `b`, …; and one without, `plain`.
#[track_caller]
fn start(bundles: &[Bundle], conf: Value) -> Setup {
    let (server, upstream) = (BundleServer::start(), Upstream::echo());
    let mut builder = gateway()
        .with_plugins()
        .conf(server.conf())
        .conf(json!({"workers": 1}))
        .conf(conf)
        .api(Definition::new("plain").upstream(&upstream));
    for (id, bundle) in ["a", "b", "c"].into_iter().zip(bundles) {
        let name = format!("{id}.zip");
        server.put(&name, bundle.zip());
        builder = builder.api(
            Definition::new(id)
                .upstream(&upstream)
                .set("/custom_middleware_bundle", name),
        );
    }
    Setup {
        gateway: builder.start(),
        server,
        upstream,
    }
}

impl Setup {
    /// What the upstream saw in a header, after a request to an API.
    #[track_caller]
    fn header(&self, api: &str, name: &str) -> Option<String> {
        let _before = self.upstream.take();
        let response = self.gateway.get(&format!("/{api}/"));
        assert_eq!(response.status, 200, "{response:?}");
        let seen = self.upstream.take_one();
        seen.header(name).map(str::to_owned)
    }
}

fn tree(driver: Driver) -> Bundle {
    Bundle::new(driver).tree("bundle_tree", driver).pre("Tell")
}

fn versioned(driver: Driver, scenario: &str) -> Bundle {
    Bundle::new(driver)
        .fixture(scenario, driver)
        .pre("Stamp")
        .hook("response", json!({"name": "StampResponse"}))
}

pub(crate) fn files_of_a_bundle_find_each_other(driver: Driver) {
    let other = Bundle::new(driver).tree("bundle_other", driver).pre("Tell");
    let setup = start(&[tree(driver), other], json!({}));
    for (name, value) in [
        ("X-Rules", "rules of tree"),
        ("X-Deep", "deep in tree"),
        ("X-Late", "late of tree"),
        ("X-Dep", "dep of tree"),
        ("X-Bundle-Hash", &*md5_hex("a.zip")),
    ] {
        assert_eq!(setup.header("a", name).as_deref(), Some(value), "{name}");
    }
    assert_eq!(
        setup.header("b", "X-Rules").as_deref(),
        Some("rules of other"),
        "the other bundle's file of the same name"
    );
}

pub(crate) fn a_manifest_takes_the_place_of_the_definitions_hooks(driver: Driver) {
    let setup = start(&[versioned(driver, "reload_before")], json!({}));
    setup.gateway.write_api(
        &Definition::new("a")
            .upstream(&setup.upstream)
            .driver("cobol")
            .post("NoSuchFunction")
            .set("/custom_middleware_bundle", "a.zip"),
    );
    setup.gateway.reload();
    assert_eq!(setup.header("a", "X-Version").as_deref(), Some("before"));
    let hooks = setup.gateway.admin("/tyk/apis/a/plugins").json()["hooks"].to_string();
    assert!(!hooks.contains("NoSuchFunction"), "{hooks}");
}

pub(crate) fn the_entry_of_a_bundle_need_not_be_called_middleware(driver: Driver) {
    let ending = if driver == "python" { "py" } else { "lua" };
    let source = |scenario: &str| {
        let folder = test_harness::plugin_fixture(scenario, driver);
        fs::read(folder.join(format!("middleware.{ending}"))).unwrap()
    };
    let one = Bundle::new(driver)
        .fixture_as("reload_before", driver, "bot-detection")
        .pre("Stamp");
    let rules = fs::read(
        test_harness::plugin_fixture("bundle_other", driver).join(format!("rules.{ending}")),
    )
    .unwrap();
    let two = Bundle::new(driver)
        .file(&format!("detect.{ending}"), source("bundle_other"))
        .file(&format!("rules.{ending}"), rules)
        .pre("Tell");
    let setup = start(&[one, two], json!({}));
    assert_eq!(setup.header("a", "X-Version").as_deref(), Some("before"));
    assert_eq!(
        setup.header("b", "X-Rules").as_deref(),
        Some("rules of other")
    );
}

pub(crate) fn code_that_did_not_change_is_not_loaded_again(driver: Driver) {
    let setup = start(&[tree(driver)], json!({}));
    let mut last = 0;
    for _ in 0..3 {
        let calls: u32 = setup.header("a", "X-Calls").unwrap().parse().unwrap();
        assert!(calls > last, "it began anew: {calls} after {last}");
        last = calls;
        setup.gateway.reload();
    }
    let changed = tree(driver).file("new.txt", "another content");
    setup.server.put("a.zip", changed.zip());
    setup.gateway.reload();
    assert_eq!(setup.header("a", "X-Calls").as_deref(), Some("1"));
}

pub(crate) fn a_bundle_whose_code_fails_refuses_its_api_only(driver: Driver) {
    let ending = if driver == "python" { "py" } else { "lua" };
    let broken = Bundle::new(driver)
        .file(&format!("middleware.{ending}"), "this is no code (")
        .pre("Hook");
    let missing = tree(driver).pre("NoSuchFunction");
    let setup = start(&[broken, missing, tree(driver)], json!({}));
    for id in ["a", "b"] {
        let response = setup.gateway.get(&format!("/{id}/"));
        response.assert_error(500, "Middleware error");
    }
    assert!(setup.upstream.take().is_empty());
    assert_eq!(setup.gateway.get("/c/").status, 200);
    assert_eq!(setup.gateway.get("/plain/").status, 200);
    let log = &setup.gateway;
    log.wait_for_log_with(&["api=\"a\"", &format!("middleware.{ending}"), driver]);
    log.wait_for_log_with(&["api=\"b\"", "NoSuchFunction", driver]);
    // The file is repaired, and only that.
    setup.server.put("a.zip", tree(driver).zip());
    setup.gateway.reload();
    assert_eq!(setup.gateway.get("/a/").status, 200);
}

pub(crate) fn a_bundle_is_refused_while_plugins_are_off(driver: Driver) {
    let off = json!({"coprocess_options": {"enable_coprocess": false}});
    let setup = start(&[tree(driver)], off);
    let response = setup.gateway.get("/a/");
    response.assert_error(500, "Internal Server Error");
    assert_eq!(setup.gateway.get("/plain/").status, 200);
}

pub(crate) fn a_manifest_may_set_limits_hook_by_hook(driver: Driver) {
    let endless = Bundle::new(driver)
        .fixture("endless", driver)
        .hook("pre", json!({"name": "Spin", "timeout_ms": 50}));
    // The driver is the entry's own.
    let view = Bundle::new("").fixture("view", driver).hook(
        "pre",
        json!({"name": "Describe", "driver": driver, "body": "stream"}),
    );
    let setup = start(&[endless, view], json!({}));
    setup
        .gateway
        .get("/a/")
        .assert_error(500, "Middleware error");
    setup.gateway.wait_for_log_with(&["Spin", "50ms"]);
    let _before = setup.upstream.take();
    assert_eq!(setup.gateway.post("/b/", "text").status, 200);
    assert_eq!(
        setup.upstream.take_one().header("Saw-Body"),
        Some("empty"),
        "the body is not shown"
    );
}

pub(crate) fn the_last_good_version_serves_and_is_told(driver: Driver) {
    let setup = start(&[versioned(driver, "reload_before")], json!({}));
    assert_eq!(setup.gateway.get("/ready").json()["status"], "pass");
    setup.server.go_away(true);
    setup.gateway.reload();
    assert_eq!(setup.header("a", "X-Version").as_deref(), Some("before"));
    let ready = setup.gateway.get("/ready");
    assert_eq!(
        (ready.status, &ready.json()["status"]),
        (200, &json!("warn"))
    );
    assert!(ready.text().contains("a.zip"), "{ready:?}");
    setup.server.go_away(false);
    setup
        .server
        .put("a.zip", versioned(driver, "reload_after").zip());
    setup.gateway.reload();
    assert_eq!(setup.header("a", "X-Version").as_deref(), Some("after"));
    assert_eq!(setup.gateway.get("/ready").json()["status"], "pass");
}

/// How often it is reloaded; more often with `TEST_RELOADS`.
fn reloads() -> usize {
    std::env::var("TEST_RELOADS").map_or(100, |count| count.parse().unwrap())
}

pub(crate) fn a_hundred_reloads_under_load_leave_nothing_behind(driver: Driver) {
    let versions = [
        versioned(driver, "reload_before"),
        versioned(driver, "reload_after"),
    ];
    let setup = start(&versions[..1], json!({"log_level": "info"}));
    let round = |count: usize| {
        for index in 0..count {
            setup.server.put("a.zip", versions[(index + 1) % 2].zip());
            setup.gateway.reload();
        }
    };
    let probes: Vec<Probe> = (0..2)
        .map(|_| Probe::load(setup.gateway.address(), "/a/"))
        .collect();
    round(20);
    let before = usage(&setup.gateway);
    round(reloads());
    let after = usage(&setup.gateway);
    eprintln!("KiB and descriptors: {before:?} to {after:?}");
    for probe in probes {
        probe.finish().assert_undisturbed(wait::DEADLINE);
    }
    assert_eq!(setup.header("a", "X-Version").as_deref(), Some("before"));
    assert!(
        after.0 < before.0 + before.0 / 10 + 4096,
        "KiB: {before:?} to {after:?}"
    );
    assert!(
        after.1 <= before.1 + 8,
        "descriptors: {before:?} to {after:?}"
    );
    let bundles = setup.gateway.folder().join("middleware/bundles");
    wait::until("one version is left", || {
        let folders = fs::read_dir(&bundles).unwrap();
        folders
            .filter(|entry| entry.as_ref().unwrap().path().is_dir())
            .count()
            == 1
    });
}

/// Resident memory in KiB, and open descriptors.
fn usage(gateway: &Gateway) -> (usize, usize) {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.id())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let resident = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    let descriptors = fs::read_dir(format!("/proc/{}/fd", gateway.id())).unwrap();
    (resident, descriptors.count())
}
