//! Events for plugins, handled one after the other on a thread of their own.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use coprocess_core::{Event, LogLevel};
use mlua::{IntoLua, Lua, Value};

use crate::DRIVER;
use crate::dispatch::{Shared, dispatch_error, vm_for};
use crate::plugin::LuaHook;

/// How many events may wait. More are dropped and logged.
const QUEUE: usize = 1024;

/// How long one handler may take.
const LIMIT: Duration = Duration::from_secs(5);

/// The way to the event thread, which ends when this value is dropped and all is handled.
pub(crate) struct Events(SyncSender<Event>);

impl Events {
    /// Starts the thread.
    pub(crate) fn start(shared: Arc<Shared>) -> std::io::Result<Self> {
        let (sender, inbox) = sync_channel(QUEUE);
        thread::Builder::new()
            .name("lua-events".to_owned())
            .spawn(move || handle_all(&shared, &inbox))?;
        Ok(Self(sender))
    }

    /// Queues an event; never waits.
    pub(crate) fn send(&self, shared: &Shared, event: Event) {
        if let Err(TrySendError::Full(event) | TrySendError::Disconnected(event)) =
            self.0.try_send(event)
        {
            log(shared, &event, "too many events wait; this one is dropped");
        }
    }
}

fn handle_all(shared: &Shared, inbox: &Receiver<Event>) {
    for event in inbox {
        if let Err(problem) = handle(shared, &event) {
            log(shared, &event, &problem);
        }
    }
}

fn handle(shared: &Shared, event: &Event) -> Result<(), String> {
    let Some(hook) = event.handler.get::<LuaHook>() else {
        return Err("was not loaded by this language".to_owned());
    };
    let payload: serde_json::Value = serde_json::from_str(&event.payload)
        .map_err(|error| format!("payload is not JSON: {error}"))?;
    let vm = vm_for(shared, &hook.code, LIMIT).map_err(|error| error.to_string())?;
    let name = hook.code.functions[hook.index].as_str();
    let to_lua = |part: &str| from_json(vm.lua(), &payload[part]);
    let arguments = to_lua("message").and_then(|message| Ok((name, message, to_lua("spec")?)));
    let arguments = arguments.map_err(|error| error.to_string())?;
    vm.call_event_handler(arguments, LIMIT)
        .map_err(|failure| dispatch_error(shared, &hook.code, failure, LIMIT).to_string())
}

fn log(shared: &Shared, event: &Event, problem: &str) {
    let text = format!("event handler `{}`: {problem}", event.handler_name);
    shared.host.log(LogLevel::Error, DRIVER, &text);
}

/// JSON as tables; `null` is nil.
fn from_json(lua: &Lua, json: &serde_json::Value) -> mlua::Result<Value> {
    match json {
        serde_json::Value::Null => Ok(Value::Nil),
        serde_json::Value::Bool(flag) => Ok(Value::Boolean(*flag)),
        serde_json::Value::Number(number) => number.as_f64().into_lua(lua),
        serde_json::Value::String(text) => text.as_str().into_lua(lua),
        serde_json::Value::Array(items) => {
            let table = lua.create_table_with_capacity(items.len(), 0)?;
            for (item, index) in items.iter().zip(1..) {
                table.raw_set(index, from_json(lua, item)?)?;
            }
            Ok(Value::Table(table))
        }
        serde_json::Value::Object(entries) => {
            let table = lua.create_table_with_capacity(0, entries.len())?;
            for (key, value) in entries {
                table.raw_set(key.as_str(), from_json(lua, value)?)?;
            }
            Ok(Value::Table(table))
        }
    }
}
