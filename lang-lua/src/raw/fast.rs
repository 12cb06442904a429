//! The functions that nearly every call of a hook uses, on Lua's own API.
//!
//! Each stands before the safe function of the same name: it does what is usual, and hands
//! everything else on, errors included. So there is one place that says how things fail.
//!
//! Lua's functions may raise, which leaves a frame without running destructors. So each
//! function here has two parts: one that has things to drop and calls nothing that raises,
//! and the one that LuaJIT calls, which has none.

use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

use coprocess_core::{Object, Response, ReturnOverrides};
use http::HeaderMap;
use mlua::{Function, Lua, Table, ffi, lua_State};

use super::{current, tables};
use crate::budget;
use crate::natives::{edit_headers, known_name, put_map, replace_body};

/// Puts the functions before those of the same names.
pub(crate) fn add_to(lua: &Lua, natives: &Table) -> mlua::Result<()> {
    let functions: [(&str, ffi::lua_CFunction); 21] = [
        ("get_header", get_header),
        ("response_header", response_header),
        ("url", url),
        ("request_uri", request_uri),
        ("method", method),
        ("scheme", scheme),
        ("body", body),
        ("raw_body", raw_body),
        ("return_overrides", return_overrides),
        ("metadata_value", metadata_value),
        ("spec_value", spec_value),
        ("status_code", status_code),
        ("response_body", response_body),
        ("response_raw_body", response_raw_body),
        ("set_header", set_header),
        ("put_return_overrides", put_return_overrides),
        ("put_raw_body", put_raw_body),
        ("put_set_headers", put_set_headers),
        ("put_metadata", put_metadata),
        ("put_response_headers", put_response_headers),
        ("make_session", make_session),
    ];
    for (name, function) in functions {
        let safe: Function = natives.raw_get(name)?;
        // SAFETY: runs in a protected call, with the function as the top of the stack, which
        // the closure takes as its upvalue.
        let fast: Function =
            unsafe { lua.exec_raw(safe, |state| ffi::lua_pushcclosure(state, function, 1))? };
        natives.raw_set(name, fast)?;
    }
    Ok(())
}

/// What has to be done by the safe function.
struct Unusual;

/// Calls the safe function with the same arguments and gives back what it does.
fn hand_on(state: *mut lua_State) -> c_int {
    // SAFETY: called at the end of a function with its arguments as the whole stack, and the
    // safe function as upvalue; LuaJIT has left room for 20 values more.
    unsafe {
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        ffi::lua_insert(state, 1);
        ffi::lua_call(state, ffi::lua_gettop(state) - 1, ffi::LUA_MULTRET);
        ffi::lua_gettop(state)
    }
}

/// Does what gives nothing back, and raises nothing. LuaJIT knows nothing of panics, so there is
/// none beyond here: the safe function panics again, which mlua makes an error.
fn done(state: *mut lua_State, work: impl FnOnce() -> Result<(), Unusual>) -> c_int {
    let work = || budget::attempt(work);
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => 0,
        Ok(Err(Unusual)) | Err(_) => hand_on(state),
    }
}

fn object<'a>() -> Result<&'a mut Object, Unusual> {
    // SAFETY: used within one call of a function, which ends before the object's binding,
    // and without a second reference: nothing here calls Lua code while it has this one. (The
    // collector may run while a value is pushed, and calls no code of plugins but finalizers
    // that `ffi` lets them have, which is as unsafe as the rest of it.)
    unsafe { current::get().as_mut() }.ok_or(Unusual)
}

fn response<'a>() -> Result<&'a mut Response, Unusual> {
    object()?.response.as_deref_mut().ok_or(Unusual)
}

/// The bytes of an argument that is a string, which lives for as long as it is an argument.
fn bytes_at<'a>(state: *mut lua_State, index: c_int) -> Result<&'a [u8], Unusual> {
    let mut length = 0;
    // SAFETY: `lua_tolstring` of a string allocates nothing and gives its bytes, never null.
    unsafe {
        if ffi::lua_type(state, index) != ffi::LUA_TSTRING {
            return Err(Unusual);
        }
        let bytes = ffi::lua_tolstring(state, index, &mut length);
        Ok(std::slice::from_raw_parts(bytes.cast(), length))
    }
}

fn text_at<'a>(state: *mut lua_State, index: c_int) -> Result<&'a str, Unusual> {
    std::str::from_utf8(bytes_at(state, index)?).map_err(|_| Unusual)
}

fn push(state: *mut lua_State, bytes: &[u8]) -> c_int {
    // SAFETY: Lua copies the bytes; there is room for one value more.
    unsafe { ffi::lua_pushlstring_(state, bytes.as_ptr().cast(), bytes.len()) };
    1
}

// === reading ===

