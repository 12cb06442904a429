//! JSON to Lua values and back, each in one protected call; what `require("cjson")` gives.
//!
//! As in lua-cjson: `null` is a light userdata, tables whose keys are 1 to n are arrays, an
//! empty table is an object, and a nested value that has no JSON form is an error.

use std::ffi::c_int;
use std::io::{BufReader, Read, Write};

use mlua::{Error, Lua, LuaString, Value, ffi, lua_State};

use super::interrupt::is_asked_to_end;
use crate::budget;

/// How deep tables may nest when they are written. Bounds the C stack; reading has the limit
/// of its parser, 128.
const MAX_DEPTH: usize = 200;

/// Texts up to here are read without looking at time and memory: it takes under a millisecond
/// and a megabyte or two.
const SHORT: usize = 16 << 10;

/// Reads JSON text.
pub(crate) fn decode(lua: &Lua, text: &[u8]) -> mlua::Result<Value> {
    let json: serde_json::Value = if text.len() <= SHORT {
        serde_json::from_slice(text)
    } else {
        // What is made here goes again, or is in the VM and counted there.
        budget::lend(|| serde_json::from_reader(BufReader::new(Watched::new(text))))
    }
    .map_err(|error| Error::RuntimeError(format!("not JSON: {error}")))?;
    let body = |state| push(state, &json);
    // SAFETY: runs in a protected call, leaves one value, and no frame of `push` has anything
    // to drop when a memory error or the end of the time leaves it.
    unsafe { lua.exec_raw((), body) }
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

/// Writes JSON text.
pub(crate) fn encode(lua: &Lua, value: Value) -> mlua::Result<LuaString> {
    let mut text = Vec::new();
    let mut outcome = Ok(());
    let body = |state| outcome = budget::lend(|| write(state, &mut text, 0));
    // SAFETY: runs in a protected call with the value as the top of its stack. Nothing in
    // `write` raises: it asks for stack space without raising, and iterates by keys that
    // `lua_next` gave it.
    unsafe { lua.exec_raw::<()>(value, body)? };
    outcome.map_err(|problem| Error::RuntimeError(format!("cannot encode {problem}")))?;
    lua.create_string(&text)
}

fn push(state: *mut lua_State, json: &serde_json::Value) {
    // SAFETY: the first call makes room for all that this level holds at once, or raises; each
    // assignment finds table, key and value where it looks for them.
    unsafe {
        ffi::luaL_checkstack(state, 4, std::ptr::null());
        check_time(state);
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
                    push(state, item);
                    ffi::lua_rawseti(state, -2, index);
                }
            }
            serde_json::Value::Object(entries) => {
                ffi::lua_createtable(state, 0, c_int::try_from(entries.len()).unwrap_or(0));
                for (key, value) in entries {
                    push_text(state, key);
                    push(state, value);
                    ffi::lua_rawset(state, -3);
                }
            }
        }
    }
}

/// Ends a long assembly when the run is to end.
fn check_time(state: *mut lua_State) {
    if is_asked_to_end() {
        // SAFETY: raises in the protected call of `decode`; room is there, see `push`.
        unsafe {
            ffi::lua_pushstring(state, c"time limit".as_ptr());
            ffi::lua_error(state);
        }
    }
}

fn push_text(state: *mut lua_State, text: &str) {
    // SAFETY: Lua copies the bytes; the caller has made room.
    unsafe { ffi::lua_pushlstring(state, text.as_ptr().cast(), text.len()) };
}

/// Why a value has no JSON form.
type Problem = &'static str;

