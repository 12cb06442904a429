//! Hooks that cannot run: their API refuses, the others do not notice, the log says what to do.

use serde_json::json;
use test_harness::{Definition, GatewayBuilder, Upstream};

use super::Driver;
use crate::gateway;

/// The APIs beside the one that refuses: one without hooks, one with a hook that works.
struct Beside {
    upstream: Upstream,
}

impl Beside {
    fn new() -> Self {
        Self {
            upstream: Upstream::echo(),
        }
    }

    fn api(&self, driver: &str) -> Definition {
        Definition::new("refused")
            .driver(driver)
            .upstream(&self.upstream)
    }

    /// Starts with the plain API and, with plugins on, the sound one, and checks everything.
    fn check(
        &self,
        builder: GatewayBuilder,
        driver: Option<Driver>,
        expected: (u16, &str),
        told: &[&str],
    ) {
        let mut builder = builder.api(Definition::new("plain").upstream(&self.upstream));
        if let Some(driver) = driver {
            let sound = Definition::new("sound")
                .driver(driver)
                .upstream(&self.upstream);
            builder = builder.fixture("broken", driver).api(sound.pre("Sound"));
        }
        let gateway = builder.start();
        gateway
            .get("/refused/")
            .assert_error(expected.0, expected.1);
        assert!(
            self.upstream.take().is_empty(),
            "the refused request reached the upstream"
        );
        assert_eq!(gateway.get("/plain/").status, 200);
        assert_eq!(self.upstream.take_one().header("X-Sound"), None);
        if driver.is_some() {
            assert_eq!(gateway.get("/sound/").status, 200);
            assert_eq!(self.upstream.take_one().header("X-Sound"), Some("yes"));
        }
        for part in told {
            gateway.wait_for_log_with(&["refused", part]);
        }
    }
}

pub(crate) fn a_function_that_does_not_exist_refuses_its_api(driver: Driver) {
    let kinds: [fn(Definition) -> Definition; 3] = [
        |api| api.pre("NoSuchFunction"),
        |api| api.post("NoSuchFunction"),
        |api| api.response("NoSuchFunction"),
    ];
    for add in kinds {
        let beside = Beside::new();
        let api = add(beside.api(driver));
        beside.check(
            gateway().api(api),
            Some(driver),
            (500, "Middleware error"),
            &["NoSuchFunction", driver],
        );
    }
}

pub(crate) fn an_auth_check_that_does_not_exist_lets_nobody_in(driver: Driver) {
    let beside = Beside::new();
    let api = beside.api(driver).auth_check("NoSuchFunction");
    beside.check(
        gateway().api(api),
        Some(driver),
        (403, "Key not authorised"),
        &["NoSuchFunction", driver],
    );
}

pub(crate) fn a_file_that_does_not_parse_refuses_only_who_needs_it(driver: Driver) {
    let beside = Beside::new();
    let api = beside.api(driver).pre("NeverThere");
    // The same folder holds a sound file; its function still serves.
    beside.check(
        gateway().api(api),
        Some(driver),
        (500, "Middleware error"),
        &["NeverThere", "broken."],
    );
}

pub(crate) fn hooks_are_refused_while_plugins_are_off(driver: Driver) {
    for add in [
        (|api: Definition| api.pre("Sound")) as fn(Definition) -> Definition,
        |api| api.auth_check("Sound"),
        |api| api.response("Sound"),
    ] {
        let beside = Beside::new();
        let builder = gateway()
            .fixture("broken", driver)
            .api(add(beside.api(driver)))
            .conf(json!({"coprocess_options": {"enable_coprocess": false}}));
        beside.check(
            builder,
            None,
            (500, "Internal Server Error"),
            &["enable_coprocess"],
        );
    }
}

pub(crate) fn a_driver_that_nobody_knows_refuses_its_api(driver: Driver) {
    let beside = Beside::new();
    let api = beside.api("cobol").pre("Sound");
    beside.check(
        gateway().api(api),
        Some(driver),
        (500, "Internal Server Error"),
        &["cobol", driver],
    );
    let beside = Beside::new();
    let api = beside.api("cobol").auth_check("Sound");
    beside.check(
        gateway().api(api),
        Some(driver),
        (500, "Internal Server Error"),
        &["cobol"],
    );
}

pub(crate) fn a_missing_driver_refuses_its_api(driver: Driver) {
    let beside = Beside::new();
    let api = beside.api("").pre("Sound");
    beside.check(
        gateway().api(api),
        Some(driver),
        (500, "Internal Server Error"),
        &["driver"],
    );
}

pub(crate) fn plugins_can_be_turned_on_by_a_variable(driver: Driver) {
    let beside = Beside::new();
    let gateway = gateway()
        .fixture("broken", driver)
        .conf(json!({"coprocess_options": {"enable_coprocess": false}}))
        .env("TYK_GW_COPROCESSOPTIONS_ENABLECOPROCESS", "true")
        .api(beside.api(driver).pre("Sound"))
        .start();
    assert_eq!(gateway.get("/refused/").status, 200);
    assert_eq!(beside.upstream.take_one().header("X-Sound"), Some("yes"));
}
