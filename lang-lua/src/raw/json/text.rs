//! The function `encode_json` as plugins call it most of the time: with the settings that the
//! module starts with, and a value that has a JSON form.

use std::cell::{Cell, RefCell};
use std::ffi::c_int;
use std::ptr;

use mlua::{Function, Lua, ffi, lua_State};

use super::write::{VIEW, Writing, write_all};

/// A buffer that is longer goes after its call.
const KEPT: usize = 256 << 10;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// The text that is to become a string of Lua's.
    static TEXT: Cell<*const [u8]> = const { Cell::new(ptr::slice_from_raw_parts(ptr::null(), 0)) };
}

/// Places on the stack: the value, the settings, whether views are filled.
const VALUE: c_int = 1;
const SETTINGS: c_int = 2;
const IS_FILLED: c_int = 3;

/// What became of a value.
enum Written {
    /// It is a string, at the top of the stack.
    Text,
    /// An error is, as that string found no memory.
    Raised,
    /// A view has to be filled first.
    View,
    /// It has to be written with care, if at all.
    No,
}

/// The function `encode_json(value, settings, views_are_filled)`; `careful` does the rest.
pub(super) fn function(lua: &Lua, careful: Function) -> mlua::Result<Function> {
    // SAFETY: runs in a protected call, with the function as the top of the stack. The
    // closure takes it and the next one as its upvalues.
    unsafe {
        lua.exec_raw(careful, |state| {
            ffi::lua_pushcclosure(state, push_text, 0);
            ffi::lua_pushcclosure(state, encode, 2);
        })
    }
}

/// LuaJIT calls this with the arguments as the stack.
unsafe extern "C-unwind" fn encode(state: *mut lua_State) -> c_int {
    // SAFETY: LuaJIT gives a valid state with room for 20 values. What raises here has nothing
    // below it that needs to be dropped.
    unsafe {
        ffi::lua_settop(state, IS_FILLED);
        match write(state) {
            Written::Text => {}
            Written::Raised => ffi::lua_error(state),
            Written::View => ffi::lua_pushnil(state),
            Written::No => {
                ffi::lua_settop(state, IS_FILLED);
                ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
                ffi::lua_insert(state, VALUE);
                ffi::lua_call(state, 3, 1);
            }
        }
    }
    1
}

/// Raises nothing: it has a buffer to give back.
fn write(state: *mut lua_State) -> Written {
    BUFFER.with(|buffer| {
        // It is in use where a finalizer runs in the middle of another call.
        let Ok(mut buffer) = buffer.try_borrow_mut() else {
            return Written::No;
        };
        // SAFETY: these look-ups raise nothing, and there is room, see `encode`.
        let views_are_filled = unsafe {
            if ffi::lua_type(state, SETTINGS) != ffi::LUA_TNIL {
                return Written::No;
            }
            ffi::lua_pushvalue(state, VALUE);
            ffi::lua_toboolean(state, IS_FILLED) != 0
        };
        let mut writing = Writing::default();
        writing.views_are_filled = views_are_filled;
        let written = match write_all(state, &mut buffer, &writing) {
            Ok(()) => push(state, &buffer),
            Err(VIEW) => Written::View,
            Err(_) => Written::No,
        };
        if buffer.capacity() > KEPT {
            *buffer = Vec::new();
        }
        written
    })
}

fn push(state: *mut lua_State, text: &[u8]) -> Written {
    TEXT.set(ptr::from_ref(text));
    // SAFETY: there is room for the few values; the call is protected and leaves one.
    unsafe {
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(2));
        if ffi::lua_pcall(state, 0, 1, 0) == ffi::LUA_OK {
            Written::Text
        } else {
            Written::Raised
        }
    }
}

/// Makes the string in a call of its own, since that may raise.
unsafe extern "C-unwind" fn push_text(state: *mut lua_State) -> c_int {
    let text = TEXT.get();
    // SAFETY: set by `push`, just before and in this thread, to a text that it has borrowed.
    unsafe { ffi::lua_pushlstring_(state, text.cast(), text.len()) };
    1
}