/// Writes the value at the top of the stack, which stays there.
fn write(state: *mut lua_State, out: &mut Vec<u8>, depth: usize) -> Result<(), Problem> {
    // One table can be in another many times, so what is written has no bound of its own.
    budget::spend(0)?;
    // SAFETY: there is a value at the top; each function is called for the type it is for.
    unsafe {
        match ffi::lua_type(state, -1) {
            ffi::LUA_TNIL => out.extend(b"null"),
            ffi::LUA_TLIGHTUSERDATA if ffi::lua_touserdata(state, -1).is_null() => {
                out.extend(b"null");
            }
            ffi::LUA_TBOOLEAN if ffi::lua_toboolean(state, -1) != 0 => out.extend(b"true"),
            ffi::LUA_TBOOLEAN => out.extend(b"false"),
            ffi::LUA_TNUMBER => write_number(out, ffi::lua_tonumber(state, -1))?,
            ffi::LUA_TSTRING => write_text(out, text_at(state, -1))?,
            ffi::LUA_TTABLE if depth == MAX_DEPTH => return Err("tables nested this deep"),
            ffi::LUA_TTABLE => {
                if ffi::lua_checkstack(state, 4) == 0 {
                    return Err("tables nested this deep");
                }
                match array_length(state)? {
                    Some(length) => write_array(state, out, length, depth + 1)?,
                    None => write_object(state, out, depth + 1)?,
                }
            }
            ffi::LUA_TFUNCTION => return Err("a function"),
            ffi::LUA_TTHREAD => return Err("a coroutine"),
            _ => return Err("a userdata"),
        }
    }
    Ok(())
}

/// The bytes of the string at `index`, which must be one: a number would be turned into one.
///
/// The caller keeps the string on the stack, and with it alive, while it uses the bytes.
fn text_at<'a>(state: *mut lua_State, index: c_int) -> &'a [u8] {
    let mut length = 0;
    // SAFETY: `lua_tolstring` of a string allocates nothing and gives its bytes, never null.
    unsafe {
        let bytes = ffi::lua_tolstring(state, index, &mut length);
        std::slice::from_raw_parts(bytes.cast(), length)
    }
}

/// The length of the table at the top if it is an array: keys 1 to n, few of them missing.
fn array_length(state: *mut lua_State) -> Result<Option<c_int>, Problem> {
    let (mut count, mut most) = (0_i32, 0_i32);
    // SAFETY: the table is at the top and there is room for key and value; each `lua_next`
    // finds the key it gave before.
    unsafe {
        ffi::lua_pushnil(state);
        while ffi::lua_next(state, -2) != 0 {
            ffi::lua_pop(state, 1);
            let key = if ffi::lua_type(state, -1) == ffi::LUA_TNUMBER {
                ffi::lua_tonumber(state, -1)
            } else {
                0.0
            };
            if key < 1.0 || key.fract() != 0.0 || key > f64::from(i32::MAX - 1) {
                ffi::lua_pop(state, 1);
                return Ok(None);
            }
            count += 1;
            most = most.max(key as i32);
        }
    }
    // The rule of lua-cjson against a list of a million nulls.
    if most > 10 && most / 2 > count {
        return Err("an array with most of its items missing");
    }
    Ok((count > 0).then_some(most))
}

fn write_array(
    state: *mut lua_State,
    out: &mut Vec<u8>,
    length: c_int,
    depth: usize,
) -> Result<(), Problem> {
    out.push(b'[');
    for index in 1..=length {
        if index > 1 {
            out.push(b',');
        }
        // SAFETY: the table is at the top, with room for one item.
        unsafe { ffi::lua_rawgeti(state, -1, index as _) };
        let outcome = write(state, out, depth);
        // SAFETY: takes the item away again.
        unsafe { ffi::lua_pop(state, 1) };
        outcome?;
    }
    out.push(b']');
    Ok(())
}

fn write_object(state: *mut lua_State, out: &mut Vec<u8>, depth: usize) -> Result<(), Problem> {
    out.push(b'{');
    let mut first = true;
    // SAFETY: as in `array_length`; keys are looked at by their type, so none is converted.
    unsafe {
        ffi::lua_pushnil(state);
        while ffi::lua_next(state, -2) != 0 {
            if !first {
                out.push(b',');
            }
            first = false;
            match ffi::lua_type(state, -2) {
                ffi::LUA_TSTRING => write_text(out, text_at(state, -2))?,
                ffi::LUA_TNUMBER => {
                    out.push(b'"');
                    write_number(out, ffi::lua_tonumber(state, -2))?;
                    out.push(b'"');
                }
                _ => return Err("a table with keys that are neither text nor numbers"),
            }
            out.push(b':');
            write(state, out, depth)?;
            ffi::lua_pop(state, 1);
        }
    }
    out.push(b'}');
    Ok(())
}