/// Pushes the first value of the header that the argument names, or nil.
fn header(state: *mut lua_State, headers: &HeaderMap) -> Result<c_int, Unusual> {
    let Some(value) = headers.get(text_at(state, 1)?) else {
        // SAFETY: there is room for one value more.
        unsafe { ffi::lua_pushnil(state) };
        return Ok(1);
    };
    let value = value.as_bytes();
    // What is not UTF-8 is shown otherwise.
    std::str::from_utf8(value).map_err(|_| Unusual)?;
    Ok(push(state, value))
}

unsafe extern "C-unwind" fn get_header(state: *mut lua_State) -> c_int {
    let found = object().and_then(|object| header(state, &object.request.headers));
    found.unwrap_or_else(|Unusual| hand_on(state))
}

unsafe extern "C-unwind" fn response_header(state: *mut lua_State) -> c_int {
    let found = response().and_then(|response| match &response.edited_headers {
        None if response.header_edits.is_empty() => header(state, &response.headers),
        _ => Err(Unusual),
    });
    found.unwrap_or_else(|Unusual| hand_on(state))
}

/// Functions that push one text each.
macro_rules! texts {
    ($($name:ident: |$part:ident = $of:ident()| $text:expr;)+) => {
        $(unsafe extern "C-unwind" fn $name(state: *mut lua_State) -> c_int {
            match $of() {
                Ok($part) => push(state, AsRef::<[u8]>::as_ref($text)),
                Err(Unusual) => hand_on(state),
            }
        })+
    };
}

texts! {
    url: |object = object()| object.request.url();
    request_uri: |object = object()| object.request.request_uri();
    method: |object = object()| object.request.method.as_str();
    scheme: |object = object()| object.request.scheme;
    body: |object = object()| object.request.body();
    raw_body: |object = object()| &object.request.raw_body;
    response_body: |response = response()| response.body();
    response_raw_body: |response = response()| &response.raw_body;
}

unsafe extern "C-unwind" fn status_code(state: *mut lua_State) -> c_int {
    match response() {
        // SAFETY: there is room for one value more.
        Ok(response) => unsafe { ffi::lua_pushnumber(state, response.status_code.into()) },
        Err(Unusual) => return hand_on(state),
    }
    1
}

unsafe extern "C-unwind" fn return_overrides(state: *mut lua_State) -> c_int {
    match object() {
        Ok(object) => tables::push_overrides(state, &object.request.return_overrides),
        Err(Unusual) => return hand_on(state),
    }
    1
}

unsafe extern "C-unwind" fn metadata_value(state: *mut lua_State) -> c_int {
    let found = text_at(state, 1).and_then(|name| {
        let session = object()?.session.as_deref();
        Ok(session.and_then(|session| session.metadata.get(name)))
    });
    push_found(state, found.map(|value| value.map(String::as_str)))
}

unsafe extern "C-unwind" fn spec_value(state: *mut lua_State) -> c_int {
    let found = text_at(state, 1).and_then(|name| {
        let mut entries = object()?.spec.entries();
        Ok(entries.find(|(key, _)| *key == name))
    });
    push_found(state, found.map(|entry| entry.map(|(_, value)| value)))
}

/// Pushes a text, or nil where there is none.
fn push_found(state: *mut lua_State, found: Result<Option<&str>, Unusual>) -> c_int {
    match found {
        Ok(Some(text)) => push(state, text.as_bytes()),
        Ok(None) => {
            // SAFETY: there is room for one value more.
            unsafe { ffi::lua_pushnil(state) };
            1
        }
        Err(Unusual) => hand_on(state),
    }
}

// === writing ===

unsafe extern "C-unwind" fn set_header(state: *mut lua_State) -> c_int {
    done(state, || store_header(state))
}

fn store_header(state: *mut lua_State) -> Result<(), Unusual> {
    let (name, value) = (text_at(state, 1)?, text_at(state, 2)?);
    let object = object()?;
    budget::spend(name.len() + value.len()).map_err(|_| Unusual)?;
    let set = &mut object.request.set_headers;
    set.insert(name.to_owned(), value.to_owned());
    Ok(())
}

unsafe extern "C-unwind" fn put_raw_body(state: *mut lua_State) -> c_int {
    done(state, || {
        let new = bytes_at(state, 1)?;
        replace_body(&mut object()?.request.raw_body, new).map_err(|_| Unusual)
    })
}

unsafe extern "C-unwind" fn put_set_headers(state: *mut lua_State) -> c_int {
    done(state, || {
        let map = map_at(state, str::to_owned)?;
        put_map(&mut object()?.request.set_headers, map, all_at(state));
        Ok(())
    })
}

unsafe extern "C-unwind" fn put_metadata(state: *mut lua_State) -> c_int {
    done(state, || {
        let map = map_at(state, str::to_owned)?;
        let session = object()?.session.get_or_insert_default();
        put_map(&mut session.metadata, map, all_at(state));
        Ok(())
    })
}

