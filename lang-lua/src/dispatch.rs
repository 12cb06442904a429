//! Runs hooks in place, each plugin in a VM of its own per thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use coprocess_core::{DispatchError, Host, LogLevel, Object};

use crate::DRIVER;
use crate::options::Options;
use crate::plugin::{Code, DROPPED, LuaHook};
use crate::raw::current;
use crate::raw::interrupt::Cut;
use crate::vm::{Failure, Vm};

/// A plugin that goes on for this long after it was told to end, in processor time, and was
/// cut [`CUTS`] times meanwhile, cannot be ended. It is disabled until it is loaded again.
const RESISTANCE: Duration = Duration::from_millis(150);

/// Fewer cuts than this in that time are one long call of a function in C.
const CUTS: u32 = 3;

/// What a plugin's files may take at least, however short its hooks' time limit is: a VM that
/// cannot be made within one request is never made.
const LEAST_BUILD: Duration = Duration::from_millis(50);

/// How long a thread answers for a plugin whose files failed without running them again.
const RETRY: Duration = Duration::from_secs(2);

/// What all threads share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) host: Arc<dyn Host>,
}

/// The VMs of one thread.
struct Vms {
    entries: Vec<Entry>,
    failed: Vec<Failed>,
    /// The value of [`DROPPED`] when this thread last looked for VMs to drop.
    swept: u64,
}

struct Entry {
    id: u64,
    code: Weak<Code>,
    vm: Rc<Vm>,
}

/// A VM that could not be made.
struct Failed {
    id: u64,
    until: Instant,
    text: String,
}

thread_local! {
    static VMS: RefCell<Vms> = const {
        RefCell::new(Vms { entries: Vec::new(), failed: Vec::new(), swept: 0 })
    };
}

/// Runs the object's hook, which leaves in the object what it changed.
///
/// The object is lent: each move of it costs a tenth of a microsecond.
pub(crate) fn dispatch(shared: &Shared, object: &mut Object) -> Result<(), DispatchError> {
    let Some(hook) = object.hook.get::<LuaHook>() else {
        let text = format!("hook `{}` was not loaded by it", object.hook_name);
        return Err(DispatchError::Unavailable(text));
    };
    if hook.code.disabled.load(Ordering::Relaxed) {
        return Err(DispatchError::Disabled(disabled_text(&hook.code)));
    }
    let build_limit = object.time_limit.max(LEAST_BUILD);
    let vm = vm_for(shared, &hook.code, build_limit.min(shared.options.burst))?;
    let limit = object.time_limit.min(shared.options.burst);
    let (hook_type, index) = (object.hook_type, hook.index);
    let is_same_spec = vm.is_spec_of_last_call(&object.spec);
    let outcome = current::bind(object, || {
        vm.call_hook(hook_type, index, is_same_spec, limit)
    });
    if !is_same_spec || outcome.is_err() {
        vm.note_spec(outcome.is_ok().then(|| Arc::clone(&object.spec)));
    }
    outcome.map_err(|failure| match object.hook.get::<LuaHook>() {
        Some(hook) => dispatch_error(shared, &hook.code, failure, limit),
        None => raised("the hook was exchanged while it ran"),
    })
}

/// This thread's VM of a plugin; made at its first call here, within `limit`.
pub(crate) fn vm_for(
    shared: &Shared,
    code: &Arc<Code>,
    limit: Duration,
) -> Result<Rc<Vm>, DispatchError> {
    VMS.with_borrow_mut(|vms| {
        vms.sweep();
        // Also one that was cut and came to its end all the same.
        vms.entries
            .retain(|entry| entry.id != code.id || !entry.vm.is_worn());
        if let Some(entry) = vms.entries.iter().find(|entry| entry.id == code.id) {
            return Ok(Rc::clone(&entry.vm));
        }
        vms.check_failed(code)?;
        let vm = build(shared, code, limit).inspect_err(|error| {
            vms.failed.push(Failed {
                id: code.id,
                until: Instant::now() + RETRY,
                text: error.to_string(),
            });
        })?;
        let vm = Rc::new(vm);
        vms.entries.push(Entry {
            id: code.id,
            code: Arc::downgrade(code),
            vm: Rc::clone(&vm),
        });
        Ok(vm)
    })
}

