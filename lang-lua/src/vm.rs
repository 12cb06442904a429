//! One VM: the sandbox, the views, the plugin's code, and a way to call its functions.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use coprocess_core::{HookType, Host, Spec};
use mlua::chunk::ChunkMode;
use mlua::{Error, Function, IntoLuaMulti, Lua, LuaString, StdLib, Table};

use crate::natives::{self, Calls};
use crate::options::Options;
use crate::raw::entry::{Entry, Name};
use crate::raw::interrupt::{self, Cut, InterruptibleLua, OWN_CHUNK};
use crate::source::{self, SourceFile};

const SANDBOX: &str = include_str!("sandbox.lua");
const VIEWS: &str = include_str!("views.lua");
const CALLS: &str = include_str!("calls.lua");
const TYK: &str = include_str!("tyk.lua");
const CJSON: &str = include_str!("cjson.lua");

/// How a line of a traceback begins that is about the gateway's own Lua code.
const OWN_FRAME: &str = "\tgateway:";

/// Plugin code ready to run, on the thread that made it.
pub(crate) struct Vm {
    lua: InterruptibleLua,
    pub(crate) calls: Rc<Calls>,
    memory_limit: usize,
    worn: Cell<bool>,
    run_file: Function,
    request_hook: Entry,
    auth_hook: Entry,
    response_hook: Entry,
    event_handler: Function,
    /// The plugin's functions, in the order of its list, and what calls them.
    names: Vec<(LuaString, Name)>,
    files: Arc<[SourceFile]>,
    /// The API of the last call.
    last_spec: RefCell<Option<Arc<Spec>>>,
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
        natives.raw_set("place", lua.create_function(|lua, ()| Ok(place(lua)))?)?;
        let (module_named, module_chunk) = module_finder(lua, files)?;
        let run_file = own_chunk(lua, SANDBOX).call((&natives, module_named, module_chunk, ffi))?;
        let views: Table = own_chunk(lua, VIEWS).call((&natives, own_chunk(lua, TYK)))?;
        let (request_hook, auth_hook, response_hook, event_handler): (
            Function,
            Function,
            Function,
            Function,
        ) = own_chunk(lua, CALLS).call((&natives, &views))?;
        own_chunk(lua, CJSON).call::<()>((natives, views))?;
        let own_globals = global_functions(lua)?;
        Ok(Self {
            calls,
            memory_limit: options.memory_limit,
            worn: Cell::new(false),
            run_file,
            request_hook: Entry::new(lua, &request_hook)?,
            auth_hook: Entry::new(lua, &auth_hook)?,
            response_hook: Entry::new(lua, &response_hook)?,
            event_handler,
            names: Vec::new(),
            files: Arc::clone(files),
            last_spec: RefCell::default(),
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
        let names = functions.iter().map(|name| {
            let name = self.lua().create_string(name)?;
            let ready = Name::new(self.lua(), &name)?;
            Ok((name, ready))
        });
        self.names = names.collect::<mlua::Result<_>>()?;
        Ok(())
    }

    /// Gives back what compiling the code left behind: several times what stays, for large
    /// tables. From here on the collector works in proportion to what is in use.
    pub(crate) fn settle(&self, limit: Duration) -> Result<(), Failure> {
        // Guarded, because finalizers are the plugin's code.
        self.guarded(limit, || self.lua().gc_collect())
    }

    /// Whether the last call was for the same API.
    pub(crate) fn is_spec_of_last_call(&self, spec: &Arc<Spec>) -> bool {
        let last = self.last_spec.borrow();
        last.as_ref().is_some_and(|last| Arc::ptr_eq(last, spec))
    }

    /// Notes the API of a call that has ended well; none after one that has not, because it may
    /// not have come to its views. The spec is held, so that its place is not another's.
    pub(crate) fn note_spec(&self, spec: Option<Arc<Spec>>) {
        *self.last_spec.borrow_mut() = spec;
    }

    /// Calls a hook on the object that is bound, see [`bind`](crate::raw::current::bind).
    pub(crate) fn call_hook(
        &self,
        hook_type: HookType,
        index: usize,
        is_same_spec: bool,
        limit: Duration,
    ) -> Result<(), Failure> {
        let entry = match hook_type {
            HookType::Pre | HookType::Post | HookType::PostKeyAuth => &self.request_hook,
            HookType::CustomKeyCheck => &self.auth_hook,
            HookType::Response => &self.response_hook,
        };
        let (_, name) = &self.names[index];
        self.guarded(limit, || entry.call(self.lua(), name, is_same_spec))
            .map_err(|failure| match failure {
                Failure::Raised(text) => Failure::Raised(self.located(&text, index)),
                Failure::Memory(text) => Failure::Memory(self.located(&text, index)),
                cut => cut,
            })
    }

    /// The text with what it lacks to be found in the plugin: what came up after the function
    /// had returned, or is no text, names no line, and there the function's own is the nearest.
    fn located(&self, text: &str, index: usize) -> String {
        let (name, _) = &self.names[index];
        let function = self.lua().globals().raw_get(name);
        let name = name.to_string_lossy();
        // The traceback calls it by the name that it has where it is called.
        let text = text.replace("in local 'handler'", &format!("in function '{name}'"));
        let of_plugin = |line: &&str| !line.starts_with(OWN_FRAME);
        let text = text
            .lines()
            .filter(of_plugin)
            .collect::<Vec<_>>()
            .join("\n");
        let first = text.lines().next().unwrap_or_default();
        let has_place = |file: &SourceFile| first.contains(&format!("{}:", file.name));
        if self.files.iter().any(has_place) {
            return text;
        }
        let info = function.map(|function: Function| function.info());
        match info.map(|info| (info.source, info.line_defined)) {
            Ok((Some(file), Some(line))) => {
                let file = file.trim_start_matches('@');
                format!("{file}:{line}: in function `{name}`: {text}")
            }
            _ => text,
        }
    }

    /// Calls an event handler with the event and the API's spec, which count as its memory.
    pub(crate) fn call_event_handler<A: IntoLuaMulti>(
        &self,
        arguments: impl FnOnce(&Lua) -> mlua::Result<A>,
        limit: Duration,
    ) -> Result<(), Failure> {
        self.guarded(limit, || self.event_handler.call(arguments(self.lua())?))
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

/// Finds the module that `require` asks for among the plugin's files, and nowhere else: its
/// name, and its code by that name.
fn module_finder(lua: &Lua, files: &Arc<[SourceFile]>) -> mlua::Result<(Function, Function)> {
    let all = Arc::clone(files);
    let named = lua.create_function(move |_, name: String| {
        if let Some(file) = source::module(&all, &name) {
            return Ok((Some(file.module.clone()), None));
        }
        let known: Vec<&str> = all.iter().map(|file| file.module.as_str()).collect();
        let known = known.join(", ");
        Ok((
            None,
            Some(format!(
                "no module '{name}' in this plugin; there are: {known}"
            )),
        ))
    })?;
    let all = Arc::clone(files);
    let code = lua.create_function(move |lua, name: String| {
        let file = all.iter().find(|file| file.module == name);
        file.map(|file| chunk(lua, file)).transpose()
    })?;
    Ok((named, code))
}

/// File and line of the plugin's code that runs, or nothing to say.
fn place(lua: &Lua) -> String {
    for level in 0.. {
        let found = lua.inspect_stack(level, |frame| {
            let source = frame.source().source?.into_owned();
            let file = source.strip_prefix('@')?.to_owned();
            Some(format!("{file}:{}", frame.current_line()?))
        });
        match found {
            Some(Some(place)) => return place,
            Some(None) => {}
            None => break,
        }
    }
    String::new()
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
