//! The contract between the gateway and the languages that run its plugins.
//!
//! A language crate implements [`CoProcessLanguage`] and says so with one line,
//! [`register_language!`]. The gateway collects what is linked into a
//! [`LanguageRegistry`], calls [`CoProcessLanguage::init`] once, asks it to
//! [`load`](CoProcessLanguage::load) the plugin code of each API, and then moves an
//! [`Object`] into [`CoProcessLanguage::dispatch`] for every hook of every request.
//!
//! What plugin code may ask of the gateway is the trait [`Host`]; the same four calls are
//! exported as a C API by [`ffi`].
//!
//! This crate has no async runtime and no HTTP stack below it: a language author compiles
//! a small tree. `http` and `bytes` are vocabulary types.

mod dispatch;
mod error;
mod event;
pub mod ffi;
mod headers;
mod host;
pub mod json;
mod language;
mod map;
mod object;
mod plugin;
mod registry;
mod request_id;
mod response;
mod session;
pub mod watchdog;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use dispatch::DispatchFuture;
pub use error::{DispatchError, HostError, InitError, LoadError, RegistryError};
pub use event::{Event, Ticket};
pub use headers::{canonical_name, is_canonical, is_gateways_own, set_first_value};
pub use host::{Host, LogLevel};
pub use language::{CoProcessLanguage, InitContext};
pub use map::OrderedMap;
pub use object::{
    HookType, Object, Request, ReturnOverrides, Spec, StringMap, all_values, first_values,
};
pub use plugin::{Hook, Placement, Plugin, PluginSource, RemotePlugin, SourceKind};
pub use registry::{LanguageRegistration, LanguageRegistry};
pub use request_id::RequestId;
pub use response::{Header, HeaderEdit, Response, ResponseHeaders};
pub use session::{
    AccessDefinition, AccessSpec, ApiLimit, BasicAuthData, EndpointLimit, JwtData, Monitor, Session,
};

/// What [`register_language!`] expands to needs; not part of the contract.
#[doc(hidden)]
pub mod private {
    pub use inventory;
}
