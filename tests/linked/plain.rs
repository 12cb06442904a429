//! A binary without plugins: it starts, says so, serves, and skips no hook in silence.

use test_harness::{Definition, Upstream};

use crate::gateway;

#[test]
fn the_null_language_is_the_only_one() {
    assert_eq!(gateway().linked_languages(), ["dummy"]);
}

#[test]
fn it_says_that_the_feature_is_disabled_and_serves() {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .with_plugins()
        .api(Definition::new("a").upstream(&upstream))
        .start();
    gateway.wait_for_log("Disabled feature");
    assert_eq!(gateway.get("/a/").status, 200);
}

#[test]
fn a_refused_hook_tells_which_build_would_run_it() {
    let hooked = Definition::new("a").driver("python").pre("Function");
    let gateway = gateway().with_plugins().api(hooked).start();
    gateway
        .get("/a/")
        .assert_error(500, "Internal Server Error");
    gateway.wait_for_log_with(&["python", "--features coprocess,python"]);
}