unsafe extern "C-unwind" fn put_response_headers(state: *mut lua_State) -> c_int {
    done(state, || store_response_headers(state))
}

fn store_response_headers(state: *mut lua_State) -> Result<(), Unusual> {
    if all_at(state) {
        let map = map_at(state, known_name)?;
        edit_headers(response()?, map, true);
        return Ok(());
    }
    // Names that were only assigned were made known as they were.
    for_each_entry(state, 1, |name, value| {
        let value = text_at(state, value)?;
        budget::spend(name.len() + value.len()).map_err(|_| Unusual)?;
        response()?.set_header(name, value);
        Ok(())
    })
}

unsafe extern "C-unwind" fn make_session(state: *mut lua_State) -> c_int {
    done(state, || {
        object()?.session.get_or_insert_default();
        Ok(())
    })
}

unsafe extern "C-unwind" fn put_return_overrides(state: *mut lua_State) -> c_int {
    done(state, || {
        object()?.request.return_overrides = overrides_at(state)?;
        Ok(())
    })
}

fn overrides_at(state: *mut lua_State) -> Result<ReturnOverrides, Unusual> {
    let mut overrides = ReturnOverrides::default();
    for_each_entry(state, 1, |name, value| {
        match name {
            "response_code" => overrides.response_code = code_at(state, value)?,
            "override_error" => overrides.override_error = flag_at(state, value)?,
            "response_error" => overrides.response_error = copy(text_at(state, value)?)?,
            "response_body" => overrides.response_body = copy(text_at(state, value)?)?,
            "headers" => for_each_entry(state, value, |name, value| {
                let text = copy(text_at(state, value)?)?;
                overrides.headers.insert(copy(name)?, text);
                Ok(())
            })?,
            // A field that means nothing here is not looked at.
            _ => {}
        }
        Ok(())
    })?;
    Ok(overrides)
}

/// A copy that the call pays for.
fn copy(text: &str) -> Result<String, Unusual> {
    budget::spend(text.len()).map_err(|_| Unusual)?;
    Ok(text.to_owned())
}

fn flag_at(state: *mut lua_State, index: c_int) -> Result<bool, Unusual> {
    // SAFETY: both only look at the value.
    unsafe {
        match ffi::lua_type(state, index) {
            ffi::LUA_TBOOLEAN => Ok(ffi::lua_toboolean(state, index) != 0),
            _ => Err(Unusual),
        }
    }
}

fn code_at(state: *mut lua_State, index: c_int) -> Result<i32, Unusual> {
    // SAFETY: both only look at the value.
    let number = unsafe {
        match ffi::lua_type(state, index) {
            ffi::LUA_TNUMBER => ffi::lua_tonumber(state, index),
            _ => return Err(Unusual),
        }
    };
    // What is out of range is cut off here, and so another number.
    let code = number as i32;
    if f64::from(code) == number {
        Ok(code)
    } else {
        Err(Unusual)
    }
}

/// The second argument of what takes entries of a map: whether they are all that it has.
fn all_at(state: *mut lua_State) -> bool {
    // SAFETY: only looks at the value.
    unsafe { ffi::lua_toboolean(state, 2) != 0 }
}

/// The entries of the table of texts that is the first argument.
fn map_at(
    state: *mut lua_State,
    key_of: impl Fn(&str) -> String,
) -> Result<Vec<(String, String)>, Unusual> {
    let mut map = Vec::new();
    for_each_entry(state, 1, |key, value| {
        budget::spend(key.len()).map_err(|_| Unusual)?;
        map.push((key_of(key), copy(text_at(state, value)?)?));
        Ok(())
    })?;
    Ok(map)
}

/// Hands the entries of a table, whose keys must be texts, to `work`: key, and where the value
/// is on the stack. `work` leaves the stack as it is.
fn for_each_entry(
    state: *mut lua_State,
    table: c_int,
    mut work: impl FnMut(&str, c_int) -> Result<(), Unusual>,
) -> Result<(), Unusual> {
    // SAFETY: the table is at a place counted from the bottom, and there is room for key and
    // value of two tables, one in the other; each `lua_next` finds the key it gave before, so
    // that it does not raise.
    unsafe {
        if ffi::lua_type(state, table) != ffi::LUA_TTABLE {
            return Err(Unusual);
        }
        let top = ffi::lua_gettop(state);
        ffi::lua_pushnil(state);
        while ffi::lua_next(state, table) != 0 {
            let done = text_at(state, top + 1).and_then(|key| work(key, top + 2));
            if done.is_err() {
                ffi::lua_settop(state, top);
                return done;
            }
            ffi::lua_settop(state, top + 1);
        }
    }
    Ok(())
}
