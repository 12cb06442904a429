//! One VM: the sandbox, the views, the plugin's code, and a way to call its functions.

use std::cell::Cell;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use coprocess_core::{HookType, Host};
use mlua::chunk::ChunkMode;
use mlua::{Error, Function, IntoLuaMulti, Lua, LuaString, StdLib, Table};

use crate::natives::{self, Calls};
use crate::options::Options;
use crate::raw::interrupt::{self, Cut, InterruptibleLua, OWN_CHUNK};
use crate::source::SourceFile;

const SANDBOX: &str = include_str!("sandbox.lua");
const VIEWS: &str = include_str!("views.lua");
const TYK: &str = include_str!("tyk.lua");
const CJSON: &str = include_str!("cjson.lua");

/// Plugin code ready to run, on the thread that made it.
pub(crate) struct Vm {
    lua: InterruptibleLua,
    pub(crate) calls: Rc<Calls>,
    memory_limit: usize,
    worn: Cell<bool>,
    run_file: Function,
    request_hook: Function,
    auth_hook: Function,
    response_hook: Function,
    event_handler: Function,
    /// The plugin's functions, in the order of its list.
    names: Vec<LuaString>,
    /// What was global before the plugin's code ran.
    own_globals: HashSet<Vec<u8>>,
}

/// Why plugin code did not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It raised; the text has a traceback.
    Raised(String),
    /// It wanted more memory than it may have.
    Memory(String),
    /// It was cut.
    TimeLimit(Cut),
    /// The thread runs plugin code already, or ends.
    Busy,
}

impl Vm {
    /// A VM in which no plugin code has run yet. `files` are what `require` finds.
    pub(crate) fn new(
        options: &Options,
        host: &Arc<dyn Host>,
        files: &Arc<[SourceFile]>,
    ) -> mlua::Result<Self> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::BIT | StdLib::OS;
        let interruptible = interrupt::new_lua(libraries | StdLib::JIT, options.allow_ffi)?;
        let lua = interruptible.lua();
        lua.set_memory_limit(options.memory_limit)?;
        let calls = Calls::new(Arc::clone(host), options.memory_limit);
        let natives = natives::table(lua, &calls)?;
        let ffi: mlua::Value = lua.globals().raw_get("ffi")?;
        lua.globals().raw_remove("ffi")?;
        let run_file = own_chunk(lua, SANDBOX).call((&natives, module_finder(lua, files)?, ffi))?;
        let (request_hook, auth_hook, response_hook, event_handler, complete): (
            _,
            _,
            _,
            _,
            Function,
        ) = own_chunk(lua, VIEWS).call((&natives, own_chunk(lua, TYK)))?;
        own_chunk(lua, CJSON).call::<()>((natives, complete))?;
        let own_globals = global_functions(lua)?;
        Ok(Self {
            calls,
            memory_limit: options.memory_limit,
            worn: Cell::new(false),
            run_file,
            request_hook,
            auth_hook,
            response_hook,
            event_handler,
            names: Vec::new(),
            own_globals: own_globals.into_iter().collect(),
            lua: interruptible,
        })
    }

    pub(crate) fn lua(&self) -> &Lua {
        self.lua.lua()
    }

    /// Whether a run of this VM was cut. Code that cleans up was cut with it, so what the
    /// plugin and the sandbox keep may be halfway between two states for ever.
    pub(crate) fn is_worn(&self) -> bool {
        self.worn.get()
    }

    /// Runs one of the plugin's files.
    pub(crate) fn run_file(&self, file: &SourceFile, limit: Duration) -> Result<(), Failure> {
        self.guarded(limit, || {
            let chunk = chunk(self.lua(), file)?;
            self.run_file.call((file.module.as_str(), chunk))
        })
    }

    /// The functions that the plugin's code has made global, in name order.
    pub(crate) fn plugin_functions(&self) -> mlua::Result<Vec<String>> {
        let mut functions: Vec<String> = global_functions(self.lua())?
            .into_iter()
            .filter(|name| !self.own_globals.contains(name))
            .filter_map(|name| String::from_utf8(name).ok())
            .collect();
        functions.sort();
        Ok(functions)
    }

    /// Sets the list that [`call_hook`](Self::call_hook) counts in.
    pub(crate) fn set_functions(&mut self, functions: &[String]) -> mlua::Result<()> {
        let names = functions.iter().map(|name| self.lua().create_string(name));
        self.names = names.collect::<mlua::Result<_>>()?;
        Ok(())
    }

    /// Calls a hook on the object that [`Calls::put`] has put in place.
    pub(crate) fn call_hook(
        &self,
        hook_type: HookType,
        index: usize,
        limit: Duration,
    ) -> Result<(), Failure> {
        let entry = match hook_type {
            HookType::Pre | HookType::Post | HookType::PostKeyAuth => &self.request_hook,
            HookType::CustomKeyCheck => &self.auth_hook,
            HookType::Response => &self.response_hook,
        };
        self.guarded(limit, || entry.call(&self.names[index]))
    }

    /// Calls an event handler with the event and the API's spec.
    pub(crate) fn call_event_handler(
        &self,
        arguments: impl IntoLuaMulti,
        limit: Duration,
    ) -> Result<(), Failure> {
        self.guarded(limit, || self.event_handler.call(arguments))
    }

    fn guarded(
        &self,
        limit: Duration,
        work: impl FnOnce() -> mlua::Result<()>,
    ) -> Result<(), Failure> {
        let outcome = interrupt::with_runner(|runner| {
            runner.run(&self.lua, limit, |_| {
                self.calls.enter();
                catch_unwind(AssertUnwindSafe(work))
            })
        });
        if let Some((_, Some(_))) = &outcome {
            self.worn.set(true);
        }
        match outcome {
            None => Err(Failure::Busy),
            Some((Ok(Ok(())), _)) => Ok(()),
            Some((_, Some(cut))) => Err(Failure::TimeLimit(cut)),
            Some((Ok(Err(error)), None)) => Err(self.failure(&error)),
            Some((Err(_), None)) => Err(Failure::Raised(
                "panic in a function of the gateway".to_owned(),
            )),
        }
    }

    fn failure(&self, error: &Error) -> Failure {
        match error {
            Error::MemoryError(text) => Failure::Memory(format!(
                "{text} (coprocess_options.lua_memory_limit_mb is {})",
                self.memory_limit >> 20
            )),
            // LuaJIT does not collect when memory runs out: the next call would meet the limit.
            other if self.lua().used_memory() > self.memory_limit / 4 * 3 => {
                Failure::Memory(error_text(other))
            }
            other => Failure::Raised(error_text(other)),
        }
    }
}

