//! Loaded plugin code: where it comes from, and the functions found in it.

use std::any::Any;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::{HookType, LoadError};

/// Where the code of a plugin lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginSource {
    /// What logs and errors call it: the bundle's name or the directory.
    pub name: String,
    /// The folder that holds the files. It exists.
    pub root: PathBuf,
    /// The files that make up the plugin, relative to `root`. For a bundle: the manifest's
    /// `file_list`, in its order. For a directory: its files in name order, sub-folders
    /// left out; a language takes those with an ending that it knows.
    pub files: Vec<PathBuf>,
    /// Which rules find the entry file.
    pub kind: SourceKind,
}

/// The two ways plugin code is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// A folder whose files are all loaded, shared by every API without a bundle.
    Directory,
    /// A bundle: code of its own for the APIs that name it.
    Bundle,
}

/// Where the hooks of an API run, where the operator does not leave that to the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// As the language finds best, for each call.
    Auto,
    /// On the caller's thread.
    Inline,
    /// On a thread of the language's own.
    Thread,
}

/// Plugin code that a language has loaded.
pub trait Plugin: Send + Sync + 'static {
    /// Finds the function that a hook entry names. Called at load time, so that a missing
    /// function is known before the first request.
    fn hook(&self, name: &str, hook_type: HookType) -> Result<Hook, LoadError>;

    /// Finds a function as [`hook`](Self::hook) does, for an API whose operator says where
    /// its hooks run. A language that has no such choice ignores it.
    fn placed_hook(
        &self,
        name: &str,
        hook_type: HookType,
        _placement: Placement,
    ) -> Result<Hook, LoadError> {
        self.hook(name, hook_type)
    }

    /// Finds the function that handles an event. A language without event handlers need not
    /// do anything.
    fn event_handler(&self, name: &str) -> Result<Hook, LoadError> {
        Err(LoadError::BadHook {
            name: name.to_owned(),
            reason: "the language has no event handlers".to_owned(),
        })
    }

    /// Whether it may not run any more, because of what it did. Such code is loaded anew by
    /// the next reload, also when its files are the same.
    fn is_disabled(&self) -> bool {
        false
    }

    /// Problems that did not stop the load, for instance one file of a shared folder that
    /// has a syntax error. An API that then misses its function is refused and shown these.
    fn problems(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A function found by [`Plugin::hook`]. Opaque to the gateway, which hands it back in
/// [`Object::hook`](crate::Object::hook); cheap to clone.
#[derive(Clone, Default)]
pub struct Hook(Option<Arc<dyn Any + Send + Sync>>);

impl Hook {
    /// Wraps what the language wants to find again at dispatch.
    pub fn new<T: Any + Send + Sync>(function: T) -> Self {
        Self(Some(Arc::new(function)))
    }

    /// A hook that is found by its name alone.
    pub fn by_name() -> Self {
        Self(None)
    }

    /// What the language wrapped, if it is of the type `T`.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.0.as_deref()?.downcast_ref()
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Hook(loaded)"
        } else {
            "Hook(by name)"
        })
    }
}

/// The plugin of a language that keeps its code elsewhere and finds functions by name.
#[derive(Debug, Clone, Copy)]
pub struct RemotePlugin;

impl Plugin for RemotePlugin {
    fn hook(&self, _name: &str, _hook_type: HookType) -> Result<Hook, LoadError> {
        Ok(Hook::by_name())
    }

    fn event_handler(&self, _name: &str) -> Result<Hook, LoadError> {
        Ok(Hook::by_name())
    }
}
