//! A way into Lua that costs little: what is called lies ready in the registry.
//!
//! mlua's own way takes a reference apart and puts a handler on the stack for each call. This
//! one does the same with three look-ups; errors become mlua's in the end.

use std::ffi::c_int;
use std::ptr;

use mlua::{Error, Function, Lua, LuaString, Value, ffi, lua_State};

/// A function of a text and a flag that gives nothing back, ready to be called.
pub(crate) struct Entry {
    state: *mut lua_State,
    /// Where the function is in the registry, what makes a traceback, and an error's place.
    function: c_int,
    handler: c_int,
    error: c_int,
}

/// A text to call entries with.
pub(crate) struct Name(c_int);

impl Entry {
    pub(crate) fn new(lua: &Lua, function: &Function) -> mlua::Result<Self> {
        let mut state = ptr::null_mut();
        let mut places = [0; 3];
        // SAFETY: runs in a protected call, with the function as the top of the stack. It is
        // taken, as are the two values that are pushed.
        unsafe {
            lua.exec_raw::<()>((), |raw| state = raw)?;
            lua.exec_raw::<()>(function, |state| {
                places[0] = ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX);
                ffi::lua_pushcclosure(state, add_traceback, 0);
                places[1] = ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX);
                ffi::lua_pushboolean(state, 0);
                places[2] = ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX);
            })?;
        }
        let [function, handler, error] = places;
        Ok(Self {
            state,
            function,
            handler,
            error,
        })
    }

    /// Calls the function. `lua` is the one that the entry and the name were made for, and
    /// runs nothing now.
    pub(crate) fn call(&self, lua: &Lua, name: &Name, flag: bool) -> mlua::Result<()> {
        let (state, registry) = (self.state, ffi::LUA_REGISTRYINDEX);
        // SAFETY: the state is the main one of `lua`, which lives. There is room for four
        // values, or it says so; nothing raises outside of the protected call, as the place
        // of the error exists; what was pushed is taken away again.
        let status = unsafe {
            if ffi::lua_checkstack(state, 5) == 0 {
                return Err(Error::StackError);
            }
            let top = ffi::lua_gettop(state);
            ffi::lua_rawgeti_(state, registry, self.handler);
            ffi::lua_rawgeti_(state, registry, self.function);
            ffi::lua_rawgeti_(state, registry, name.0);
            ffi::lua_pushboolean(state, flag.into());
            let status = ffi::lua_pcall(state, 2, 0, top + 1);
            if status != ffi::LUA_OK {
                ffi::lua_rawseti_(state, registry, self.error);
            }
            ffi::lua_settop(state, top);
            status
        };
        if status == ffi::LUA_OK {
            return Ok(());
        }
        Err(self.take_error(lua, status))
    }

    #[cold]
    fn take_error(&self, lua: &Lua, status: c_int) -> Error {
        // SAFETY: runs in a protected call and leaves one value; its place in the registry is
        // there, so that taking the error away allocates nothing.
        let error = unsafe {
            lua.exec_raw((), |state| {
                ffi::lua_rawgeti_(state, ffi::LUA_REGISTRYINDEX, self.error);
                ffi::lua_pushboolean(state, 0);
                ffi::lua_rawseti_(state, ffi::LUA_REGISTRYINDEX, self.error);
            })
        };
        match error {
            Ok(Value::Error(error)) => *error,
            Ok(Value::String(text)) if status == ffi::LUA_ERRMEM => {
                Error::MemoryError(text.to_string_lossy())
            }
            Ok(Value::String(text)) => Error::RuntimeError(text.to_string_lossy()),
            Ok(other) => Error::RuntimeError(format!("a {}", other.type_name())),
            Err(error) => error,
        }
    }
}

impl Name {
    pub(crate) fn new(lua: &Lua, name: &LuaString) -> mlua::Result<Self> {
        let mut place = 0;
        // SAFETY: runs in a protected call, with the text as the top of the stack, which is
        // taken.
        unsafe {
            lua.exec_raw::<()>(name, |state| {
                place = ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX);
            })?;
        }
        Ok(Self(place))
    }
}

/// Makes a text of an error and adds where it came up. Those of the gateway's functions, which
/// are userdata, know that already.
unsafe extern "C-unwind" fn add_traceback(state: *mut lua_State) -> c_int {
    // SAFETY: LuaJIT calls this with the error as the only value.
    unsafe {
        if ffi::lua_type(state, 1) == ffi::LUA_TUSERDATA || ffi::lua_checkstack(state, 12) == 0 {
            return 1;
        }
        let text = ffi::luaL_tolstring(state, 1, ptr::null_mut());
        ffi::luaL_traceback(state, state, text, 0);
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How a function with this body ends when it is called with `name`.
    fn outcome(lua: &Lua, body: &str) -> mlua::Result<()> {
        let code = format!("local name, flag = ...\n{body}");
        let function = lua.load(code).set_name("@plugin.lua").into_function()?;
        let entry = Entry::new(lua, &function)?;
        let name = Name::new(lua, &lua.create_string("hook")?)?;
        // The first call leaves nothing behind that a second one would meet.
        let _ = entry.call(lua, &name, true);
        entry.call(lua, &name, true)
    }

    #[test]
    fn errors_are_those_of_a_call_through_mlua() {
        let lua = Lua::new();
        let fails = lua.create_function(|_, ()| -> mlua::Result<()> {
            Err(Error::RuntimeError("from Rust".to_owned()))
        });
        lua.globals().set("fails", fails.unwrap()).unwrap();
        outcome(&lua, "assert(name == 'hook' and flag == true) return 1, 2").unwrap();
        for body in [
            "error('text')",
            "error({})",
            "error(setmetatable({}, { __tostring = function() return 'shown' end }))",
            "error()",
            "error(7)",
            "fails()",
            "local t = nil; t.x = 1",
        ] {
            let error = outcome(&lua, body).unwrap_err();
            let code = format!("local name, flag = ...\n{body}");
            let chunk = lua.load(code).set_name("@plugin.lua");
            let expected = chunk.call::<()>("hook").unwrap_err();
            let first = |error: &Error| {
                let text = error.to_string();
                text.split("0x").next().unwrap_or_default().to_owned()
            };
            assert_eq!(first(&error), first(&expected), "{body}");
            let same = std::mem::discriminant(&error) == std::mem::discriminant(&expected);
            assert!(same, "{error:?} {expected:?}");
        }
        outcome(&lua, "return").unwrap();
    }

    #[test]
    fn memory_that_runs_out_is_told_apart() {
        let lua = Lua::new();
        lua.set_memory_limit(lua.used_memory() + (1 << 20)).unwrap();
        let error = outcome(&lua, "('x'):rep(1e7)").unwrap_err();
        assert!(matches!(error, Error::MemoryError(_)), "{error:?}");
    }
}