fn write_number(out: &mut Vec<u8>, number: f64) -> Result<(), Problem> {
    if !number.is_finite() {
        return Err("a number that is not finite");
    }
    // Whole numbers up to here are exact.
    let whole = number.fract() == 0.0 && number.abs() < 1e15;
    let written = if whole {
        write!(out, "{}", number as i64)
    } else {
        serde_json::to_writer(out, &number).map_err(std::io::Error::from)
    };
    written.map_err(|_| "a number")
}

/// Bytes that are not UTF-8 stay as they are, as in lua-cjson.
fn write_text(out: &mut Vec<u8>, text: &[u8]) -> Result<(), Problem> {
    let controls = text.iter().filter(|&&byte| byte < 0x20).count();
    budget::spend(text.len() + 5 * controls)?;
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = rest
        .iter()
        .position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\')
    {
        out.extend(&rest[..at]);
        match rest[at] {
            b'"' => out.extend(b"\\\""),
            b'\\' => out.extend(b"\\\\"),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            control => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend(b"\\u00");
                out.push(HEX[usize::from(control >> 4)]);
                out.push(HEX[usize::from(control & 15)]);
            }
        }
        rest = &rest[at + 1..];
    }
    out.extend(rest);
    out.push(b'"');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_the_way_through_lua() {
        let lua = Lua::new();
        for text in [
            r#"{"a":[1,2.5,-3,1e+300,true,false,null,"x",{}]}"#,
            r#"[[[["deep"]]],{"k":{"k":[0]}}]"#,
            r#""quote \" back \\ line \n tab \t é \u0001""#,
            "123456789012",
            "null",
        ] {
            let value = decode(&lua, text.as_bytes()).unwrap();
            assert_eq!(encode(&lua, value).unwrap().to_str().unwrap(), text);
        }
    }

    #[test]
    fn tables_become_arrays_or_objects() {
        let lua = Lua::new();
        for (code, expected) in [
            ("{}", "{}"),
            ("{ 1, nil, 3 }", "[1,null,3]"),
            ("{ [2] = 'b' }", r#"[null,"b"]"#),
            ("{ [1.5] = 1 }", r#"{"1.5":1}"#),
            ("{ [0] = 1 }", r#"{"0":1}"#),
            ("'\\255'", "\"\u{fffd}\""),
        ] {
            let value: Value = lua.load(format!("return {code}")).eval().unwrap();
            let text = encode(&lua, value).unwrap();
            assert_eq!(text.to_string_lossy(), expected, "{code}");
        }
    }

    #[test]
    fn what_has_no_json_form_is_an_error() {
        let lua = Lua::new();
        for (code, expected) in [
            ("print", "cannot encode a function"),
            ("{ { print } }", "cannot encode a function"),
            ("0 / 0", "cannot encode a number that is not finite"),
            (
                "{ [1000] = 1 }",
                "cannot encode an array with most of its items missing",
            ),
            (
                "{ [true] = 1 }",
                "cannot encode a table with keys that are neither",
            ),
            (
                "(function() local t = {} t.t = t return t end)()",
                "cannot encode tables nested",
            ),
        ] {
            let value: Value = lua.load(format!("return {code}")).eval().unwrap();
            let error = encode(&lua, value).unwrap_err().to_string();
            assert!(error.contains(expected), "{code}: {error}");
        }
        let error = decode(&lua, b"{\"a\":}").unwrap_err().to_string();
        assert!(
            error.contains("not JSON: expected value at line 1 column 6"),
            "{error}"
        );
        assert!(decode(&lua, "[".repeat(5000).as_bytes()).is_err());
    }
}
