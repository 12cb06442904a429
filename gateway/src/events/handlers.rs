//! From `event_handlers` in a file to handlers that can be called.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::{error, warn};

use super::message::Message;
use super::plugin::PluginHandler;
use super::webhook::{Webhook, WebhookMeta};
use super::{Tools, names};
use crate::config::{EventHandler, EventHandlers};
use crate::json;

const LOG: &str = "eh_log_handler";
const WEBHOOK: &str = "eh_web_hook_handler";
const PLUGIN: &str = "cp_dynamic_handler";
const JAVASCRIPT: &str = "eh_dynamic_handler";

/// The handlers of one event.
pub(super) type Listeners = Arc<[Handler]>;

/// Handlers by the name of their event. There are few names, if any.
#[derive(Default)]
pub struct Handlers(Vec<(String, Listeners)>);

/// One configured handler.
pub(super) enum Handler {
    Log { prefix: String, api: Option<String> },
    Webhook(Arc<Webhook>),
    Plugin(PluginHandler),
}

/// How one handler entry fared at load.
#[derive(Debug, Clone, Serialize)]
pub struct HandlerReport {
    /// The event.
    pub event: String,
    /// The kind of handler.
    pub handler: String,
    /// Which of its kind: a function or a target; absent for the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Why it was not made; absent when it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Why it is never called, though it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The settings of a log handler.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LogMeta {
    prefix: String,
    disabled: bool,
}

/// The settings of a handler that is a plugin's function.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PluginMeta {
    /// The function.
    pub(crate) name: String,
    /// Its language, where it is not the API's (an addition).
    pub(crate) driver: String,
    disabled: bool,
}

/// Finds the function that a handler entry names.
pub(crate) type FindFunction<'a> = dyn FnMut(&PluginMeta) -> Result<PluginHandler, String> + 'a;

/// Makes handlers.
pub(crate) struct Maker<'a> {
    pub(super) tools: &'a Tools,
    pub(super) api: Option<&'a str>,
}

impl Handlers {
    /// The handlers of an event, if it has any.
    pub(super) fn of(&self, event: &str) -> Option<Listeners> {
        let found = self.0.iter().find(|(name, _)| name == event);
        found.map(|(_, listeners)| Arc::clone(listeners))
    }
}

// === impl Maker ===

