//! Cases about what a plugin asks of the gateway, and events on their way to a plugin.

use super::Suite;
use super::request::sent;
use crate::{Event, LogLevel};

pub(super) fn lines_are_logged_at_each_level(suite: &Suite) {
    suite.pre("log_levels");
    for (level, line) in [
        (LogLevel::Debug, "a debug line"),
        (LogLevel::Info, "an info line"),
        (LogLevel::Warning, "a warning line"),
        (LogLevel::Error, "an error line"),
    ] {
        suite.host.expect_line(level, suite.driver, line);
    }
}

pub(super) fn a_plugin_fires_an_event(suite: &Suite) {
    suite.pre("emit_event");
    suite
        .host
        .expect_event("conformance", r#"{"from":"plugin"}"#);
}

pub(super) fn data_is_kept_with_its_ttl(suite: &Suite) {
    let object = suite.pre("keep_data");
    assert_eq!(sent(&object, "X-Data"), Some("cool_value"));
    assert_eq!(sent(&object, "X-Nothing"), Some("none"));
    let stored = suite.host.stored("cool_key");
    assert_eq!(stored, Some((b"cool_value".to_vec(), 300)));
}

pub(super) fn an_event_reaches_its_handler(suite: &Suite) {
    let handler = suite.plugin.event_handler("on_event");
    let handler = handler.expect("the fixture has the handler");
    let payload = r#"{"message": {"Type": "AuthFailure", "TimeStamp": "now", "Meta": {"Path": "/"}},
        "handler_name": "on_event", "spec": {"APIID": "api-1", "OrgID": "org-1"}}"#;
    let event = Event::new("on_event", handler, payload.to_owned());
    suite.language().trigger_event(event);
    let line = "event AuthFailure api-1";
    suite.host.expect_line(LogLevel::Info, suite.driver, line);
}
