#![forbid(unsafe_code)]
//! The plain build's language: it answers init, says that plugins are disabled, and serves
//! no driver. It is also the null language of the conformance suite.

use coprocess_core::{
    CoProcessLanguage, DispatchFuture, Event, InitContext, InitError, LogLevel, Object,
    register_language,
};

/// A language that runs nothing: an object comes back as it went in.
#[derive(Debug, Default)]
pub struct Dummy;

impl CoProcessLanguage for Dummy {
    fn init(&self, context: InitContext) -> Result<(), InitError> {
        context
            .host
            .log(LogLevel::Info, "coprocess", "Disabled feature");
        Ok(())
    }

    fn dispatch(&self, object: Object) -> DispatchFuture<'_> {
        DispatchFuture::ready(Ok(object))
    }

    fn trigger_event(&self, _event: Event) {}
}

register_language! {
    name: "dummy",
    drivers: &[],
    options: &[],
    new: || Box::new(Dummy),
}
