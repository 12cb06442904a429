//! Cases for a language that runs nothing.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::suite::{Recorder, block_on, init_context, object};
use crate::{CoProcessLanguage, Event, Hook, HookType, LogLevel, RemotePlugin};

/// `init` succeeds and tells the operator that plugins do not run.
pub fn null_language_answers_init(language: &dyn CoProcessLanguage) {
    let host = Arc::new(Recorder::default());
    let context = init_context(Arc::clone(&host), Path::new("."), "{}");
    language.init(context).expect("the language starts");
    host.expect_line(LogLevel::Info, "coprocess", "Disabled feature");
}

/// An object comes back as it went in, and events go nowhere.
pub fn null_language_changes_nothing(language: &dyn CoProcessLanguage) {
    let mut before = object(&RemotePlugin, "any", HookType::Pre);
    before.request.raw_body = Bytes::from_static(b"\xff\x00");
    let shown = format!("{before:?}");
    let after = block_on(language.dispatch(before)).expect("the object comes back");
    assert_eq!(format!("{after:?}"), shown);
    let event = Event::new("any", Hook::by_name(), "not even JSON".to_owned());
    language.trigger_event(event);
    language.shutdown();
}
