//! Lua values to JSON.

use std::ffi::c_int;
use std::io::Write;

use mlua::{Error, Lua, LuaString, Table, Value, ffi, lua_State};

use super::{EMPTY_ARRAY, KIND, Kind, address, scan};
use crate::budget;

/// How deep tables may nest when they are written. Bounds the C stack.
const MAX_DEPTH: usize = 200;

/// How JSON is written.
pub(super) struct Writing {
    empty_as_array: bool,
    escape_slash: bool,
    invalid_as_null: bool,
    /// Significant digits; without it, as many as tell a number from all others.
    precision: Option<c_int>,
    max_depth: usize,
    sparse_convert: bool,
    sparse_ratio: f64,
    sparse_safe: f64,
    /// What is still marked as a view has been filled.
    pub(super) views_are_filled: bool,
    /// Each table is looked at in full before it is written. Otherwise one whose first key is
    /// 1 is taken for an array for as long as its keys go on like that.
    looks_ahead: bool,
}

impl Default for Writing {
    fn default() -> Self {
        Self {
            empty_as_array: false,
            escape_slash: false,
            invalid_as_null: false,
            precision: None,
            max_depth: MAX_DEPTH,
            sparse_convert: false,
            sparse_ratio: 2.0,
            sparse_safe: 10.0,
            views_are_filled: false,
            looks_ahead: false,
        }
    }
}

impl Writing {
    pub(super) fn read(settings: &Table) -> mlua::Result<Self> {
        Ok(Self {
            empty_as_array: settings.raw_get("empty_as_array")?,
            escape_slash: settings.raw_get("escape_slash")?,
            invalid_as_null: settings.raw_get("invalid_as_null")?,
            precision: settings.raw_get("precision")?,
            max_depth: settings.raw_get("max_depth")?,
            sparse_convert: settings.raw_get("sparse_convert")?,
            sparse_ratio: settings.raw_get("sparse_ratio")?,
            sparse_safe: settings.raw_get("sparse_safe")?,
            views_are_filled: false,
            looks_ahead: false,
        })
    }
}

/// Writes JSON text; nothing when a view has to be filled first.
pub(super) fn encode(
    lua: &Lua,
    value: Value,
    writing: &Writing,
) -> mlua::Result<Option<LuaString>> {
    let mut text = Vec::new();
    let mut outcome = Ok(());
    let body = |state| outcome = write_all(state, &mut text, writing);
    // SAFETY: runs in a protected call with the value as the top of its stack. Nothing in
    // `write` raises: it asks for stack space without raising, and iterates by keys that
    // `lua_next` gave it.
    unsafe { lua.exec_raw::<()>(value, body)? };
    match outcome {
        Ok(()) => lua.create_string(&text).map(Some),
        Err(VIEW) => Ok(None),
        Err(problem) => Err(Error::RuntimeError(format!("cannot encode {problem}"))),
    }
}

/// Writes the value at the top of the stack, which stays there, below what a failure leaves.
/// Raises nothing.
pub(super) fn write_all(
    state: *mut lua_State,
    out: &mut Vec<u8>,
    writing: &Writing,
) -> Result<(), Problem> {
    out.clear();
    // SAFETY: has no preconditions but a valid state.
    let top = unsafe { ffi::lua_gettop(state) };
    match budget::lend(|| write(state, out, writing, 0)) {
        Err(ORDER) => {
            out.clear();
            // SAFETY: takes away what the attempt has left above the value.
            unsafe { ffi::lua_settop(state, top) };
            let writing = Writing {
                looks_ahead: true,
                ..*writing
            };
            budget::lend(|| write(state, out, &writing, 0))
        }
        outcome => outcome,
    }
}

/// Why a value has no JSON form.
pub(super) type Problem = &'static str;

/// The problem that is solved by filling what is shown empty.
pub(super) const VIEW: Problem = "a table that is not filled";

/// The problem that is solved by looking at all keys of a table first.
const ORDER: Problem = "a table whose keys are not what the first of them promised";

/// Writes the value at the top of the stack, which stays there.
fn write(
    state: *mut lua_State,
    out: &mut Vec<u8>,
    writing: &Writing,
    depth: usize,
) -> Result<(), Problem> {
    // One table can be in another many times, so what is written has no bound of its own.
    budget::spend(0)?;
    // SAFETY: there is a value at the top; each function is called for the type it is for.
    unsafe {
        match ffi::lua_type(state, -1) {
            ffi::LUA_TNIL => out.extend(b"null"),
            ffi::LUA_TLIGHTUSERDATA => match ffi::lua_touserdata(state, -1) {
                null if null.is_null() => out.extend(b"null"),
                empty if empty == address(&EMPTY_ARRAY) => out.extend(b"[]"),
                _ => return Err("a userdata"),
            },
            ffi::LUA_TBOOLEAN if ffi::lua_toboolean(state, -1) != 0 => out.extend(b"true"),
            ffi::LUA_TBOOLEAN => out.extend(b"false"),
            ffi::LUA_TNUMBER => write_number(out, writing, ffi::lua_tonumber(state, -1))?,
            ffi::LUA_TSTRING => write_text(out, writing, text_at(state, -1))?,
            ffi::LUA_TTABLE => write_table(state, out, writing, depth + 1)?,
            ffi::LUA_TFUNCTION => return Err("a function"),
            ffi::LUA_TTHREAD => return Err("a coroutine"),
            _ => return Err("a userdata"),
        }
    }
    Ok(())
}

