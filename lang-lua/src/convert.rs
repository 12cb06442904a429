//! Between Lua tables and the maps and lists of the contract.

use std::borrow::Cow;

use coprocess_core::{Header, ReturnOverrides, StringMap, canonical_name};
use http::{HeaderMap, HeaderName, HeaderValue};
use mlua::{Error, FromLua, Lua, LuaString, Table};

use crate::budget;
use crate::raw::tables;

/// The reverse of [`tables::from_map`]; numbers become text. `what` names the field in an error.
pub(crate) fn to_map(table: &Table, what: &str) -> mlua::Result<StringMap> {
    let mut map = StringMap::new();
    table
        .for_each(|key: LuaString, value: LuaString| {
            map.insert(to_text(&key)?, to_text(&value)?);
            Ok(())
        })
        .map_err(|error| named(what, &error))?;
    Ok(map)
}

/// The reverse of [`tables::from_list`].
pub(crate) fn to_list(table: &Table, what: &str) -> mlua::Result<Vec<String>> {
    let items: mlua::Result<Vec<String>> = table
        .sequence_values::<LuaString>()
        .map(|item| to_text(&item?))
        .collect();
    items.map_err(|error| named(what, &error))
}

/// A copy that the call pays for.
pub(crate) fn to_text(text: &LuaString) -> mlua::Result<String> {
    budget::charge(text.as_bytes().len())?;
    Ok(text.to_str()?.to_owned())
}

/// A text of a table that a plugin filled; empty when it is not there.
pub(crate) fn text_field(table: &Table, name: &str, what: &str) -> mlua::Result<String> {
    let text: Option<LuaString> = field(table, name, what)?;
    let text = text.map(|text| to_text(&text)).transpose();
    Ok(text
        .map_err(|error| named(&format!("{what}.{name}"), &error))?
        .unwrap_or_default())
}

/// A list of texts likewise.
pub(crate) fn list_field(table: &Table, name: &str, what: &str) -> mlua::Result<Vec<String>> {
    let list: Option<Table> = field(table, name, what)?;
    let list = list.map(|list| to_list(&list, &format!("{what}.{name}")));
    Ok(list.transpose()?.unwrap_or_default())
}

/// A field of a table that a plugin filled, if it is there.
pub(crate) fn field<T: FromLua>(table: &Table, name: &str, what: &str) -> mlua::Result<Option<T>> {
    table
        .raw_get(name)
        .map_err(|error| named(&format!("{what}.{name}"), &error))
}

/// Says which field a value was meant for.
pub(crate) fn named(what: &str, error: &Error) -> Error {
    let text = error.to_string();
    let text = text.strip_prefix("runtime error: ").unwrap_or(&text);
    Error::RuntimeError(format!("{what}: {text}"))
}

/// The first value of a header, found in any case. What is not UTF-8 is shown with
/// replacement characters, as in the lists of headers.
pub(crate) fn header_text(
    lua: &Lua,
    headers: &HeaderMap,
    name: &LuaString,
) -> mlua::Result<Option<LuaString>> {
    let Ok(name) = HeaderName::from_bytes(&name.as_bytes()) else {
        return Ok(None);
    };
    headers
        .get(name)
        .map(|value| lua.create_string(value_text(value).as_bytes()))
        .transpose()
}

fn value_text(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

/// All headers under the names that plugins know, first value of each.
pub(crate) fn from_headers(lua: &Lua, headers: &HeaderMap) -> mlua::Result<Table> {
    let pairs: Vec<_> = headers
        .keys()
        .map(|name| (canonical_name(name), value_text(&headers[name])))
        .collect();
    tables::from_pairs(lua, &pairs)
}

/// The reverse of [`tables::from_header_list`].
pub(crate) fn to_header_list(table: &Table) -> mlua::Result<Vec<Header>> {
    let what = "multivalue_headers";
    table
        .sequence_values::<Table>()
        .map(|entry| {
            let entry = entry.map_err(|error| named(what, &error))?;
            Ok(Header {
                key: text_field(&entry, "key", what)?,
                values: list_field(&entry, "values", what)?,
            })
        })
        .collect()
}

/// The reverse of [`tables::from_overrides`]; what is not there keeps its start value.
pub(crate) fn to_overrides(table: &Table) -> mlua::Result<ReturnOverrides> {
    let what = "return_overrides";
    let start = ReturnOverrides::default();
    let headers: Option<Table> = field(table, "headers", what)?;
    Ok(ReturnOverrides {
        response_code: field(table, "response_code", what)?.unwrap_or(start.response_code),
        response_error: text_field(table, "response_error", what)?,
        response_body: text_field(table, "response_body", what)?,
        override_error: field(table, "override_error", what)?.unwrap_or_default(),
        headers: headers
            .map(|headers| to_map(&headers, "return_overrides.headers"))
            .transpose()?
            .unwrap_or_default(),
    })
}
