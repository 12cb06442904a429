//! JSON to Lua values in one pass, without a tree in between.
//!
//! What is here reads what nearly all JSON is made of. It gives up at everything else, such as
//! an error or a number that needs care, and [`careful`](super::careful) reads the text again
//! from its start: so there is one place that words errors, and this one need not know them.
//!
//! The functions below are left by a raised memory error, or by the end of the time, without
//! running destructors: nothing in their frames may need to be dropped.

use std::ffi::c_int;

use coprocess_core::json;
use mlua::{Function, Lua, ffi, lua_State};

use super::super::interrupt::is_asked_to_end;
use super::scan;

/// Places on the stack: the text, the settings, the metatable of arrays or nil, room for
/// texts with escapes or nil.
const TEXT: c_int = 1;
const SETTINGS: c_int = 2;
const MARK: c_int = 3;
const ROOM: c_int = 4;

/// How deep values may nest here.
const MAX_DEPTH: usize = 126;

/// The most entries that room is made for before they are seen.
const MAX_GUESS: u16 = 64;

/// What parts give up with.
struct Unusual;

/// The function `decode_json(text, settings)`; `careful` is the one that reads the rest.
pub(super) fn function(lua: &Lua, careful: Function) -> mlua::Result<Function> {
    // SAFETY: runs in a protected call, with the function as the top of the stack, which the
    // closure takes as its upvalue.
    unsafe { lua.exec_raw(careful, |state| ffi::lua_pushcclosure(state, decode, 1)) }
}

/// LuaJIT calls this with the arguments as the stack.
unsafe extern "C-unwind" fn decode(state: *mut lua_State) -> c_int {
    // SAFETY: LuaJIT gives a valid state with room for 20 values.
    unsafe {
        ffi::lua_settop(state, SETTINGS);
        if read(state).is_err() {
            ffi::lua_settop(state, SETTINGS);
            ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
            ffi::lua_insert(state, TEXT);
            ffi::lua_call(state, 2, 1);
        }
    }
    1
}

/// Leaves the value at the top of the stack.
fn read(state: *mut lua_State) -> Result<(), Unusual> {
    let mut length = 0;
    // SAFETY: the text is looked at if it is one, which takes no memory; it stays where it is
    // for as long as its bytes are in use.
    let text = unsafe {
        if ffi::lua_type(state, TEXT) != ffi::LUA_TSTRING {
            return Err(Unusual);
        }
        let bytes = ffi::lua_tolstring(state, TEXT, &mut length);
        std::slice::from_raw_parts(bytes.cast::<u8>(), length)
    };
    std::str::from_utf8(text).map_err(|_| Unusual)?;
    let (max_depth, marks_arrays) = push_settings(state);
    let mut reader = Reader {
        state,
        text,
        at: 0,
        room: &mut [],
        max_depth,
        marks_arrays,
        guesses: [4; MAX_DEPTH + 1],
    };
    reader.value(0)?;
    match reader.skip_space() {
        None => Ok(()),
        Some(_) => Err(Unusual),
    }
}

/// Fills the places of metatable and room; returns what the settings say.
fn push_settings(state: *mut lua_State) -> (usize, bool) {
    // SAFETY: there is room for these few values, see `decode`.
    unsafe {
        if ffi::lua_type(state, SETTINGS) != ffi::LUA_TTABLE {
            ffi::lua_settop(state, ROOM);
            return (MAX_DEPTH, false);
        }
        ffi::lua_pushstring_(state, c"max_depth".as_ptr());
        ffi::lua_rawget_(state, SETTINGS);
        let max_depth = ffi::lua_tonumber(state, -1) as usize;
        ffi::lua_settop(state, SETTINGS);
        ffi::lua_pushstring_(state, c"array_mt".as_ptr());
        ffi::lua_rawget_(state, SETTINGS);
        let marks_arrays = ffi::lua_type(state, MARK) == ffi::LUA_TTABLE;
        ffi::lua_settop(state, ROOM);
        (max_depth.min(MAX_DEPTH), marks_arrays)
    }
}

/// Where reading is.
struct Reader<'a> {
    state: *mut lua_State,
    text: &'a [u8],
    at: usize,
    /// For texts with escapes; belongs to the value at [`ROOM`].
    room: &'a mut [u8],
    max_depth: usize,
    marks_arrays: bool,
    /// How many entries the last table had, by depth: most likely the next has as many.
    guesses: [u16; MAX_DEPTH + 1],
}