fn write_table(
    state: *mut lua_State,
    out: &mut Vec<u8>,
    writing: &Writing,
    depth: usize,
) -> Result<(), Problem> {
    // SAFETY: asks for stack space without raising.
    if depth > writing.max_depth || unsafe { ffi::lua_checkstack(state, 6) } == 0 {
        return Err("tables nested this deep");
    }
    if !writing.looks_ahead && write_plain(state, out, writing, depth)? {
        return Ok(());
    }
    let kind = kind(state);
    if kind == Kind::View && !writing.views_are_filled {
        return Err(VIEW);
    }
    match shape(state, writing)? {
        Shape::Array(length) => write_array(state, out, writing, length, depth),
        Shape::Object if kind == Kind::Array => Err("a table with other keys as an array"),
        Shape::Empty
            if writing.empty_as_array || matches!(kind, Kind::Array | Kind::EmptyArray) =>
        {
            out.extend(b"[]");
            Ok(())
        }
        Shape::Empty | Shape::Object => write_object(state, out, writing, depth),
    }
}

/// Writes the table at the top, if it is of the kinds that nearly all tables are: without a
/// metatable, and with a first key that is 1 or a text. Says whether it has.
fn write_plain(
    state: *mut lua_State,
    out: &mut Vec<u8>,
    writing: &Writing,
    depth: usize,
) -> Result<bool, Problem> {
    // SAFETY: there is room for these values, see `write_table`. Each `lua_next` finds the key
    // that it gave before; each look-up is of a type that it is for.
    unsafe {
        if ffi::lua_getmetatable(state, -1) != 0 {
            ffi::lua_pop(state, 1);
            return Ok(false);
        }
        ffi::lua_pushnil(state);
        if ffi::lua_next(state, -2) == 0 {
            return Ok(false);
        }
        if ffi::lua_type(state, -2) == ffi::LUA_TSTRING {
            write_entries(state, out, writing, depth)?;
            return Ok(true);
        }
        let mut expected = 1.0;
        let mut before = b'[';
        loop {
            let is_next = ffi::lua_type(state, -2) == ffi::LUA_TNUMBER
                && ffi::lua_tonumber(state, -2) == expected;
            if !is_next {
                ffi::lua_pop(state, 2);
                // Nothing is written yet, or what is written has to go.
                return if expected == 1.0 {
                    Ok(false)
                } else {
                    Err(ORDER)
                };
            }
            out.push(before);
            before = b',';
            write(state, out, writing, depth)?;
            ffi::lua_pop(state, 1);
            if ffi::lua_next(state, -2) == 0 {
                break;
            }
            expected += 1.0;
        }
        out.push(b']');
    }
    Ok(true)
}

/// What the metatable of the table at the top says.
fn kind(state: *mut lua_State) -> Kind {
    // SAFETY: there is room for two values; the look-up is raw and by a key that needs no
    // memory, so nothing raises; what is pushed is taken away again.
    unsafe {
        if ffi::lua_getmetatable(state, -1) == 0 {
            return Kind::Plain;
        }
        ffi::lua_pushlightuserdata(state, address(&KIND));
        ffi::lua_rawget(state, -2);
        let number = ffi::lua_tonumber(state, -1);
        ffi::lua_pop(state, 2);
        let kinds = [Kind::View, Kind::Array, Kind::EmptyArray];
        let found = kinds
            .into_iter()
            .find(|kind| f64::from(*kind as u8) == number);
        found.unwrap_or(Kind::Plain)
    }
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

/// What becomes of a table.
enum Shape {
    Empty,
    /// Keys 1 to n, few of them missing.
    Array(c_int),
    Object,
}

/// The shape of the table at the top.
fn shape(state: *mut lua_State, writing: &Writing) -> Result<Shape, Problem> {
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
                return Ok(Shape::Object);
            }
            count += 1;
            most = most.max(key as i32);
        }
    }
    // The rule of lua-cjson against a list of a million nulls.
    let is_sparse = writing.sparse_ratio > 0.0
        && f64::from(most) > writing.sparse_safe
        && f64::from(most) > f64::from(count) * writing.sparse_ratio;
    match count {
        0 => Ok(Shape::Empty),
        _ if is_sparse && writing.sparse_convert => Ok(Shape::Object),
        _ if is_sparse => Err("an array with most of its items missing"),
        _ => Ok(Shape::Array(most)),
    }
}

