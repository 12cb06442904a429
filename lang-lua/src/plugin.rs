//! Loaded plugins: code that was found to compile, and the functions in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use coprocess_core::{Hook, HookType, Host, LoadError, Plugin, PluginSource, SourceKind};

use crate::options::Options;
use crate::source::{self, SourceFile};
use crate::vm::{Failure, Vm};

/// How long the files of a plugin may take to run when it is loaded.
const LOAD_LIMIT: Duration = Duration::from_secs(5);

/// Counts the plugins that are gone, so that threads know when to look for VMs to drop.
pub(crate) static DROPPED: AtomicU64 = AtomicU64::new(0);

/// The code of one load of one plugin.
pub(crate) struct Code {
    /// Unique in the process.
    pub(crate) id: u64,
    /// What logs call it.
    pub(crate) name: String,
    /// The files that loaded, in order.
    pub(crate) files: Arc<[SourceFile]>,
    /// The global functions that they define, in name order.
    pub(crate) functions: Vec<String>,
    /// Set when the plugin could not be ended in time.
    pub(crate) disabled: AtomicBool,
    problems: Vec<String>,
}

/// A plugin as the gateway holds it.
pub(crate) struct LuaPlugin(Arc<Code>);

/// A function of a plugin.
pub(crate) struct LuaHook {
    pub(crate) code: Arc<Code>,
    /// Its place in [`Code::functions`].
    pub(crate) index: usize,
}

/// Reads, compiles and runs the files once, in a VM that is thrown away.
///
/// In a directory a file that fails is a problem and the others go on; a bundle stands or
/// falls as a whole.
pub(crate) fn load(
    source: &PluginSource,
    options: &Options,
    host: &Arc<dyn Host>,
) -> Result<Arc<dyn Plugin>, LoadError> {
    let mut files = Vec::new();
    let mut problems = Problems {
        kind: source.kind,
        found: Vec::new(),
    };
    for file in source::read(source) {
        match file {
            Ok(file) => files.push(file),
            Err(error) => problems.add(error)?,
        }
    }
    let files: Arc<[SourceFile]> = files.into();
    let start = |error: mlua::Error| LoadError::Other(format!("cannot make a VM: {error}"));
    let vm = Vm::new(options, host, &files).map_err(start)?;
    let mut failed = Vec::new();
    for file in &*files {
        if let Err(failure) = vm.run_file(file, LOAD_LIMIT) {
            problems.add(code_error(file, failure))?;
            failed.push(file.name.clone());
        }
    }
    static IDS: AtomicU64 = AtomicU64::new(1);
    let code = Code {
        id: IDS.fetch_add(1, Ordering::Relaxed),
        name: source.name.clone(),
        functions: vm.plugin_functions().map_err(start)?,
        files: without(files, &failed),
        disabled: AtomicBool::new(false),
        problems: problems.found,
    };
    Ok(Arc::new(LuaPlugin(Arc::new(code))))
}

/// Files that failed once are not run again in the VMs that serve requests.
fn without(files: Arc<[SourceFile]>, failed: &[String]) -> Arc<[SourceFile]> {
    if failed.is_empty() {
        return files;
    }
    let good = files.iter().filter(|file| !failed.contains(&file.name));
    good.map(|file| SourceFile {
        name: file.name.clone(),
        module: file.module.clone(),
        text: file.text.clone(),
    })
    .collect()
}

fn code_error(file: &SourceFile, failure: Failure) -> LoadError {
    let message = match failure {
        Failure::Raised(text) | Failure::Memory(text) => text,
        Failure::TimeLimit(cut) => {
            let place = cut
                .place
                .map_or(String::new(), |place| format!("; at {place}"));
            format!("did not load within {LOAD_LIMIT:?}{place}")
        }
        Failure::Busy => "cannot load from within a hook".to_owned(),
    };
    LoadError::Code {
        file: file.name.clone(),
        message,
    }
}

struct Problems {
    kind: SourceKind,
    found: Vec<String>,
}

impl Problems {
    fn add(&mut self, error: LoadError) -> Result<(), LoadError> {
        match self.kind {
            SourceKind::Directory => self.found.push(error.to_string()),
            SourceKind::Bundle => return Err(error),
        }
        Ok(())
    }
}

// === impl Plugin ===

impl Plugin for LuaPlugin {
    fn hook(&self, name: &str, _hook_type: HookType) -> Result<Hook, LoadError> {
        self.function(name)
    }

    fn event_handler(&self, name: &str) -> Result<Hook, LoadError> {
        self.function(name)
    }

    fn problems(&self) -> Vec<String> {
        self.0.problems.clone()
    }

    fn is_disabled(&self) -> bool {
        self.0.disabled.load(Ordering::Relaxed)
    }
}

impl LuaPlugin {
    fn function(&self, name: &str) -> Result<Hook, LoadError> {
        let found = self
            .0
            .functions
            .binary_search_by(|function| function.as_str().cmp(name));
        match found {
            Ok(index) => Ok(Hook::new(LuaHook {
                code: Arc::clone(&self.0),
                index,
            })),
            Err(_) => Err(LoadError::UnknownHook {
                name: name.to_owned(),
                known: self.0.functions.clone(),
            }),
        }
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}
