//! `require("cjson")`: what plugins that were written for lua-cjson use of it.

use crate::plugin::Fixture;

/// What an expression over the module gives, or how it fails.
fn check(code: &str, expected: &str) {
    let fixture = Fixture::new(&format!(
        "local cjson = require('cjson')\nlocal safe = require('cjson.safe')\n\
         local function try(...) return select(2, pcall(...)) end\n\
         function hook(request) request.raw_body = tostring((function() {code} end)())\n\
         return request end"
    ));
    let object = match fixture.run("hook") {
        Ok(object) => object,
        Err(error) => panic!("{code}: {error}"),
    };
    let body = String::from_utf8_lossy(&object.request.raw_body).into_owned();
    assert_eq!(body, expected, "{code}");
}

const WRITTEN: &[(&str, &str)] = &[
    ("return cjson.encode({})", "{}"),
    ("return cjson.encode(cjson.empty_array)", "[]"),
    (
        "return cjson.encode({ a = cjson.empty_array })",
        r#"{"a":[]}"#,
    ),
    (
        "return cjson.encode(setmetatable({}, cjson.array_mt))",
        "[]",
    ),
    (
        "return cjson.encode(setmetatable({}, cjson.empty_array_mt))",
        "[]",
    ),
    (
        "return cjson.encode(setmetatable({ 1, 2 }, cjson.array_mt))",
        "[1,2]",
    ),
    (
        "return cjson.encode({ cjson.null, true, 'x', 1.5, 1e3 })",
        r#"[null,true,"x",1.5,1000]"#,
    ),
    (
        "return cjson.encode(setmetatable({ a = 1 }, {}))",
        r#"{"a":1}"#,
    ),
    ("return cjson.encode('a/b')", r#""a/b""#),
    ("return cjson.encode(nil)", "null"),
    ("return cjson.encode(4102444800)", "4102444800"),
    ("return cjson.encode(-0.5)", "-0.5"),
    ("return cjson.encode(1e15)", "1000000000000000"),
    ("return cjson.encode(-2 ^ 53)", "-9007199254740992"),
    ("return cjson.encode(-0.0 * 1)", "-0"),
    ("return cjson.encode(2 ^ 60)", "1.152921504606847e+18"),
    ("return type(cjson.null)", "userdata"),
    ("return cjson.decode('null') == cjson.null", "true"),
    (
        "return cjson._NAME .. ' ' .. safe._NAME",
        "cjson cjson.safe",
    ),
    (
        "return try(cjson.encode, setmetatable({ a = 1 }, cjson.array_mt))",
        "cannot encode a table with other keys as an array",
    ),
    (
        "return try(cjson.encode, { a = object })",
        "`object` can be encoded by itself or in parts, not within a table",
    ),
    (
        "return try(cjson.encode, { 0 / 0 })",
        "cannot encode a number that is not finite",
    ),
    (
        "return select(2, safe.encode(print))",
        "cannot encode a function",
    ),
    (
        "return select(2, safe.decode('[1,'))",
        "not JSON: EOF while parsing a value at line 1 column 3",
    ),
];

#[test]
fn values_are_written_as_the_original_module_writes_them() {
    for &(code, expected) in WRITTEN {
        check(code, expected);
    }
}

const SETTINGS: &[(&str, &str)] = &[
    (
        "cjson.encode_empty_table_as_object(false) return cjson.encode({ a = {} })",
        r#"{"a":[]}"#,
    ),
    (
        "cjson.encode_empty_table_as_object(false) return cjson.new().encode({})",
        "{}",
    ),
    (
        "cjson.encode_empty_table_as_object(false) return safe.encode({})",
        "{}",
    ),
    (
        "cjson.encode_empty_table_as_object(false) cjson.encode_empty_table_as_object(true)\n\
          return cjson.encode({})",
        "{}",
    ),
    (
        "cjson.encode_number_precision(3) return cjson.encode({ 1 / 3, 2 / 3, 1234567, 20 })",
        "[0.333,0.667,1230000,20]",
    ),
    (
        "cjson.encode_escape_forward_slash(true) return cjson.encode('a/b')",
        r#""a\/b""#,
    ),
    (
        "cjson.encode_sparse_array(true) return cjson.encode({ [100] = 1 })",
        r#"{"100":1}"#,
    ),
    (
        "cjson.encode_sparse_array(false, 0) return #cjson.encode({ [100] = 1 })",
        "498",
    ),
    (
        "cjson.encode_invalid_numbers('null') return cjson.encode({ 0 / 0 })",
        "[null]",
    ),
    (
        "cjson.encode_max_depth(1) return try(cjson.encode, { {} })",
        "cannot encode tables nested this deep",
    ),
    (
        "cjson.decode_max_depth(2) return cjson.encode(cjson.decode('[[1]]'))",
        "[[1]]",
    ),
    (
        "cjson.decode_max_depth(2) return try(cjson.decode, '[[[1]]]')",
        "not JSON that may be read: nested deeper than decode_max_depth",
    ),
    (
        "cjson.decode_array_with_array_mt(true) return cjson.encode(cjson.decode('[[],{}]'))",
        "[[],{}]",
    ),
    ("return cjson.encode(cjson.decode('[[],{}]'))", "[{},{}]"),
    (
        "return cjson.encode_max_depth() .. ' ' .. cjson.decode_max_depth()",
        "200 127",
    ),
    ("return cjson.encode_keep_buffer(false)", "false"),
    ("return cjson.decode_invalid_numbers(false)", "false"),
    (
        "return try(cjson.decode_invalid_numbers, true)",
        "decode_invalid_numbers: JSON has no such numbers; give false",
    ),
];

#[test]
fn settings_hold_for_one_copy_of_the_module() {
    for &(code, expected) in SETTINGS {
        check(code, expected);
    }
    let fixture = Fixture::new(
        "local cjson = require('cjson')\nfunction hook(request)\n\
         cjson.encode_max_depth(1e6)\nreturn request\nend",
    );
    let error = fixture.run("hook").unwrap_err().to_string();
    let expected = "plugin.lua:3: bad argument to 'encode_max_depth' (a whole number from 1 to 200 \
                    expected, got 1000000)";
    assert!(error.contains(expected), "{error}");
}
