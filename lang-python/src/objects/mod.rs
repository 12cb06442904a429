//! What a hook sees in Python: message objects that behave as protobuf's do and are views
//! on the gateway's own values.
//!
//! A [`Message`](message::Message) owns one [`Record`](record::Record), a plain Rust value.
//! A scalar field is converted when it is read or written. A part that has parts of its own
//! (a map, a list, a message) is moved out of the record into a Python object when it is
//! first read, and moved back when the hook has ended. What the hook does not look at is
//! never converted. A message that a plugin kept is empty after the hook: using it raises.

pub(crate) mod classes;
pub(crate) mod convert;
pub(crate) mod field;
pub(crate) mod headers;
pub(crate) mod map;
pub(crate) mod message;
pub(crate) mod message_map;
pub(crate) mod record;
pub(crate) mod repeated;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod text;
pub(crate) mod wire;

use pyo3::PyErr;
use pyo3::exceptions::PyRuntimeError;

/// What using a part of a call that has ended raises.
pub(crate) fn gone() -> PyErr {
    PyRuntimeError::new_err("used after the hook that received it has ended")
}
