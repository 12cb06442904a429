//! Events for plugins, handled one after the other on a thread of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use coprocess_core::{Event, LogLevel};
use mlua::{IntoLua, Lua, Value};

use crate::DRIVER;
use crate::dispatch::{Shared, disabled_text, dispatch_error, vm_for};
use crate::plugin::LuaHook;

/// How many events may wait. More are dropped, which is logged once per power of two.
const QUEUE: usize = 1024;

/// The way to the event thread, which ends when this value is dropped and all is handled.
pub(crate) struct Events {
    queue: SyncSender<Event>,
    dropped: AtomicU64,
}

impl Events {
    /// Starts the thread.
    pub(crate) fn start(shared: Arc<Shared>) -> std::io::Result<Self> {
        let (sender, inbox) = sync_channel(QUEUE);
        thread::Builder::new()
            .name("lua-events".to_owned())
            .spawn(move || handle_all(&shared, &inbox))?;
        Ok(Self {
            queue: sender,
            dropped: AtomicU64::new(0),
        })
    }

    /// Queues an event; never waits.
    pub(crate) fn send(&self, shared: &Shared, event: Event) {
        let about = (Arc::clone(&event.handler_name), Arc::clone(&event.api_id));
        if self.queue.try_send(event).is_ok() {
            return;
        }
        let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        if dropped.is_power_of_two() {
            let problem = format!("too many events wait, {dropped} were dropped so far");
            log(shared, &about.0, &about.1, &problem);
        }
    }
}

fn handle_all(shared: &Shared, inbox: &Receiver<Event>) {
    for event in inbox {
        if let Err(problem) = handle(shared, &event) {
            log(shared, &event.handler_name, &event.api_id, &problem);
        }
    }
}

fn handle(shared: &Shared, event: &Event) -> Result<(), String> {
    let Some(hook) = event.handler.get::<LuaHook>() else {
        return Err("was not loaded by this language".to_owned());
    };
    if hook.code.disabled.load(Ordering::Relaxed) {
        return Err(format!(
            "plugin is disabled until reload: {}",
            disabled_text(&hook.code)
        ));
    }
    let limit = event.time_limit;
    let payload: serde_json::Value = serde_json::from_str(&event.payload)
        .map_err(|error| format!("payload is not JSON: {error}"))?;
    let vm = vm_for(shared, &hook.code, limit).map_err(|error| error.to_string())?;
    let name = hook.code.functions[hook.index].as_str();
    let to_lua = |part: &str| from_json(vm.lua(), &payload[part]);
    let arguments = to_lua("message").and_then(|message| Ok((name, message, to_lua("spec")?)));
    let arguments = arguments.map_err(|error| error.to_string())?;
    vm.call_event_handler(arguments, limit)
        .map_err(|failure| dispatch_error(shared, &hook.code, failure, limit).to_string())
}

fn log(shared: &Shared, name: &str, api: &str, problem: &str) {
    let text = format!("event handler `{name}` of API `{api}`: {problem}");
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
