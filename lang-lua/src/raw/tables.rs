//! Tables made in one protected call each.
//!
//! A VM with a memory limit may raise at each allocation, so mlua protects each string and
//! each assignment on its own; for a table of ten headers that is most of what a hook costs.
//!
//! Each closure here is left by a raised memory error without running destructors, so all
//! that has to be dropped is made outside, and the closures only borrow it.

use std::ffi::c_int;

use coprocess_core::{Header, ReturnOverrides, StringMap};
use mlua::{Lua, Table, ffi, lua_State};

/// Stack slots that a closure may use: the most that are alive at once, with room.
const SLOTS: c_int = 10;

/// A table with string keys and values.
pub(crate) fn from_map(lua: &Lua, map: &StringMap) -> mlua::Result<Table> {
    build(lua, |state| self::map(state, map))
}

/// The same from a list of pairs.
pub(crate) fn from_pairs<K, V>(lua: &Lua, pairs: &[(K, V)]) -> mlua::Result<Table>
where
    K: AsRef<str>,
    V: AsRef<str>,
{
    build(lua, |state| {
        new_table(state, 0, pairs.len());
        for (key, value) in pairs {
            set(state, key.as_ref().as_bytes(), value.as_ref().as_bytes());
        }
    })
}

/// A list of strings.
pub(crate) fn from_list(lua: &Lua, items: &[String]) -> mlua::Result<Table> {
    build(lua, |state| list(state, items))
}

/// `multivalue_headers`: a list of `{key, values}`.
pub(crate) fn from_header_list(lua: &Lua, headers: &[Header]) -> mlua::Result<Table> {
    build(lua, |state| {
        new_table(state, headers.len(), 0);
        for (header, index) in headers.iter().zip(1..) {
            new_table(state, 0, 2);
            set(state, b"key", header.key.as_bytes());
            push(state, b"values");
            list(state, &header.values);
            store(state);
            // SAFETY: the entry is on the stack, below it the list.
            unsafe { ffi::lua_rawseti(state, -2, index) };
        }
    })
}

/// `return_overrides`.
pub(crate) fn from_overrides(lua: &Lua, overrides: &ReturnOverrides) -> mlua::Result<Table> {
    build(lua, |state| push_overrides(state, overrides))
}

/// The same on the stack, which has room for it, in a call that is protected already.
pub(super) fn push_overrides(state: *mut lua_State, overrides: &ReturnOverrides) {
    let ReturnOverrides {
        response_code,
        response_error,
        headers,
        override_error,
        response_body,
    } = overrides;
    new_table(state, 0, 5);
    set(state, b"response_error", response_error.as_bytes());
    set(state, b"response_body", response_body.as_bytes());
    push(state, b"headers");
    map(state, headers);
    store(state);
    push(state, b"response_code");
    // SAFETY: there is room for one value, see `build`.
    unsafe { ffi::lua_pushnumber(state, f64::from(*response_code)) };
    store(state);
    push(state, b"override_error");
    // SAFETY: as above.
    unsafe { ffi::lua_pushboolean(state, (*override_error).into()) };
    store(state);
}

/// Runs `fill`, which leaves one table on the stack.
fn build(lua: &Lua, fill: impl FnOnce(*mut lua_State)) -> mlua::Result<Table> {
    let body = |state| {
        // SAFETY: the state is the one that runs; raises when there is no room.
        unsafe { ffi::luaL_checkstack(state, SLOTS, std::ptr::null()) };
        fill(state);
    };
    // SAFETY: runs in a protected call; the closures of this file keep nothing to be dropped
    // in their frames and leave one value.
    unsafe { lua.exec_raw((), body) }
}

fn new_table(state: *mut lua_State, items: usize, entries: usize) {
    // A wrong size costs a rehash, nothing else.
    let count = |number| c_int::try_from(number).unwrap_or(0);
    // SAFETY: there is room for one value, see `build`.
    unsafe { ffi::lua_createtable(state, count(items), count(entries)) };
}

fn map(state: *mut lua_State, map: &StringMap) {
    new_table(state, 0, map.len());
    for (key, value) in map {
        set(state, key.as_bytes(), value.as_bytes());
    }
}

fn list(state: *mut lua_State, items: &[String]) {
    new_table(state, items.len(), 0);
    for (item, index) in items.iter().zip(1..) {
        push(state, item.as_bytes());
        // SAFETY: the value is on the stack, below it the list.
        unsafe { ffi::lua_rawseti(state, -2, index) };
    }
}

fn set(state: *mut lua_State, key: &[u8], value: &[u8]) {
    push(state, key);
    push(state, value);
    store(state);
}

/// Takes a key and its value off the stack, into the table below them.
fn store(state: *mut lua_State) {
    // SAFETY: key and value are on the stack, below them the table.
    unsafe { ffi::lua_rawset(state, -3) };
}

fn push(state: *mut lua_State, text: &[u8]) {
    // SAFETY: Lua copies the bytes; there is room for one value, see `build`.
    unsafe { ffi::lua_pushlstring(state, text.as_ptr().cast(), text.len()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_what_was_put_in() {
        let lua = Lua::new();
        let map: StringMap = [("a", "1"), ("b", "nul \0 inside")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into_iter()
            .collect();
        let table = from_map(&lua, &map).unwrap();
        assert_eq!(table.get::<String>("b").unwrap(), "nul \0 inside");
        let table = from_pairs(&lua, &[("c", String::from("2"))]).unwrap();
        assert_eq!(table.get::<String>("c").unwrap(), "2");
        let header = Header {
            key: "Set-Cookie".to_owned(),
            values: vec!["a=1".to_owned(), "b=2".to_owned()],
        };
        let table = from_header_list(&lua, &[header.clone(), header]).unwrap();
        let second: Table = table.get(2).unwrap();
        assert_eq!(second.get::<String>("key").unwrap(), "Set-Cookie");
        assert_eq!(second.get::<Vec<String>>("values").unwrap(), ["a=1", "b=2"]);
        assert_eq!(table.raw_len(), 2);
    }

    #[test]
    fn a_table_beyond_the_memory_limit_is_an_error() {
        let lua = Lua::new();
        lua.set_memory_limit(lua.used_memory() + (1 << 20)).unwrap();
        let list = vec!["x".repeat(1000); 1];
        let long: Vec<String> = (0..5000)
            .map(|index| format!("{index}{}", list[0]))
            .collect();
        assert!(matches!(
            from_list(&lua, &long),
            Err(mlua::Error::MemoryError(_))
        ));
        // What was made in vain is garbage; LuaJIT does not collect when memory runs out.
        lua.gc_collect().unwrap();
        assert!(from_list(&lua, &list).is_ok());
    }
}