impl Reader<'_> {
    /// The next byte that is not white space, which stays to be read. Most texts have none.
    #[inline(always)]
    fn skip_space(&mut self) -> Option<u8> {
        match self.text.get(self.at) {
            Some(&byte) if byte > b' ' => Some(byte),
            _ => self.skip_some_space(),
        }
    }

    #[cold]
    fn skip_some_space(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.get(self.at)?;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
            if self.at.is_multiple_of(1 << 16) {
                self.check_time();
            }
        }
    }

    /// Raises when the run is to end.
    fn check_time(&self) {
        if is_asked_to_end() {
            // SAFETY: there is room, see `make_room`; nothing here needs to be dropped.
            unsafe {
                ffi::lua_pushstring_(self.state, c"time limit".as_ptr());
                ffi::lua_error(self.state);
            }
        }
    }

    /// Pushes a value.
    fn value(&mut self, depth: usize) -> Result<(), Unusual> {
        if depth > self.max_depth {
            return Err(Unusual);
        }
        self.check_time();
        let state = self.state;
        // SAFETY: there is room, see `make_room`.
        unsafe {
            match self.skip_space() {
                Some(b'"') => return self.string(),
                Some(b'{') => return self.object(depth),
                Some(b'[') => return self.array(depth),
                Some(b't') => {
                    self.word(b"true")?;
                    ffi::lua_pushboolean(state, 1);
                }
                Some(b'f') => {
                    self.word(b"false")?;
                    ffi::lua_pushboolean(state, 0);
                }
                Some(b'n') => {
                    self.word(b"null")?;
                    ffi::lua_pushlightuserdata(state, std::ptr::null_mut());
                }
                _ => {
                    let (number, length) = scan::number(&self.text[self.at..]).ok_or(Unusual)?;
                    self.at += length;
                    ffi::lua_pushnumber(state, number);
                }
            }
        }
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Unusual> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        Err(Unusual)
    }

    /// Makes a table, and room for what one level of nesting puts on the stack.
    fn new_table(&mut self, items: u16, entries: u16) -> Result<(), Unusual> {
        self.at += 1;
        // SAFETY: asks for room without raising, then there is room for the table.
        unsafe {
            if ffi::lua_checkstack(self.state, 6) == 0 {
                return Err(Unusual);
            }
            ffi::lua_createtable(self.state, c_int::from(items), c_int::from(entries));
        }
        Ok(())
    }

    /// Says whether there is a next entry, after the first one.
    #[inline(always)]
    fn goes_on(&mut self, end: u8) -> Result<bool, Unusual> {
        let byte = self.skip_space();
        self.at += 1;
        match byte {
            Some(b',') => Ok(true),
            Some(byte) if byte == end => Ok(false),
            _ => Err(Unusual),
        }
    }

    fn guess(&mut self, depth: usize, count: c_int) {
        self.guesses[depth] = u16::try_from(count).unwrap_or(MAX_GUESS).min(MAX_GUESS);
    }

    fn array(&mut self, depth: usize) -> Result<(), Unusual> {
        self.new_table(self.guesses[depth], 0)?;
        let mut count = 0;
        if self.skip_space() == Some(b']') {
            self.at += 1;
        } else {
            loop {
                self.value(depth + 1)?;
                count += 1;
                // SAFETY: the item is on the stack, below it the list.
                unsafe { ffi::lua_rawseti_(self.state, -2, count) };
                if !self.goes_on(b']')? {
                    break;
                }
            }
        }
        self.guess(depth, count);
        if self.marks_arrays {
            // SAFETY: there is room for the metatable, which the list takes.
            unsafe {
                ffi::lua_pushvalue(self.state, MARK);
                ffi::lua_setmetatable(self.state, -2);
            }
        }
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<(), Unusual> {
        self.new_table(0, self.guesses[depth])?;
        let mut count = 0;
        if self.skip_space() == Some(b'}') {
            self.at += 1;
        } else {
            loop {
                if self.skip_space() != Some(b'"') {
                    return Err(Unusual);
                }
                self.string()?;
                if self.skip_space() != Some(b':') {
                    return Err(Unusual);
                }
                self.at += 1;
                self.value(depth + 1)?;
                count += 1;
                // SAFETY: key and value are on the stack, below them the table.
                unsafe { ffi::lua_rawset(self.state, -3) };
                if !self.goes_on(b'}')? {
                    break;
                }
            }
        }
        self.guess(depth, count);
        Ok(())
    }

    /// Pushes the text whose opening sign is next.
    fn string(&mut self) -> Result<(), Unusual> {
        let start = self.at + 1;
        let end = start + scan::plain(&self.text[start..], false);
        match self.text.get(end) {
            Some(b'"') => {
                self.at = end + 1;
                self.push_text(&self.text[start..end]);
                Ok(())
            }
            Some(b'\\') => self.string_with_escapes(start, end),
            _ => Err(Unusual),
        }
    }

    fn push_text(&self, text: &[u8]) {
        // SAFETY: Lua copies the bytes; there is room, see `new_table`.
        unsafe { ffi::lua_pushlstring_(self.state, text.as_ptr().cast(), text.len()) };
    }

    /// The text begins at `start` and has its first escape at `end`.
    fn string_with_escapes(&mut self, start: usize, mut end: usize) -> Result<(), Unusual> {
        // What is written with escapes is never shorter than the text.
        let mut close = end;
        while self.text.get(close) != Some(&b'"') {
            close += if self.text.get(close) == Some(&b'\\') {
                2
            } else {
                1
            };
            if close >= self.text.len() {
                return Err(Unusual);
            }
            close += scan::plain(&self.text[close..], false);
        }
        self.make_room(close - start);
        let (mut from, mut filled) = (start, 0);
        loop {
            let piece = &self.text[from..end];
            self.room[filled..filled + piece.len()].copy_from_slice(piece);
            filled += piece.len();
            match self.text.get(end) {
                Some(b'"') => break,
                Some(b'\\') => {
                    let (letter, length) = json::escape(&self.text[end..]).ok_or(Unusual)?;
                    filled += letter.encode_utf8(&mut self.room[filled..]).len();
                    from = end + length;
                    end = from + scan::plain(&self.text[from..], false);
                }
                _ => return Err(Unusual),
            }
        }
        self.at = end + 1;
        self.push_text(&self.room[..filled]);
        Ok(())
    }

    /// Has at least so many bytes at [`ROOM`]. They are Lua's, so that a raised error loses
    /// nothing.
    fn make_room(&mut self, length: usize) {
        if self.room.len() < length {
            // SAFETY: there is room for one value, see `new_table`. The bytes live for as
            // long as the value has its place on the stack, and nothing else knows them.
            unsafe {
                let bytes = ffi::lua_newuserdata(self.state, length).cast::<u8>();
                std::ptr::write_bytes(bytes, 0, length);
                self.room = std::slice::from_raw_parts_mut(bytes, length);
                ffi::lua_replace(self.state, ROOM);
            }
        }
    }
}
