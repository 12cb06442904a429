#![allow(unsafe_code, reason = "C ABI boundary")]
//! The C API: what a native module inside a plugin may call in the gateway's executable.
//!
//! A Cython module, `ctypes.CDLL(None)` or LuaJIT's `ffi.C` finds these functions by name
//! in the running process. The rules are the same for all of them:
//!
//! - Strings are NUL-terminated UTF-8. They are borrowed for the call and copied if kept.
//!   What is not UTF-8 is read with replacement characters; it is never an error.
//! - A NULL name or key makes the call do nothing. A NULL payload, value or message reads
//!   as an empty string.
//! - Any thread may call, with or without an interpreter's lock. No call waits longer than
//!   the gateway's storage time limit.
//! - Before the gateway has started its host, calls do nothing.
//! - A panic in the gateway stops at this border: the call then does nothing.
//!
//! `include/api.h` and `include/exports.txt` are generated from this file by
//! `cargo xtask codegen`.

mod guard;

use std::ffi::{c_char, c_int, c_void};
use std::sync::{Arc, OnceLock};

use crate::{Host, LogLevel};
use guard::{guarded, text, text_or_empty};

/// A block of bytes that belongs to whoever is documented to own it at the call.
#[repr(C)]
#[derive(Debug)]
pub struct CoProcessMessage {
    /// The first byte.
    pub p_data: *mut c_void,
    /// How many bytes there are.
    pub length: c_int,
}

// One host per process, because C symbols are one per process.
static HOST: OnceLock<Arc<dyn Host>> = OnceLock::new();

/// Makes `host` the one that answers the C API. The first call wins; returns whether it
/// was this one.
pub fn install_host(host: Arc<dyn Host>) -> bool {
    HOST.set(host).is_ok()
}

/// Fires the system event `event_name`; its handlers receive `payload` as their message.
///
/// # Safety
/// Both pointers must be NULL or point to a NUL-terminated string that stays unchanged
/// during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TykTriggerEvent(event_name: *mut c_char, payload: *mut c_char) {
    guarded((), || {
        // SAFETY: both pointers are NULL or NUL-terminated strings, by this function's contract.
        let (name, payload) = unsafe { (text(event_name), text_or_empty(payload)) };
        if let (Some(host), Some(name)) = (HOST.get(), name) {
            host.emit_event(&name, &payload);
        }
    });
}

/// Keeps `value` under `key` for `ttl` seconds; 0 means without end.
///
/// # Safety
/// Both pointers must be NULL or point to a NUL-terminated string that stays unchanged
/// during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TykStoreData(key: *mut c_char, value: *mut c_char, ttl: c_int) {
    guarded((), || {
        // SAFETY: both pointers are NULL or NUL-terminated strings, by this function's contract.
        let (key, value) = unsafe { (text(key), text_or_empty(value)) };
        if let (Some(host), Some(key)) = (HOST.get(), key)
            && let Err(error) = host.store_data(&key, value.as_bytes(), ttl.into())
        {
            host.log(
                LogLevel::Error,
                "api",
                &format!("cannot store `{key}`: {error}"),
            );
        }
    });
}

/// What was stored under `key`: a string that the caller releases with `free`. NULL when
/// there is nothing, or `key` is NULL. The string ends at the first NUL byte of the value.
///
/// # Safety
/// `key` must be NULL or point to a NUL-terminated string that stays unchanged during the
/// call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn TykGetData(key: *mut c_char) -> *mut c_char {
    guarded(std::ptr::null_mut(), || {
        // SAFETY: `key` is NULL or a NUL-terminated string, by this function's contract.
        let key = unsafe { text(key) };
        let (Some(host), Some(key)) = (HOST.get(), key) else {
            return std::ptr::null_mut();
        };
        match host.get_data(&key) {
            Ok(Some(value)) => guard::malloc_string(&value),
            Ok(None) => std::ptr::null_mut(),
            Err(error) => {
                host.log(
                    LogLevel::Error,
                    "api",
                    &format!("cannot read `{key}`: {error}"),
                );
                std::ptr::null_mut()
            }
        }
    })
}

/// Writes `msg` to the gateway's log. `level` is `debug`, `error` or `warning`; anything
/// else, NULL included, means `info`.
///
/// # Safety
/// Both pointers must be NULL or point to a NUL-terminated string that stays unchanged
/// during the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CoProcessLog(msg: *mut c_char, level: *mut c_char) {
    guarded((), || {
        // SAFETY: both pointers are NULL or NUL-terminated strings, by this function's contract.
        let (message, level) = unsafe { (text_or_empty(msg), text_or_empty(level)) };
        if let Some(host) = HOST.get() {
            host.log(LogLevel::from_name(&level), "api", &message);
        }
    });
}

/// Keeps the exported functions in every binary that links this crate: nothing in Rust
/// calls them, so the linker would be free to leave them out.
#[used]
static EXPORTED: (
    unsafe extern "C" fn(*mut c_char, *mut c_char),
    unsafe extern "C" fn(*mut c_char, *mut c_char, c_int),
    unsafe extern "C" fn(*mut c_char) -> *mut c_char,
    unsafe extern "C" fn(*mut c_char, *mut c_char),
) = (TykTriggerEvent, TykStoreData, TykGetData, CoProcessLog);

#[cfg(test)]
mod tests;