fn build(shared: &Shared, code: &Arc<Code>, limit: Duration) -> Result<Vm, DispatchError> {
    let unavailable = |error: mlua::Error| {
        DispatchError::Unavailable(format!("cannot make a VM for `{}`: {error}", code.name))
    };
    let mut vm = Vm::new(&shared.options, &shared.host, &code.files).map_err(unavailable)?;
    vm.set_functions(&code.functions).map_err(unavailable)?;
    let began = Instant::now();
    // One limit for all of them: the thread has other requests.
    let left = || limit.saturating_sub(began.elapsed());
    let files = code.files.iter();
    files
        .map(|file| vm.run_file(file, left()))
        .chain(std::iter::once_with(|| vm.settle(left())))
        .collect::<Result<(), _>>()
        .map_err(|failure| dispatch_error(shared, code, failure, limit))?;
    Ok(vm)
}

/// The error for the gateway; what the failure means for the plugin and its VM is done too.
pub(crate) fn dispatch_error(
    shared: &Shared,
    code: &Code,
    failure: Failure,
    limit: Duration,
) -> DispatchError {
    match failure {
        Failure::Raised(message) => DispatchError::Raised { message },
        Failure::Memory(message) => {
            // What fills the memory may be held by the plugin's globals: start afresh.
            forget(code.id);
            DispatchError::Raised { message }
        }
        Failure::TimeLimit(cut) => {
            // Nothing that was to run after the cut has run, see `Vm::is_worn`.
            forget(code.id);
            time_limit(shared, code, cut, limit)
        }
        Failure::Busy => {
            DispatchError::Unavailable("a hook is running on this thread already".to_owned())
        }
    }
}

fn time_limit(shared: &Shared, code: &Code, cut: Cut, limit: Duration) -> DispatchError {
    if has_resisted(&cut) {
        code.disabled.store(true, Ordering::Relaxed);
        let text = disabled_text(code);
        let text = format!("plugin is disabled until reload: {text}");
        shared.host.log(LogLevel::Error, DRIVER, &text);
    }
    DispatchError::TimeLimit {
        limit,
        detail: cut
            .place
            .map_or_else(String::new, |place| format!("; at {place}")),
    }
}

fn has_resisted(cut: &Cut) -> bool {
    cut.resisted > RESISTANCE && cut.cuts >= CUTS
}

pub(crate) fn disabled_text(code: &Code) -> String {
    format!(
        "`{}` did not end when it was cut at its time limit",
        code.name
    )
}

fn forget(id: u64) {
    // While a VM is made the list is borrowed, and there is nothing to forget yet.
    VMS.with(|vms| {
        if let Ok(mut vms) = vms.try_borrow_mut() {
            vms.entries.retain(|entry| entry.id != id);
        }
    });
}

fn raised(text: &str) -> DispatchError {
    DispatchError::Raised {
        message: text.to_owned(),
    }
}

impl Vms {
    /// Drops the VMs of plugins that are gone; costs one load while none has gone.
    fn sweep(&mut self) {
        let dropped = DROPPED.load(Ordering::Relaxed);
        if self.swept != dropped {
            self.swept = dropped;
            self.entries.retain(|entry| entry.code.strong_count() > 0);
        }
    }

