//! JSON to Lua values and back, each in one protected call; what `require("cjson")` gives.
//!
//! As in lua-cjson: `null` is a light userdata, tables whose keys are 1 to n are arrays, an
//! empty table is an object, and a nested value that has no JSON form is an error. What can
//! be set there can be set here, see `cjson.lua`.

mod careful;
mod read;
mod scan;
mod text;
mod write;

use std::ffi::c_void;

use mlua::{LightUserData, Lua, LuaString, Table, Value};

use careful::decode;
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
    let decode = read::function(lua, lua.create_function(decode)?)?;
    natives.raw_set("decode_json", decode)?;
    let encode = |lua: &Lua, (value, settings, views_are_filled): (Value, Option<Table>, bool)| {
        let mut writing = match settings {
            Some(settings) => Writing::read(&settings)?,
            None => Writing::default(),
        };
        writing.views_are_filled = views_are_filled;
        encode(lua, value, &writing)
    };
    let encode = text::function(lua, lua.create_function(encode)?)?;
    natives.raw_set("encode_json", encode)?;
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

    /// What the functions of the module make of a text, or how they fail, with the fast way
    /// in place and without it.
    fn both_ways(text: &[u8], settings: &str) -> [String; 2] {
        let lua = Lua::new();
        let natives = lua.create_table().unwrap();
        add_to(&lua, &natives).unwrap();
        lua.globals().set("natives", &natives).unwrap();
        let settings: Option<Table> = lua.load(settings).eval().unwrap();
        let fast: mlua::Function = natives.get("decode_json").unwrap();
        let value = fast.call::<Value>((lua.create_string(text).unwrap(), settings.as_ref()));
        let careful = decode(&lua, text, settings.as_ref());
        [value, careful].map(|value| match value {
            Ok(value) => encode(&lua, value, &Writing::default())
                .unwrap()
                .unwrap()
                .to_string_lossy(),
            Err(error) => {
                let text = error.to_string();
                text.lines().next().unwrap_or_default().to_owned()
            }
        })
    }

    #[test]
    fn the_fast_way_reads_what_the_careful_one_reads() {
        let mark = "return { max_depth = 2, array_mt = { mark = 1 } }";
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let (deepest, too_deep) = (deep(127), deep(128));
        for text in [
            "",
            " ",
            "nul",
            "nulll",
            "true false",
            "tru",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{\"a\" 1}",
            "{a:1}",
            "{\"a\":1,}",
            "{\"a\"}",
            "[",
            "{",
            "\"",
            "\"a",
            "\"a\\",
            "\"a\\\"",
            "\"\n\"",
            "\"\\x\"",
            "\"\\ud83d\"",
            "\"\\u12\"",
            "01",
            "1e999",
            "-",
            "[1]]",
            "\u{feff}1",
            "1e400",
            "-0",
            "1e-400",
            " [ 1 , { \"a\" : [ ] } , { } ] \n",
            "{\"a\":1,\"a\":2}",
            "[null,true,false]",
            "\"\\u0000\\ud83d\\ude00\\n\\\\\\/\"",
            "{\"k\\n1\":\"\\u00e9 and \\\"more\\\"\"}",
            "[123456789012345678901234567890,0.1,12.5,1e3]",
            "[[[1]]]",
            "[[1],[2]]",
            "[\"\\n\",\"longer than the first \\n one\",\"é\"]",
            &deepest,
            &too_deep,
        ] {
            for settings in ["return nil", "return { max_depth = 127 }", mark] {
                let [fast, careful] = both_ways(text.as_bytes(), settings);
                assert_eq!(fast, careful, "{text} {settings}");
            }
        }
        let [fast, careful] = both_ways(b"\"\xff\"", "return nil");
        assert_eq!(fast, careful);
    }

    #[test]
    fn arrays_of_all_lengths_are_read_and_tables_of_all_sizes() {
        let lua = Lua::new();
        let natives = lua.create_table().unwrap();
        add_to(&lua, &natives).unwrap();
        lua.globals().set("natives", natives).unwrap();
        lua.load(
            r#"
            for length = 0, 300 do
              local items, entries = {}, {}
              for i = 1, length do
                items[i], entries[i] = tostring(i), ('"k%d":%d'):format(i, i)
              end
              local list = "[" .. table.concat(items, ",") .. "]"
              local map = "{" .. table.concat(entries, ",") .. "}"
              local text = "[" .. list .. "," .. map .. "," .. list .. "]"
              local all = natives.decode_json(text)
              assert(#all[1] == length and #all[3] == length)
              for i = 1, length do
                assert(all[1][i] == i and all[3][i] == i and all[2]["k" .. i] == i)
              end
              assert(length == 0 or natives.encode_json(all[1]) == list)
            end"#,
        )
        .exec()
        .unwrap();
    }

    #[test]
    fn the_fast_way_writes_what_the_careful_one_writes() {
        let lua = Lua::new();
        let natives = lua.create_table().unwrap();
        add_to(&lua, &natives).unwrap();
        lua.globals().set("natives", natives).unwrap();
        for (code, expected) in [
            ("{ 1, 2, a = 3 }", r#"{"1":1,"2":2,"a":3}"#),
            (
                "{ { 1, { 2, b = 1 } }, a = 3 }",
                r#"{"1":[1,{"1":2,"b":1}],"a":3}"#,
            ),
            ("{ 1, nil, 3 }", "[1,null,3]"),
            ("{ [0] = 1, 2 }", r#"{"0":1,"1":2}"#),
            ("{ [1.5] = 1 }", r#"{"1.5":1}"#),
            ("{ {}, { {} } }", "[{},[{}]]"),
            (
                "'a\"\\\\/\\1\\n0123456789é'",
                r#""a\"\\/\u0001\n0123456789é""#,
            ),
            (
                "{ 0, -1, 10, 99, 100, -1.5, 2^53, 1e300 }",
                "[0,-1,10,99,100,-1.5,9007199254740992,1e+300]",
            ),
            ("nil", "null"),
        ] {
            let text: String = lua
                .load(format!("return natives.encode_json({code}, nil, false)"))
                .eval()
                .unwrap();
            assert_eq!(text, expected, "{code}");
        }
        let error = lua.load("return natives.encode_json({ print })").exec();
        let error = error.unwrap_err().to_string();
        assert!(error.contains("cannot encode a function"), "{error}");
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
