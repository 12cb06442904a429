//! Cases about plugins that fail: the error says what and where, and the language works on.

use std::time::{Duration, Instant};

use super::Suite;
use super::request::sent;
use super::suite::object;
use crate::{DispatchError, HookType, Plugin};

const LIMIT: Duration = Duration::from_millis(200);

/// Far above the limit, since the suite runs on loaded machines; far below "for ever".
const BOUND: Duration = Duration::from_secs(2);

pub(super) fn a_raised_error_names_file_and_line(suite: &Suite) {
    let message = raised(suite, "raise_error");
    assert!(message.contains("deliberate"), "{message}");
    let (_, after) = message
        .split_once("hooks.")
        .unwrap_or_else(|| panic!("no file in: {message}"));
    assert!(after.contains(|c: char| c.is_ascii_digit()), "{message}");
    suite.pre("set_header");
}

pub(super) fn a_wrong_return_value_is_an_error(suite: &Suite) {
    for name in ["return_number", "return_nothing"] {
        let message = raised(suite, name);
        assert!(message.contains("return"), "{name}: {message}");
    }
}

pub(super) fn an_endless_loop_ends_at_the_time_limit(suite: &Suite) {
    let plugin = suite.private_plugin();
    let error = cut(suite, plugin.as_ref(), "endless_loop");
    assert!(matches!(error, DispatchError::TimeLimit { .. }), "{error}");
    let after = suite.succeed(object(plugin.as_ref(), "set_header", HookType::Pre));
    assert_eq!(sent(&after, "X-Plugin"), Some("set"));
}

/// Whether the plugin is disabled afterwards depends on how often the language had to cut;
/// that the call ends, and that nothing else is harmed, does not.
pub(super) fn a_loop_that_swallows_the_cut_ends_too(suite: &Suite) {
    let plugin = suite.private_plugin();
    let error = cut(suite, plugin.as_ref(), "swallowing_loop");
    assert!(
        matches!(
            error,
            DispatchError::TimeLimit { .. } | DispatchError::Disabled(_)
        ),
        "{error}"
    );
    match suite.dispatch(object(plugin.as_ref(), "set_header", HookType::Pre)) {
        Ok(_) | Err(DispatchError::Disabled(_)) => {}
        Err(other) => panic!("after the cut: {other}"),
    }
    suite.pre("set_header");
    let again = suite.private_plugin();
    suite.succeed(object(again.as_ref(), "set_header", HookType::Pre));
}

pub(super) fn deep_recursion_is_an_error(suite: &Suite) {
    raised(suite, "deep_recursion");
    suite.pre("set_header");
}

pub(super) fn a_kept_request_is_an_error_not_a_crash(suite: &Suite) {
    suite.pre("keep_request");
    raised(suite, "use_kept_request");
    suite.pre("set_header");
}

/// The message of a hook that must raise.
fn raised(suite: &Suite, name: &str) -> String {
    match suite.dispatch(suite.object(name, HookType::Pre)) {
        Err(DispatchError::Raised { message }) => message,
        Err(other) => panic!("hook `{name}`: {other}"),
        Ok(_) => panic!("hook `{name}` did not raise"),
    }
}

/// The error of a hook that must be ended by the language.
fn cut(suite: &Suite, plugin: &dyn Plugin, name: &str) -> DispatchError {
    let mut object = object(plugin, name, HookType::Pre);
    object.time_limit = LIMIT;
    let began = Instant::now();
    let outcome = suite.dispatch(object);
    let took = began.elapsed();
    assert!(took < BOUND, "took {took:?} at a limit of {LIMIT:?}");
    match outcome {
        Err(error) => error,
        Ok(_) => panic!("hook `{name}` came back"),
    }
}