    fn check_failed(&mut self, code: &Code) -> Result<(), DispatchError> {
        if self.failed.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        self.failed.retain(|failed| failed.until > now);
        match self.failed.iter().find(|failed| failed.id == code.id) {
            Some(failed) => Err(DispatchError::Unavailable(format!(
                "`{}` failed to start a moment ago: {}",
                code.name, failed.text
            ))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coprocess_core::{HookType, HostError, Plugin, PluginSource, SourceKind};

    /// Its `get_data` takes as many milliseconds as this says.
    #[derive(Default)]
    struct Quiet(std::sync::atomic::AtomicU64);

    impl Host for Quiet {
        fn log(&self, _level: LogLevel, _source: &str, _message: &str) {}
        fn emit_event(&self, _name: &str, _payload: &str) {}
        fn store_data(&self, _key: &str, _value: &[u8], _ttl: i64) -> Result<(), HostError> {
            Ok(())
        }
        fn get_data(&self, _key: &str) -> Result<Option<bytes::Bytes>, HostError> {
            std::thread::sleep(Duration::from_millis(self.0.load(Ordering::SeqCst)));
            Ok(None)
        }
    }

    fn shared(host: &Arc<Quiet>) -> Shared {
        crate::raw::interrupt::start().unwrap();
        Shared {
            options: Options::default(),
            host: Arc::<Quiet>::clone(host),
        }
    }

    /// Loads a plugin as often as it is called.
    fn loader(shared: &Shared, name: &str, files: &[(&str, &str)]) -> impl Fn() -> Arc<dyn Plugin> {
        let root = std::env::temp_dir().join(format!("lang-lua-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&root).unwrap();
        for (file, code) in files {
            std::fs::write(root.join(file), code).unwrap();
        }
        let source = PluginSource {
            name: "plugin".to_owned(),
            root,
            files: files.iter().map(|(file, _)| file.into()).collect(),
            kind: SourceKind::Directory,
        };
        move || crate::plugin::load(&source, &shared.options, &shared.host).unwrap()
    }

    #[test]
    fn all_files_of_a_vm_share_one_limit_and_a_failure_is_not_repeated() {
        let host = Arc::new(Quiet::default());
        let shared = shared(&host);
        let slow = "tyk.get_data('k') for i = 1, 100 do end function hook() end";
        let files = [("a.lua", slow), ("b.lua", slow), ("c.lua", slow)];
        let plugin = loader(&shared, "builds", &files)();
        let hook = plugin.hook("hook", HookType::Pre).unwrap();
        let code = &hook.get::<LuaHook>().unwrap().code;
        // Each of them would be in time.
        host.0.store(80, Ordering::SeqCst);
        let limit = Duration::from_millis(150);
        let error = vm_for(&shared, code, limit).map(drop).unwrap_err();
        assert!(matches!(error, DispatchError::TimeLimit { .. }), "{error}");
        host.0.store(0, Ordering::SeqCst);
        let limit = Duration::from_secs(5);
        let error = vm_for(&shared, code, limit)
            .map(drop)
            .unwrap_err()
            .to_string();
        assert!(error.contains("failed to start a moment ago"), "{error}");
        VMS.with_borrow_mut(|vms| vms.failed[0].until = Instant::now());
        vm_for(&shared, code, limit).map(drop).unwrap();
    }

    #[test]
    fn only_what_goes_on_after_several_cuts_has_resisted() {
        let cut = |milliseconds, cuts| Cut {
            place: None,
            resisted: Duration::from_millis(milliseconds),
            cuts,
        };
        assert!(has_resisted(&cut(200, 3)));
        assert!(!has_resisted(&cut(200, 2)));
        assert!(!has_resisted(&cut(100, 1000)));
    }

    #[test]
    fn a_vm_goes_when_its_plugin_is_gone() {
        let host = Arc::new(Quiet::default());
        let shared = shared(&host);
        let load = loader(&shared, "vms", &[("plugin.lua", "function hook() end")]);
        let limit = Duration::from_secs(5);
        for _ in 0..20 {
            let plugin = load();
            let hook = plugin.hook("hook", HookType::Pre).unwrap();
            let code = &hook.get::<LuaHook>().unwrap().code;
            let vm = vm_for(&shared, code, limit).unwrap();
            assert!(Rc::ptr_eq(&vm, &vm_for(&shared, code, limit).unwrap()));
            // The one in use, and none of those before it.
            assert_eq!(VMS.with_borrow(|vms| vms.entries.len()), 1);
        }
    }
}
