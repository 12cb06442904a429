//! Ends Lua code that runs too long, from the only place where that is allowed: the thread
//! that runs it.
//!
//! A watchdog thread finds a run past its limit and sends the running thread a signal. The
//! signal's handler sets a LuaJIT debug hook, which raises an error at the next instruction,
//! and at each one after it until the run is over, so that code which catches the error is
//! cut again at once. While nothing is overdue no hook is set and Lua runs at full speed.
//!
//! This needs a LuaJIT whose compiled code looks at hooks (`LUAJIT_ENABLE_CHECKHOOK`);
//! [`self_test`] finds out.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::{CStr, c_int};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering, compiler_fence};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use coprocess_core::watchdog::{Overrun, Slot, Watchdog};
use mlua::{Lua, LuaOptions, StdLib, ffi, lua_State};

/// Its default action is to be ignored, so a stray one never harms the process.
const SIGNAL: c_int = libc::SIGURG;

/// Chunks whose name starts with this are the gateway's own, not the plugin's.
pub(crate) const OWN_CHUNK: &str = "=gateway";

/// A run that was told to end.
#[derive(Debug)]
pub(crate) struct Cut {
    /// `file:line` of the plugin code that was running, when it is known.
    pub(crate) place: Option<String>,
    /// Processor time that the run took after it was told to end.
    pub(crate) resisted: Duration,
    /// How often the run was cut: code that is cut once and ends has not resisted, however
    /// long it was in a function where it could not be cut.
    pub(crate) cuts: u32,
}

/// A VM that a [`Runner`] can interrupt.
pub(crate) struct InterruptibleLua {
    lua: Lua,
    state: *mut lua_State,
}

/// A thread's place with the watchdog. One per thread, see [`with_runner`].
pub(crate) struct Runner {
    slot: Slot,
    target: Arc<Target>,
    tag: u64,
}

/// What the signal handler reads and writes. Atomics because the watchdog's thread shares
/// it; between the owner thread and its own signal handler only compiler order matters.
struct Target {
    thread: libc::pthread_t,
    /// The VM that runs now, or null.
    state: AtomicPtr<lua_State>,
    /// The run that goes on, as the slot counts.
    run: AtomicU64,
    /// The run that the watchdog wants to end.
    asked: AtomicU64,
    /// How often the handler has set the hook in this run.
    asks: AtomicU32,
    /// The thread's processor time, in nanoseconds, when the hook was first set.
    asked_at: AtomicU64,
}