impl Maker<'_> {
    /// Makes the handlers of a configuration or of a definition. One that cannot be made is
    /// said and left out: it protects nothing.
    pub(crate) fn make(
        &self,
        config: &EventHandlers,
        find: &mut FindFunction<'_>,
    ) -> (Handlers, Vec<HandlerReport>) {
        let mut by_event: BTreeMap<&str, Vec<Handler>> = BTreeMap::new();
        let mut reports = Vec::new();
        let entries = config.events.iter();
        for (event, entry) in entries.flat_map(|(e, list)| list.iter().map(move |l| (e, l))) {
            let made = self.handler(event, entry, find);
            let mut report = self.report(event, entry, made.as_ref().err());
            if matches!(made, Ok(Some(_))) {
                report.note = self.note(event, entry);
            }
            reports.push(report);
            if let Ok(Some(handler)) = made {
                by_event.entry(event).or_default().push(handler);
            }
        }
        let handlers = by_event
            .into_iter()
            .map(|(event, made)| (event.to_owned(), made.into()));
        (Handlers(handlers.collect()), reports)
    }

    /// The handler, or nothing when it is disabled, or why it cannot be made.
    fn handler(
        &self,
        event: &str,
        entry: &EventHandler,
        find: &mut FindFunction<'_>,
    ) -> Result<Option<Handler>, String> {
        match entry.handler_name.as_str() {
            LOG => {
                let LogMeta { prefix, disabled } = self.settings(event, entry)?;
                let api = self.api.map(str::to_owned);
                Ok((!disabled).then_some(Handler::Log { prefix, api }))
            }
            WEBHOOK => {
                let settings: WebhookMeta = self.settings(event, entry)?;
                if settings.disabled {
                    return Ok(None);
                }
                let webhook = Webhook::new(&settings, self.tools, self.api)?;
                Ok(Some(Handler::Webhook(Arc::new(webhook))))
            }
            PLUGIN if self.api.is_some() => {
                let settings: PluginMeta = self.settings(event, entry)?;
                if settings.disabled {
                    return Ok(None);
                }
                if settings.name.is_empty() {
                    return Err("handler_meta.name: names no function".to_owned());
                }
                find(&settings).map(|handler| Some(Handler::Plugin(handler)))
            }
            PLUGIN => Err(format!(
                "Handler not found: {PLUGIN} needs an API, whose plugins it is one of; here \
                 there are: {LOG}, {WEBHOOK}"
            )),
            JAVASCRIPT => Err(format!(
                "Handler not found: {JAVASCRIPT} is JavaScript, which is not supported; use \
                 {PLUGIN} in an API's definition"
            )),
            name => Err(format!(
                "Handler not found: `{name}`; there are: {LOG}, {WEBHOOK}, and {PLUGIN} for APIs"
            )),
        }
    }

    /// Reads `handler_meta`. Keys that nothing reads are named and have no effect.
    fn settings<T: DeserializeOwned>(
        &self,
        event: &str,
        entry: &EventHandler,
    ) -> Result<T, String> {
        let meta = Value::Object(entry.handler_meta.clone());
        let (value, unread) =
            json::read_value(&meta).map_err(|(path, message)| match path.as_str() {
                "." | "" => format!("handler_meta: {message}"),
                path => format!("handler_meta.{path}: {message}"),
            })?;
        for key in unread {
            let (api, handler) = (self.api, &*entry.handler_name);
            let key = format!("handler_meta.{key}");
            warn!(
                api,
                event, handler, key, "Key is unknown or not implemented, has no effect."
            );
        }
        Ok(value)
    }

    fn report(&self, event: &str, entry: &EventHandler, problem: Option<&String>) -> HandlerReport {
        let handler = entry.handler_name.clone();
        if let Some(reason) = problem {
            error!(
                api = self.api,
                event, handler, reason, "Event handler is not made."
            );
        }
        let key = if handler == WEBHOOK {
            "target_path"
        } else {
            "name"
        };
        let name = entry.handler_meta.get(key).and_then(Value::as_str);
        HandlerReport {
            event: event.to_owned(),
            handler,
            name: name.map(str::to_owned),
            problem: problem.cloned(),
            note: None,
        }
    }

    /// Says so when an API's handler waits for what no API fires.
    fn note(&self, event: &str, entry: &EventHandler) -> Option<String> {
        let api = self.api?;
        if names::OF_APIS.contains(&event) {
            return None;
        }
        let known = names::OF_APIS.join(", ");
        let reason = format!("APIs never fire `{event}`; they fire {known}");
        let handler = &*entry.handler_name;
        warn!(
            api,
            event, handler, reason, "Event handler is never called."
        );
        Some(reason)
    }
}

// === calls ===

/// Tells all of them. Those that have to wait for something do so on their own.
pub(super) fn handle(listeners: &Listeners, message: Message) {
    let message = Arc::new(message);
    for handler in &**listeners {
        match handler {
            Handler::Log { prefix, api } => log(prefix, api.as_deref(), &message),
            Handler::Webhook(webhook) => webhook.send_soon(&message),
            Handler::Plugin(plugin) => plugin.handle(&message),
        }
    }
}

fn log(prefix: &str, api: Option<&str>, message: &Message) {
    let payload = message.meta.message();
    let name = &message.name;
    match line_end(message) {
        None => warn!(api, payload, "{prefix}:{name}"),
        Some(end) => warn!(api, payload, "{prefix}:{name}{end}"),
    }
}

/// `:key:origin:path`, for events that tell them. What a client or a plugin wrote must not
/// be able to look like lines of the log.
fn line_end(message: &Message) -> Option<String> {
    let part = |key| Some(message.meta.get(key)?.escape_debug());
    Some(format!(
        ":{}:{}:{}",
        part("Key")?,
        part("Origin")?,
        part("Path")?
    ))
}

#[cfg(test)]
mod tests {
    use super::super::Meta;
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn details_of_a_line_are_key_origin_and_path_on_one_line() {
        let end = |meta| {
            line_end(&Message {
                name: "AuthFailure".into(),
                meta,
                time: SystemTime::now(),
            })
        };
        assert_eq!(end(Meta::new("text")), None);
        let meta = Meta::new("text").with("Path", "/p");
        let meta = meta.with("Origin", "10.0.0.1").with("Key", "a\nb");
        assert_eq!(end(meta).unwrap(), ":a\\nb:10.0.0.1:/p");
    }
}
