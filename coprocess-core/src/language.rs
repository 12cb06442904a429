//! The trait a language crate implements, and what it is given at start-up.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::{
    DispatchFuture, Event, Host, InitError, LoadError, Object, Plugin, PluginSource, RemotePlugin,
};

/// A language that runs plugins.
///
/// Three methods are required. [`init`](Self::init) is called once, before any other,
/// from the thread that loads the first API which needs the language. [`dispatch`](Self::dispatch) is called for each hook of each request,
/// on the data-plane thread that owns the request. [`trigger_event`](Self::trigger_event)
/// is called on a control-plane thread for each event that a plugin subscribed to.
///
/// The rest is provided and grows with the project. Most languages [`load`](Self::load) code;
/// one whose functions live elsewhere (in a server, say) has [`remote`](Self::remote) plugins.
pub trait CoProcessLanguage: Send + Sync + 'static {
    /// Brings the language up. Must return: a language that cannot run says why.
    fn init(&self, context: InitContext) -> Result<(), InitError>;

    /// Runs one hook and gives the object back with what the hook changed.
    ///
    /// A language may do the work in place and return [`DispatchFuture::ready`], or on
    /// threads of its own and return [`DispatchFuture::pending`]. It must honour
    /// [`Object::time_limit`]; the gateway answers the client at the limit in any case,
    /// but only the language can stop what is running. Dropping the future abandons the
    /// call: nobody waits for the answer any more.
    fn dispatch(&self, object: Object) -> DispatchFuture<'_>;

    /// Hands an event to the plugin function that asked for it. Never waits for it.
    fn trigger_event(&self, event: Event);

    /// The plugin of an API whose functions live elsewhere: in a server, say. A language that
    /// has such a plugin is asked for it in place of [`load`](Self::load), and no plugin
    /// folder need be there. `options` are those that the API has for this language, in
    /// `custom_middleware.driver_options`; a language that has no remote plugins has none.
    fn remote(&self, options: &Map<String, Value>) -> Option<Result<Arc<dyn Plugin>, LoadError>> {
        let _ = options;
        None
    }

    /// Reads the plugin code of one source. Called on a blocking thread at start-up and at
    /// every reload; the code is dropped when the last API (and the last request) that
    /// uses the returned value is gone.
    fn load(&self, source: &PluginSource) -> Result<Arc<dyn Plugin>, LoadError> {
        let _ = source;
        Ok(Arc::new(RemotePlugin))
    }

    /// Called once when the gateway ends, after the last request.
    fn shutdown(&self) {}
}

/// What a language is given at start-up.
#[derive(Clone)]
pub struct InitContext {
    /// What plugin code may ask of the gateway.
    pub host: Arc<dyn Host>,
    /// The `coprocess_options` of the configuration, as written. A language reads the keys
    /// that it declared in its registration and validates their values.
    pub options: Map<String, Value>,
    /// Where plugins live that are not in a bundle (`middleware_path/<driver>`).
    pub plugin_directory: PathBuf,
    /// How many data-plane threads will call `dispatch`.
    pub workers: usize,
}