/// The text of an error, with its traceback where there is one.
fn error_text(error: &Error) -> String {
    match error {
        Error::RuntimeError(text) | Error::SyntaxError { message: text, .. } => text.clone(),
        Error::CallbackError { traceback, cause } => {
            format!("{}\n{traceback}", error_text(cause))
        }
        other => other.to_string(),
    }
}

fn own_chunk(lua: &Lua, text: &str) -> Function {
    lua.load(text)
        .set_name(OWN_CHUNK)
        .into_function()
        .expect("the gateway's own Lua files compile")
}

fn chunk(lua: &Lua, file: &SourceFile) -> mlua::Result<Function> {
    lua.load(&file.text)
        .set_name(format!("@{}", file.name))
        .set_mode(ChunkMode::Text)
        .into_function()
}

/// Finds the module that `require` asks for among the plugin's files, and nowhere else.
fn module_finder(lua: &Lua, files: &Arc<[SourceFile]>) -> mlua::Result<Function> {
    let files = Arc::clone(files);
    lua.create_function(move |lua, name: String| {
        if let Some(file) = files.iter().find(|file| file.module == name) {
            return Ok((Some(chunk(lua, file)?), None));
        }
        let known: Vec<&str> = files.iter().map(|file| file.module.as_str()).collect();
        let known = known.join(", ");
        Ok((
            None,
            Some(format!(
                "no module '{name}' in this plugin; there are: {known}"
            )),
        ))
    })
}

fn global_functions(lua: &Lua) -> mlua::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    let globals: Table = lua.globals();
    globals.for_each(|name: mlua::Value, value: mlua::Value| {
        if let (mlua::Value::String(name), mlua::Value::Function(_)) = (name, value) {
            names.push(name.as_bytes().to_vec());
        }
        Ok(())
    })?;
    Ok(names)
}
