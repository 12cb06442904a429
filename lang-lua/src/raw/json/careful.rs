//! JSON to Lua values, by way of a tree: for what [`read`](super::read) leaves, which is
//! mostly text with an error in it that has to be told.

use std::ffi::c_int;
use std::io::{BufReader, Read};

use mlua::{Error, Lua, Table, Value, ffi, lua_State};

use super::super::interrupt::is_asked_to_end;
use crate::budget;

/// Texts up to here are read without looking at time and memory: it takes under a millisecond
/// and a megabyte or two.
const SHORT: usize = 16 << 10;

/// How JSON is read.
struct Reading {
    max_depth: usize,
    /// Whether arrays get the metatable that is the first value of the stack.
    marks_arrays: bool,
}

/// Reads JSON text.
pub(super) fn decode(lua: &Lua, text: &[u8], settings: Option<&Table>) -> mlua::Result<Value> {
    let mark: Option<Table> = match settings {
        Some(settings) => settings.raw_get("array_mt")?,
        None => None,
    };
    let reading = Reading {
        max_depth: match settings {
            Some(settings) => settings.raw_get("max_depth")?,
            None => usize::MAX,
        },
        marks_arrays: mark.is_some(),
    };
    let json: serde_json::Value = if text.len() <= SHORT {
        serde_json::from_slice(text)
    } else {
        // What is made here goes again, or is in the VM and counted there.
        budget::lend(|| serde_json::from_reader(BufReader::new(Watched::new(text))))
    }
    .map_err(|error| Error::RuntimeError(format!("not JSON: {error}")))?;
    let body = |state| {
        push(state, &json, &reading, 0);
        // SAFETY: the value takes the place of the metatable, so that one value is left.
        unsafe { ffi::lua_replace(state, 1) };
    };
    // SAFETY: runs in a protected call, leaves one value, and no frame of `push` has anything
    // to drop when a memory error or the end of the time leaves it.
    unsafe { lua.exec_raw(mark, body) }
}

/// A text that ends with an error when time or memory for what it becomes is used up.
struct Watched<'a> {
    rest: &'a [u8],
    in_string: bool,
    escaped: bool,
}

impl<'a> Watched<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self {
            rest: text,
            in_string: false,
            escaped: false,
        }
    }

    /// About what the parser allocates at this byte.
    fn cost(&mut self, byte: u8) -> usize {
        if self.in_string {
            let escaped = std::mem::take(&mut self.escaped);
            match byte {
                b'\\' => self.escaped = !escaped,
                b'"' => self.in_string = escaped,
                _ => {}
            }
            return 1;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                1
            }
            b',' => 64,
            b':' => 32,
            b'[' => 128,
            b'{' => 320,
            _ => 1,
        }
    }
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = buffer.len().min(self.rest.len());
        let (piece, rest) = self.rest.split_at(length);
        let cost = piece.iter().map(|&byte| self.cost(byte)).sum();
        budget::spend(cost).map_err(std::io::Error::other)?;
        buffer[..length].copy_from_slice(piece);
        self.rest = rest;
        Ok(length)
    }
}

fn push(state: *mut lua_State, json: &serde_json::Value, reading: &Reading, depth: usize) {
    // SAFETY: the first call makes room for all that this level holds at once, or raises; each
    // assignment finds table, key and value where it looks for them.
    unsafe {
        ffi::luaL_checkstack(state, 4, std::ptr::null());
        check(state, depth <= reading.max_depth);
        match json {
            serde_json::Value::Null => ffi::lua_pushlightuserdata(state, std::ptr::null_mut()),
            serde_json::Value::Bool(flag) => ffi::lua_pushboolean(state, c_int::from(*flag)),
            serde_json::Value::Number(number) => {
                ffi::lua_pushnumber(state, number.as_f64().unwrap_or(f64::NAN));
            }
            serde_json::Value::String(text) => push_text(state, text),
            serde_json::Value::Array(items) => {
                ffi::lua_createtable(state, c_int::try_from(items.len()).unwrap_or(0), 0);
                for (item, index) in items.iter().zip(1..) {
                    push(state, item, reading, depth + 1);
                    ffi::lua_rawseti(state, -2, index);
                }
                if reading.marks_arrays {
                    ffi::lua_pushvalue(state, 1);
                    ffi::lua_setmetatable(state, -2);
                }
            }
            serde_json::Value::Object(entries) => {
                ffi::lua_createtable(state, 0, c_int::try_from(entries.len()).unwrap_or(0));
                for (key, value) in entries {
                    push_text(state, key);
                    push(state, value, reading, depth + 1);
                    ffi::lua_rawset(state, -3);
                }
            }
        }
    }
}

/// Ends a long assembly when the run is to end, and one that is deeper than it may be.
fn check(state: *mut lua_State, is_shallow: bool) {
    let problem = if is_asked_to_end() {
        c"time limit"
    } else if is_shallow {
        return;
    } else {
        c"not JSON that may be read: nested deeper than decode_max_depth"
    };
    // SAFETY: raises in the protected call of `decode`; room is there, see `push`.
    unsafe {
        ffi::lua_pushstring(state, problem.as_ptr());
        ffi::lua_error(state);
    }
}

fn push_text(state: *mut lua_State, text: &str) {
    // SAFETY: Lua copies the bytes; the caller has made room.
    unsafe { ffi::lua_pushlstring(state, text.as_ptr().cast(), text.len()) };
}
