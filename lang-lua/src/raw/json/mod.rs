//! JSON to Lua values and back, each in one protected call; what `require("cjson")` gives.
//!
//! As in lua-cjson: `null` is a light userdata, tables whose keys are 1 to n are arrays, an
//! empty table is an object, and a nested value that has no JSON form is an error. What can
//! be set there can be set here, see `cjson.lua`.

mod read;
mod write;

use std::ffi::c_void;

use mlua::{LightUserData, Lua, LuaString, Table, Value};

use read::decode;
use write::{Writing, encode};

/// Their addresses are values that no plugin can make: the key in metatables of a [`Kind`],
/// and `cjson.empty_array`.
static KIND: u8 = 0;
static EMPTY_ARRAY: u8 = 0;

/// What a metatable says about the tables that have it.
#[derive(Clone, Copy, PartialEq)]
#[repr(u8)]
enum Kind {
    Plain = 0,
    /// Not filled yet: Lua code has to do that first.
    View = 1,
    Array = 2,
    EmptyArray = 3,
}

/// Adds the functions and values that the module `cjson` is made of.
pub(crate) fn add_to(lua: &Lua, natives: &Table) -> mlua::Result<()> {
    let decode = |lua: &Lua, (text, settings): (LuaString, Option<Table>)| {
        decode(lua, &text.as_bytes(), settings.as_ref())
    };
    natives.raw_set("decode_json", lua.create_function(decode)?)?;
    let encode = |lua: &Lua, (value, settings, views_are_filled): (Value, Option<Table>, bool)| {
        let mut writing = match settings {
            Some(settings) => Writing::read(&settings)?,
            None => Writing::default(),
        };
        writing.views_are_filled = views_are_filled;
        encode(lua, value, &writing)
    };
    natives.raw_set("encode_json", lua.create_function(encode)?)?;
    let mark = |_: &Lua, (meta, kind): (Table, String)| {
        let kind = match kind.as_str() {
            "view" => Kind::View,
            "array" => Kind::Array,
            _ => Kind::EmptyArray,
        };
        meta.raw_set(light(&KIND), kind as u8)
    };
    natives.raw_set("mark", lua.create_function(mark)?)?;
    natives.raw_set("null", LightUserData(std::ptr::null_mut()))?;
    natives.raw_set("empty_array", light(&EMPTY_ARRAY))
}

fn light(place: &'static u8) -> LightUserData {
    LightUserData(address(place))
}

fn address(place: &'static u8) -> *mut c_void {
    std::ptr::from_ref(place).cast_mut().cast()
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
            let value = decode(&lua, text.as_bytes(), None).unwrap();
            assert_eq!(
                encode(&lua, value, &Writing::default())
                    .unwrap()
                    .unwrap()
                    .to_str()
                    .unwrap(),
                text
            );
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
            let text = encode(&lua, value, &Writing::default()).unwrap().unwrap();
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
            let error = encode(&lua, value, &Writing::default())
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{code}: {error}");
        }
        let error = decode(&lua, b"{\"a\":}", None).unwrap_err().to_string();
        assert!(
            error.contains("not JSON: expected value at line 1 column 6"),
            "{error}"
        );
        assert!(decode(&lua, "[".repeat(5000).as_bytes(), None).is_err());
    }
}
