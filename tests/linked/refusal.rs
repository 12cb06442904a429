//! What every binary tells of its languages, and what becomes of APIs that ask for another.

use test_harness::{Definition, Upstream};

use crate::gateway;

/// Hooks of a driver that this binary does not have are refused; other APIs are served.
pub(crate) fn refuses(driver: &str, hint: &str) {
    let upstream = Upstream::echo();
    let hooked = |id: &str| Definition::new(id).driver(driver).upstream(&upstream);
    let gateway = gateway()
        .with_plugins()
        .plugin(driver, "plugin.txt", "nothing reads this")
        .api(hooked("pre").pre("AnyFunction"))
        .api(hooked("auth").auth_check("AnyFunction"))
        .api(hooked("response").response("AnyFunction"))
        .api(Definition::new("plain").upstream(&upstream))
        .start();
    for path in ["/pre/", "/auth/", "/response/"] {
        gateway.get(path).assert_error(500, "Internal Server Error");
        assert!(upstream.take().is_empty(), "{path} reached the upstream");
    }
    assert_eq!(gateway.get("/plain/").status, 200);
    for api in ["pre", "auth", "response"] {
        gateway.wait_for_log_with(&[api, "AnyFunction", driver, hint]);
    }
}

/// What a binary without a language has to do; for the module that stands for it.
#[allow(
    unused_macros,
    reason = "a binary with every language has none of these modules"
)]
macro_rules! without {
    ($language:literal) => {
        #[test]
        fn the_language_is_not_listed() {
            let linked = crate::gateway().linked_languages();
            assert!(!linked.iter().any(|name| name == $language), "{linked:?}");
        }

        #[test]
        fn its_hooks_are_refused_and_the_log_tells_the_build() {
            crate::refusal::refuses($language, concat!("--features coprocess,", $language));
        }
    };
}

#[test]
fn version_names_the_binary_and_at_least_one_language() {
    let text = gateway().run(&["version"]).log;
    assert!(
        text.starts_with(&format!("gateway {}", env!("CARGO_PKG_VERSION"))),
        "{text}"
    );
    let linked = gateway().linked_languages();
    assert!(linked.iter().all(|name| !name.is_empty()), "{text}");
}

#[test]
fn a_driver_that_does_not_exist_is_refused() {
    refuses("cobol", "cobol");
}

#[test]
fn check_tells_hooks_that_cannot_run_by_its_exit_code() {
    let upstream = Upstream::echo();
    let sound = gateway().api(Definition::new("a").upstream(&upstream));
    let ended = sound.run(&["check", "--conf", "tyk.conf"]);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    let hooked = Definition::new("hooked").driver("cobol").pre("AnyFunction");
    let ended = gateway()
        .with_plugins()
        .api(hooked)
        .run(&["check", "--conf", "tyk.conf"]);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    for part in ["hooked", "AnyFunction", "cobol"] {
        assert!(
            ended.log.contains(part),
            "`{part}` is missing in {}",
            ended.log
        );
    }
}

#[test]
fn strict_does_not_start_with_a_hook_that_cannot_run() {
    let hooked = Definition::new("hooked").driver("cobol").pre("AnyFunction");
    let ended = gateway()
        .with_plugins()
        .api(hooked)
        .argument("--strict")
        .start_expecting_failure();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    assert!(ended.log.contains("AnyFunction"), "{}", ended.log);
}
