//! The functions that nearly every call of a hook uses, on Lua's own API.
//!
//! Each stands before the safe function of the same name: it does what is usual, and hands
//! everything else on, errors included. So there is one place that says how things fail.
//!
//! Lua's functions may raise, which leaves a frame without running destructors. So each
//! function here has two parts: one that has things to drop and calls nothing that raises,
//! and the one that LuaJIT calls, which has none.

use std::ffi::c_int;

use coprocess_core::{Object, Response};
use http::HeaderMap;
use mlua::{Function, Lua, Table, ffi, lua_State};

use super::current;
use crate::budget;
use crate::natives::{edit_headers, known_name, put_map, replace_body};

/// Puts the functions before those of the same names.
pub(crate) fn add_to(lua: &Lua, natives: &Table) -> mlua::Result<()> {
    let functions: [(&str, ffi::lua_CFunction); 9] = [
        ("get_header", get_header),
        ("response_header", response_header),
        ("set_header", set_header),
        ("raw_body", raw_body),
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

/// Ends a function that gives nothing back.
fn done(state: *mut lua_State, outcome: Result<(), Unusual>) -> c_int {
    match outcome {
        Ok(()) => 0,
        Err(Unusual) => hand_on(state),
    }
}

fn object<'a>() -> Result<&'a mut Object, Unusual> {
    // SAFETY: used within one call of a function, which ends before the object's binding,
    // and without a second reference: nothing here calls Lua code while it has this one.
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

unsafe extern "C-unwind" fn raw_body(state: *mut lua_State) -> c_int {
    match object() {
        Ok(object) => push(state, &object.request.raw_body),
        Err(Unusual) => hand_on(state),
    }
}

// === writing ===

unsafe extern "C-unwind" fn set_header(state: *mut lua_State) -> c_int {
    done(state, store_header(state))
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
    let stored = bytes_at(state, 1).and_then(|new| {
        let body = &mut object()?.request.raw_body;
        replace_body(body, new).map_err(|_| Unusual)
    });
    done(state, stored)
}

unsafe extern "C-unwind" fn put_set_headers(state: *mut lua_State) -> c_int {
    let stored = map_at(state, |key, _| key.to_owned()).and_then(|(map, all)| {
        put_map(&mut object()?.request.set_headers, map, all);
        Ok(())
    });
    done(state, stored)
}

unsafe extern "C-unwind" fn put_metadata(state: *mut lua_State) -> c_int {
    let stored = map_at(state, |key, _| key.to_owned()).and_then(|(map, all)| {
        let session = object()?.session.get_or_insert_default();
        put_map(&mut session.metadata, map, all);
        Ok(())
    });
    done(state, stored)
}

unsafe extern "C-unwind" fn put_response_headers(state: *mut lua_State) -> c_int {
    // Names that were only assigned were made known as they were.
    let known = |name: &str, all| {
        if all {
            known_name(name)
        } else {
            name.to_owned()
        }
    };
    let stored = map_at(state, known).and_then(|(map, all)| {
        edit_headers(response()?, map, all);
        Ok(())
    });
    done(state, stored)
}

unsafe extern "C-unwind" fn make_session(state: *mut lua_State) -> c_int {
    let made = object().map(|object| {
        object.session.get_or_insert_default();
    });
    done(state, made)
}

/// The entries of a table of texts, and the second argument: whether they are all of the map.
fn map_at(
    state: *mut lua_State,
    key_of: impl Fn(&str, bool) -> String,
) -> Result<(Vec<(String, String)>, bool), Unusual> {
    let mut map = Vec::new();
    // SAFETY: the table is the first argument, and there is room for key and value; each
    // `lua_next` finds the key it gave before, so that it does not raise.
    unsafe {
        if ffi::lua_type(state, 1) != ffi::LUA_TTABLE {
            return Err(Unusual);
        }
        let top = ffi::lua_gettop(state);
        let all = ffi::lua_toboolean(state, 2) != 0;
        ffi::lua_pushnil(state);
        while ffi::lua_next(state, 1) != 0 {
            let entry = text_at(state, -2).and_then(|key| Ok((key, text_at(state, -1)?)));
            let entry = entry.and_then(|(key, value)| {
                let cost = budget::spend(key.len()).and_then(|()| budget::spend(value.len()));
                cost.map_err(|_| Unusual)?;
                Ok((key, value))
            });
            let Ok((key, value)) = entry else {
                ffi::lua_settop(state, top);
                return Err(Unusual);
            };
            map.push((key_of(key, all), value.to_owned()));
            ffi::lua_pop(state, 1);
        }
        Ok((map, all))
    }
}