fn write_array(
    state: *mut lua_State,
    out: &mut Vec<u8>,
    writing: &Writing,
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
        let outcome = write(state, out, writing, depth);
        // SAFETY: takes the item away again.
        unsafe { ffi::lua_pop(state, 1) };
        outcome?;
    }
    out.push(b']');
    Ok(())
}

fn write_object(
    state: *mut lua_State,
    out: &mut Vec<u8>,
    writing: &Writing,
    depth: usize,
) -> Result<(), Problem> {
    // SAFETY: as in `shape`.
    unsafe {
        ffi::lua_pushnil(state);
        if ffi::lua_next(state, -2) == 0 {
            out.extend(b"{}");
            return Ok(());
        }
    }
    write_entries(state, out, writing, depth)
}

/// Writes all entries of a table, the first of which has been found: it is the top of the
/// stack, and is taken away.
fn write_entries(
    state: *mut lua_State,
    out: &mut Vec<u8>,
    writing: &Writing,
    depth: usize,
) -> Result<(), Problem> {
    let mut before = b'{';
    loop {
        out.push(before);
        before = b',';
        // SAFETY: as in `shape`; keys are looked at by their type, so none is converted.
        unsafe {
            match ffi::lua_type(state, -2) {
                ffi::LUA_TSTRING => write_text(out, writing, text_at(state, -2))?,
                ffi::LUA_TNUMBER => {
                    out.push(b'"');
                    write_number(out, writing, ffi::lua_tonumber(state, -2))?;
                    out.push(b'"');
                }
                _ => return Err("a table with keys that are neither text nor numbers"),
            }
            out.push(b':');
            write(state, out, writing, depth)?;
            ffi::lua_pop(state, 1);
            if ffi::lua_next(state, -2) == 0 {
                break;
            }
        }
    }
    out.push(b'}');
    Ok(())
}

fn write_number(out: &mut Vec<u8>, writing: &Writing, number: f64) -> Result<(), Problem> {
    if !number.is_finite() {
        if writing.invalid_as_null {
            out.extend(b"null");
            return Ok(());
        }
        return Err("a number that is not finite");
    }
    const EXACT: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;
    // Whole numbers up to here are exact.
    let whole = number.fract() == 0.0 && number.abs() <= EXACT;
    let written = if let Some(digits) = writing.precision {
        // Rounded by way of text: what is left is the shortest form of the rounded number.
        let digits = usize::try_from(digits - 1).unwrap_or(0);
        let rounded = format!("{number:.digits$e}").parse().unwrap_or(number);
        return write_number(out, &Writing::default(), rounded);
    } else if whole && number == 0.0 && number.is_sign_negative() {
        write!(out, "-0")
    } else if whole {
        write_whole(out, number as i64);
        Ok(())
    } else {
        serde_json::to_writer(out, &number).map_err(std::io::Error::from)
    };
    written.map_err(|_| "a number")
}

fn write_whole(out: &mut Vec<u8>, number: i64) {
    let mut digits = [0; 20];
    let mut from = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        from -= 1;
        digits[from] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[from..]);
}

/// Bytes that are not UTF-8 stay as they are, as in lua-cjson.
fn write_text(out: &mut Vec<u8>, writing: &Writing, text: &[u8]) -> Result<(), Problem> {
    budget::spend(text.len())?;
    let mut at = scan::plain(text, writing.escape_slash);
    if at == text.len() {
        // In one go, as texts are short and many.
        out.reserve(at + 2);
        let length = out.len();
        // SAFETY: the bytes from `length` are reserved; all up to the new length are written.
        unsafe {
            let end = out.as_mut_ptr().add(length);
            end.write(b'"');
            end.add(1).copy_from_nonoverlapping(text.as_ptr(), at);
            end.add(1 + at).write(b'"');
            out.set_len(length + at + 2);
        }
        return Ok(());
    }
    out.push(b'"');
    let mut rest = text;
    loop {
        out.extend_from_slice(&rest[..at]);
        if at == rest.len() {
            break;
        }
        match rest[at] {
            b'"' => out.extend(b"\\\""),
            b'\\' => out.extend(b"\\\\"),
            b'/' => out.extend(b"\\/"),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            control => {
                budget::extend(5)?;
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend(b"\\u00");
                out.push(HEX[usize::from(control >> 4)]);
                out.push(HEX[usize::from(control & 15)]);
            }
        }
        rest = &rest[at + 1..];
        at = scan::plain(rest, writing.escape_slash);
    }
    out.push(b'"');
    Ok(())
}
