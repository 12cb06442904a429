//! Events for plugins, handled one after the other on a thread of their own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
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
        let reason = match self.queue.try_send(event) {
            Ok(()) => return,
            Err(TrySendError::Full(_)) => "too many events wait",
            Err(TrySendError::Disconnected(_)) => "the thread of event handlers has ended",
        };
        let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        if dropped.is_power_of_two() {
            let problem = format!("{reason}, {dropped} were dropped so far");
            log(shared, &about.0, &about.1, &problem);
        }
    }
}

fn handle_all(shared: &Shared, inbox: &Receiver<Event>) {
    for event in inbox {
        // A panic must not end the thread: later events would wait for ever.
        let outcome = catch_unwind(AssertUnwindSafe(|| handle(shared, &event)));
        let panicked = |_| Err("panic in the gateway".to_owned());
        if let Err(problem) = outcome.unwrap_or_else(panicked) {
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
    let arguments = |lua: &Lua| {
        let message = from_json(lua, &payload["message"])?;
        Ok((name, message, from_json(lua, &payload["spec"])?))
    };
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use coprocess_core::{Hook, Host, HostError, PluginSource, SourceKind};

    use super::*;
    use crate::options::Options;

    /// Remembers what was logged.
    #[derive(Default)]
    struct Listening(Mutex<Vec<String>>);

    impl Host for Listening {
        fn log(&self, _level: LogLevel, _source: &str, message: &str) {
            self.0.lock().unwrap().push(message.to_owned());
        }
        fn emit_event(&self, _name: &str, _payload: &str) {}
        fn store_data(&self, _key: &str, _value: &[u8], _ttl: i64) -> Result<(), HostError> {
            Ok(())
        }
        fn get_data(&self, _key: &str) -> Result<Option<bytes::Bytes>, HostError> {
            Ok(None)
        }
    }

    /// Handles events with these payloads by a function that logs; the first one panics.
    fn logged(payloads: &[String]) -> Vec<String> {
        crate::raw::interrupt::start().unwrap();
        let host = Arc::new(Listening::default());
        let shared = Shared {
            options: Options {
                memory_limit: 8 << 20,
                ..Options::default()
            },
            host: Arc::<Listening>::clone(&host),
        };
        let folder = format!("lang-lua-events-{}", std::process::id());
        let root = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&root).unwrap();
        let code = "count = 0 function on(event) count = count + 1 \
                    tyk.log('count ' .. count, 'info') end";
        std::fs::write(root.join("plugin.lua"), code).unwrap();
        let source = PluginSource {
            name: "plugin".to_owned(),
            root,
            files: vec!["plugin.lua".into()],
            kind: SourceKind::Directory,
        };
        let plugin = crate::plugin::load(&source, &shared.options, &shared.host).unwrap();
        let good = plugin.event_handler("on").unwrap();
        let code = Arc::clone(&good.get::<LuaHook>().unwrap().code);
        let bad = Hook::new(LuaHook { code, index: 99 });
        let (sender, inbox) = sync_channel(QUEUE);
        let event = |hook: Hook, payload: &str| Event::new("on", hook, payload.to_owned());
        sender.send(event(bad, "{}")).unwrap();
        for payload in payloads {
            sender.send(event(good.clone(), payload)).unwrap();
        }
        drop(sender);
        handle_all(&shared, &inbox);
        let logged = host.0.lock().unwrap();
        logged.clone()
    }

    #[test]
    fn a_panic_or_a_full_memory_ends_one_event_and_no_other() {
        let small = r#"{"message": {}, "spec": {}}"#.to_owned();
        let large = format!(r#"{{"message": [{}1]}}"#, "{},".repeat(400_000));
        let logged = logged(&[small.clone(), small.clone(), large, small]);
        let has = |at: usize, text: &str| logged[at].contains(text);
        assert_eq!(logged.len(), 5, "{logged:?}");
        assert!(has(0, "panic"), "{logged:?}");
        assert!(has(1, "count 1") && has(2, "count 2"), "{logged:?}");
        assert!(has(3, "memory"), "{logged:?}");
        assert!(
            has(4, "count 1"),
            "a VM whose memory was full goes: {logged:?}"
        );
    }
}