thread_local! {
    /// Constant start and no destructor: reading it in a signal handler touches nothing else.
    static TARGET: Cell<*const Target> = const { Cell::new(ptr::null()) };
    static CUTS: Cell<u32> = const { Cell::new(0) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
    static RUNNER: RefCell<Option<Runner>> = const { RefCell::new(None) };
}

static WATCHDOG: OnceLock<Result<Watchdog, String>> = OnceLock::new();

/// The threads that can be told to end a run. A thread takes itself out before it ends.
static TARGETS: LazyLock<Mutex<HashMap<u64, Arc<Target>>>> = LazyLock::new(Mutex::default);

/// Makes a VM. `with_ffi` adds LuaJIT's `ffi` library, which can read and write all memory.
pub(crate) fn new_lua(libraries: StdLib, with_ffi: bool) -> mlua::Result<InterruptibleLua> {
    // A panic of a callback is an error in Lua and a panic again where Lua was called.
    let options = LuaOptions::new().catch_rust_panics(true);
    let lua = if with_ffi {
        // SAFETY: the operator has allowed `ffi` and with it code that can break the process;
        // nothing else that is unsafe is loaded (no `debug`, no `package`).
        unsafe { Lua::unsafe_new_with(libraries | StdLib::FFI, options) }
    } else {
        Lua::new_with(libraries, options)?
    };
    let mut state = ptr::null_mut();
    // SAFETY: the closure only copies the pointer.
    unsafe { lua.exec_raw::<()>((), |raw| state = raw)? };
    Ok(InterruptibleLua { lua, state })
}

impl InterruptibleLua {
    pub(crate) fn lua(&self) -> &Lua {
        &self.lua
    }
}

/// Starts the watchdog and installs the signal handler, once for the process.
pub(crate) fn start() -> Result<(), String> {
    WATCHDOG
        .get_or_init(|| {
            install_handler()?;
            Watchdog::start("lua-watchdog", ask_to_end)
                .map_err(|error| format!("cannot start the watchdog thread: {error}"))
        })
        .as_ref()
        .map(drop)
        .map_err(Clone::clone)
}

/// Hands the current thread's runner to `work`. `None` before [`start`], while a run goes on
/// in this thread already, and while the thread ends.
pub(crate) fn with_runner<T>(work: impl FnOnce(&Runner) -> T) -> Option<T> {
    RUNNER
        .try_with(|cell| {
            let mut runner = cell.try_borrow_mut().ok()?;
            if runner.is_none() {
                *runner = Some(Runner::register(WATCHDOG.get()?.as_ref().ok()?));
            }
            runner.as_ref().map(work)
        })
        .ok()
        .flatten()
}

/// Whether this thread's run has passed its limit: for long work in Rust, which no hook ends.
pub(crate) fn is_asked_to_end() -> bool {
    // SAFETY: as in `on_signal`; this is the thread that owns the target.
    let target = unsafe { TARGET.get().as_ref() };
    target.is_some_and(|target| target.asks.load(Ordering::Relaxed) > 0)
}

/// Checks that compiled Lua code can be interrupted at all.
pub(crate) fn self_test() -> Result<(), String> {
    let vm = new_lua(StdLib::JIT, false).map_err(|error| error.to_string())?;
    // Ends by itself, after a second or two, where it cannot be interrupted; the hook then
    // raises all the same, at the return.
    let load = vm.lua.load("for i = 1, 2e9 do end").into_function();
    let spin = load.map_err(|error| error.to_string())?;
    let outcome =
        with_runner(|runner| runner.run(&vm, Duration::from_millis(1), |_| spin.call::<()>(())));
    match outcome {
        Some((Err(_), Some(cut))) if cut.resisted < Duration::from_millis(100) => Ok(()),
        Some(_) => Err(
            "this LuaJIT cannot interrupt compiled code; build from the workspace root, or with \
             CFLAGS=-DLUAJIT_ENABLE_CHECKHOOK"
                .to_owned(),
        ),
        None => Err("the watchdog is not running".to_owned()),
    }
}

// === impl Runner ===

impl Runner {
    fn register(watchdog: &Watchdog) -> Self {
        static TAGS: AtomicU64 = AtomicU64::new(0);
        let tag = TAGS.fetch_add(1, Ordering::Relaxed);
        let target = Arc::new(Target {
            // SAFETY: has no preconditions.
            thread: unsafe { libc::pthread_self() },
            state: AtomicPtr::new(ptr::null_mut()),
            run: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            asks: AtomicU32::new(0),
            asked_at: AtomicU64::new(0),
        });
        TARGET.set(Arc::as_ptr(&target));
        targets().insert(tag, Arc::clone(&target));
        Self {
            slot: watchdog.slot(tag),
            target,
            tag,
        }
    }

    /// Does `work`, which runs code of `vm`, and cuts it when it takes longer than `limit`.
    /// The cut is told even if `work` came to its end all the same.
    pub(crate) fn run<T>(
        &self,
        vm: &InterruptibleLua,
        limit: Duration,
        work: impl FnOnce(&Lua) -> T,
    ) -> (T, Option<Cut>) {
        let run = self.slot.enter(limit);
        self.target.run.store(run, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        self.target.state.store(vm.state, Ordering::Relaxed);
        let entered = Entered { runner: self, vm };
        let value = work(&vm.lua);
        let cut = entered.leave();
        std::mem::forget(entered);
        (value, cut)
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        TARGET.set(ptr::null());
        targets().remove(&self.tag);
    }
}

/// Leaves the run also when `work` panics.
struct Entered<'a> {
    runner: &'a Runner,
    vm: &'a InterruptibleLua,
}

impl Entered<'_> {
    fn leave(&self) -> Option<Cut> {
        let target = &self.runner.target;
        target.state.store(ptr::null_mut(), Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        self.runner.slot.leave();
        // From here on the handler finds no state and leaves everything alone.
        if target.asks.swap(0, Ordering::Relaxed) == 0 {
            return None;
        }
        // SAFETY: the state belongs to `vm`, which lives, and this is the thread that ran it.
        unsafe { ffi::lua_sethook(self.vm.state, None, 0, 0) };
        let resisted = thread_time().saturating_sub(target.asked_at.load(Ordering::Relaxed));
        Some(Cut {
            place: PLACE.take(),
            resisted: Duration::from_nanos(resisted),
            cuts: CUTS.take(),
        })
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

// === the watchdog's side ===

fn targets() -> MutexGuard<'static, HashMap<u64, Arc<Target>>> {
    TARGETS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Called on the watchdog's thread for a run past its limit.
fn ask_to_end(overrun: &Overrun<'_>) {
    let targets = targets();
    let Some(target) = targets.get(&overrun.tag) else {
        return;
    };
    target.asked.store(overrun.run, Ordering::SeqCst);
    if overrun.is_current() {
        // SAFETY: the thread is alive: it takes itself out of `targets`, whose lock is held
        // here, before it ends. The signal has a handler since before the watchdog started.
        unsafe { libc::pthread_kill(target.thread, SIGNAL) };
    }
}

fn install_handler() -> Result<(), String> {
    let mut previous = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: all-zero is a valid `sigaction` (no flags, empty mask) and both pointers are to
    // live values. The handler does only what `on_signal` argues for.
    let previous = unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = on_signal as extern "C" fn(c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
        if libc::sigaction(SIGNAL, &action, previous.as_mut_ptr()) != 0 {
            let error = std::io::Error::last_os_error();
            return Err(format!("cannot install the handler of SIGURG: {error}"));
        }
        previous.assume_init()
    };
    match previous.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => Ok(()),
        _ => Err("SIGURG is in use by other code of this process".to_owned()),
    }
}

// === on the running thread ===

extern "C" fn on_signal(_signal: c_int) {
    let target = TARGET.get();
    // SAFETY: the pointer is set by this thread from an `Arc` that its `Runner` holds, and set
    // to null before that `Arc` is given up. All of the target is atomics.
    let Some(target) = (unsafe { target.as_ref() }) else {
        return;
    };
    let state = target.state.load(Ordering::Relaxed);
    if state.is_null() || target.asked.load(Ordering::SeqCst) != target.run.load(Ordering::Relaxed)
    {
        return;
    }
    if target.asks.fetch_add(1, Ordering::Relaxed) == 0 {
        target.asked_at.store(thread_time(), Ordering::Relaxed);
    }
    // SAFETY: this thread is running `state` (it is set only during a run), and LuaJIT allows
    // `lua_sethook` from a signal handler: it writes plain fields of the global state, aborts
    // a recording by a flag made for that, and rewrites the dispatch table, without
    // allocation or lock. Should the signal hit LuaJIT while it rewrites that table itself,
    // the hook can be lost; clearing it first makes the repeat, 50 ms later, rewrite it all.
    unsafe {
        ffi::lua_sethook(state, None, 0, 0);
        ffi::lua_sethook(state, Some(raise), ffi::LUA_MASKCOUNT, 1);
    }
}

/// The hook: LuaJIT calls it between two instructions of whatever coroutine runs.
///
/// Hooks rest while a hook runs, and the handler of an `xpcall` would run before this one is
/// left; and LuaJIT's compiler forgets that it was left when it calls a reader function.
/// The sandbox has an `xpcall` and a `load` of its own for these reasons.
unsafe extern "C-unwind" fn raise(state: *mut lua_State, _activation: *mut ffi::lua_Debug) {
    CUTS.set(CUTS.get().saturating_add(1));
    note_place(state);
    // SAFETY: called by LuaJIT with a valid state and room for some values; nothing in this
    // frame needs to be dropped when `lua_error` leaves it.
    unsafe {
        ffi::lua_pushstring(state, c"time limit".as_ptr());
        ffi::lua_error(state);
    }
}

/// Remembers the innermost function that is the plugin's, the first time in a run.
fn note_place(state: *mut lua_State) {
    PLACE.with_borrow_mut(|place| {
        if place.is_none() {
            *place = (0..16).find_map(|level| plugin_place(state, level));
        }
    });
}

fn plugin_place(state: *mut lua_State, level: c_int) -> Option<String> {
    let mut activation = MaybeUninit::<ffi::lua_Debug>::zeroed();
    // SAFETY: called from the hook, with its valid state. `lua_getstack` fills what
    // `lua_getinfo` needs or returns 0; "Sl" fills `short_src` and `currentline`, allocates
    // nothing and raises nothing. `short_src` ends with NUL.
    let (source, line) = unsafe {
        if ffi::lua_getstack(state, level, activation.as_mut_ptr()) == 0
            || ffi::lua_getinfo(state, c"Sl".as_ptr(), activation.as_mut_ptr()) == 0
        {
            return None;
        }
        let activation = activation.assume_init_ref();
        (
            CStr::from_ptr(activation.short_src.as_ptr()),
            activation.currentline,
        )
    };
    let source = source.to_string_lossy();
    // A chunk named `=x` is shown as `x`; functions in C have no line.
    let own = source == OWN_CHUNK[1..];
    (line > 0 && !own).then(|| format!("{source}:{line}"))
}

/// Processor time of the current thread in nanoseconds.
fn thread_time() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live value; the function may be called in signal handlers.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(20);

    fn cut_of(code: &str) -> Cut {
        start().unwrap();
        let libraries = StdLib::JIT | StdLib::TABLE | StdLib::STRING;
        let vm = new_lua(libraries, false).unwrap();
        let chunk = vm.lua().load(code).set_name("@plugin.lua");
        let function = chunk.into_function().unwrap();
        let (result, cut) =
            with_runner(|runner| runner.run(&vm, LIMIT, |_| function.call::<()>(()))).unwrap();
        assert!(result.unwrap_err().to_string().contains("time limit"));
        // The VM works on, and unhooked.
        let (sum, cut_again) = with_runner(|runner| {
            let code = "local sum = 0; for i = 1, 100 do sum = sum + i end; return sum";
            runner.run(&vm, LIMIT * 50, |lua| lua.load(code).eval::<i64>())
        })
        .unwrap();
        assert_eq!((sum.unwrap(), cut_again.is_none()), (5050, true));
        cut.unwrap()
    }

    #[test]
    fn this_build_can_interrupt_compiled_code() {
        start().unwrap();
        self_test().unwrap();
    }

    #[test]
    fn endless_loops_are_cut_wherever_they_hide() {
        for code in [
            "while true do end",
            "local function f() return f() end\nf()",
            "while true do pcall(function() while true do end end) end",
            "coroutine.wrap(function() while true do end end)()",
            "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
            "local t = {}; for i = 1, 100 do t[i] = i end\ntable.sort(t, function() while true do end end)",
            "string.gsub('a', 'a', function() while true do end end)",
            "while true do local t = {} for i = 1, 100 do t[i] = {i} end end",
        ] {
            let cut = cut_of(code);
            let place = cut.place.unwrap();
            assert!(place.starts_with("plugin.lua:"), "{place}");
            assert!(
                cut.resisted < Duration::from_millis(150),
                "{:?}",
                cut.resisted
            );
        }
    }

    /// Work that compiles, allocates, collects and changes coroutines all the time.
    const BUSY: &str = r#"
        local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
        local round = 0
        while true do
          round = round + 1
          local kept = {}
          for i = 1, 200 do kept[i] = { tostring(i * round), i % 3 == 0 and fib(8) or nil } end
          table.sort(kept, function(a, b) return a[1] < b[1] end)
          local text = kept[1][1]:rep(20):gsub("%d", function(d) return d + 1 end)
          local step = coroutine.wrap(function() for i = 1, 50 do coroutine.yield(i .. text) end end)
          for i = 1, 50 do step() end
          assert(load("return " .. round))()
          if round % 50 == 0 then collectgarbage() end
        end"#;

    #[test]
    fn a_cut_at_any_moment_leaves_the_vm_sound() {
        start().unwrap();
        let libraries = StdLib::JIT | StdLib::TABLE | StdLib::STRING;
        let vm = new_lua(libraries, false).unwrap();
        for round in 0..200 {
            let (result, cut) = with_runner(|runner| {
                let limit = Duration::from_millis(round % 7);
                runner.run(&vm, limit, |lua| lua.load(BUSY).exec())
            })
            .unwrap();
            let error = result.unwrap_err().to_string();
            assert!(cut.is_some() && error.contains("time limit"), "{error}");
        }
    }

    #[test]
    fn a_run_that_ends_in_time_is_not_cut() {
        start().unwrap();
        let vm = new_lua(StdLib::JIT, false).unwrap();
        let (value, cut) = with_runner(|runner| {
            runner.run(&vm, Duration::from_secs(5), |lua| {
                lua.load("return 7").eval::<i64>()
            })
        })
        .unwrap();
        assert_eq!(value.unwrap(), 7);
        assert!(cut.is_none());
    }

    #[test]
    fn a_thread_runs_one_thing_at_a_time() {
        start().unwrap();
        let inner = with_runner(|_| with_runner(|_| ()).is_none());
        assert_eq!(inner, Some(true));
    }
}
