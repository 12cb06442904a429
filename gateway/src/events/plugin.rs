//! `cp_dynamic_handler`: tells a plugin's function of an event.

use std::sync::Arc;
use std::time::Duration;

use coprocess_core::{CoProcessLanguage, Event, Hook, Spec, Ticket};
use serde::Serialize;
use tracing::{error, warn};

use super::bounds::{Bounds, UnderWay};
use super::message::Message;
use crate::coprocess::guarded;

/// Most events that wait in the language or are handled there, per handler, and most bytes
/// of them.
const WAITING: (usize, usize) = (1024, 4 << 20);

/// A function that handles events.
pub struct Function {
    /// Its name.
    pub name: Arc<str>,
    /// The driver's name, for the log.
    pub driver: Arc<str>,
    /// Its language.
    pub language: Arc<dyn CoProcessLanguage>,
    /// What the language found.
    pub hook: Hook,
    /// How long it may run.
    pub time_limit: Duration,
}

/// One handler of one API.
pub struct PluginHandler {
    function: Function,
    spec: Arc<Spec>,
    api_id: Arc<str>,
    bounds: Bounds,
}

/// What a language is sent.
#[derive(Serialize)]
struct Payload<'a> {
    message: &'a Message,
    handler_name: &'a str,
    spec: PayloadSpec<'a>,
}

#[derive(Serialize)]
#[expect(non_snake_case, reason = "they are the contract's keys")]
struct PayloadSpec<'a> {
    APIID: &'a str,
    OrgID: &'a str,
}

impl PluginHandler {
    /// A handler of the API that `spec` describes.
    pub(super) fn new(function: Function, spec: Arc<Spec>, under_way: &UnderWay) -> Self {
        Self {
            function,
            api_id: spec.api_id.as_str().into(),
            spec,
            bounds: Bounds::new(WAITING, under_way),
        }
    }

    /// Hands the event to the language, which does not wait for the function. What the
    /// function does wrong is told by the language.
    pub(super) fn handle(&self, message: &Message) {
        let function = &self.function;
        let (api, handler, driver) = (&*self.api_id, &*function.name, &*function.driver);
        let event = &*message.name;
        let place = self.bounds.reserve(message.size(), |dropped| {
            warn!(
                api,
                event, handler, driver, dropped, "Event handler is too slow, event dropped."
            );
        });
        let Some(place) = place else { return };
        let payload = Payload {
            message,
            handler_name: &function.name,
            spec: PayloadSpec {
                APIID: &self.spec.api_id,
                OrgID: &self.spec.org_id,
            },
        };
        let payload = serde_json::to_string(&payload).expect("text is JSON");
        let call = Event {
            handler_name: Arc::clone(&function.name),
            handler: function.hook.clone(),
            payload,
            api_id: Arc::clone(&self.api_id),
            time_limit: function.time_limit,
            ticket: Ticket::new(place),
        };
        if let Err(error) = guarded(|| function.language.trigger_event(call)) {
            error!(%error, api, event, handler, driver, "Event handler failed.");
        }
    }
}
