//! The functions below the Lua views: they read and change the object of the current call.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use coprocess_core::{
    Host, LogLevel, Object, Request, Response, Session, StringMap, canonical_name,
};
use http::{HeaderName, Method, Version};
use mlua::{Error, FromLuaMulti, IntoLuaMulti, Lua, LuaString, Table, Value};

use crate::budget;
use crate::convert::{
    from_headers, header_text, named, to_header_list, to_list, to_map, to_overrides,
};
use crate::raw::tables::{from_header_list, from_list, from_map, from_overrides, from_pairs};
use crate::raw::{current, fast, json};
use crate::{DRIVER, patterns, session};

/// How much of the C stack a hook may use. A thread that runs Lua needs this, one level more
/// (about 20 KiB) and what it has in use when the hook begins.
const STACK_BUDGET: usize = 512 << 10;

/// What the functions of one VM share: the call that goes on, and the gateway.
pub(crate) struct Calls {
    stack_base: Cell<usize>,
    memory_limit: usize,
    host: Arc<dyn Host>,
}

impl Calls {
    pub(crate) fn new(host: Arc<dyn Host>, memory_limit: usize) -> Rc<Self> {
        Rc::new(Self {
            stack_base: Cell::new(0),
            memory_limit,
            host,
        })
    }

    /// Notes where the C stack stands as plugin code is entered, and what it may copy.
    pub(crate) fn enter(&self) {
        budget::start(self.memory_limit);
        self.stack_base.set(stack_position());
    }

    fn check_stack(&self) -> mlua::Result<()> {
        if self.stack_base.get().abs_diff(stack_position()) > STACK_BUDGET {
            return Err(failure(
                "stack overflow (calls through C functions are too deep)",
            ));
        }
        Ok(())
    }
}

fn stack_position() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&here)).addr()
}

fn failure(text: impl Into<String>) -> Error {
    Error::RuntimeError(text.into())
}

/// The table of all functions, for the Lua files of this crate.
pub(crate) fn table(lua: &Lua, calls: &Rc<Calls>) -> mlua::Result<Table> {
    let natives = Natives {
        lua,
        calls,
        table: lua.create_table()?,
    };
    request_readers(&natives)?;
    request_writers(&natives)?;
    additions(&natives)?;
    response(&natives)?;
    caller(&natives)?;
    host(&natives)?;
    let check = Rc::clone(calls);
    let check = lua.create_function(move |_, ()| check.check_stack())?;
    natives.table.raw_set("check_stack", check)?;
    natives
        .table
        .raw_set("find", lua.create_function(patterns::find)?)?;
    json::add_to(lua, &natives.table)?;
    fast::add_to(lua, &natives.table)?;
    Ok(natives.table)
}

struct Natives<'a> {
    lua: &'a Lua,
    calls: &'a Rc<Calls>,
    table: Table,
}

impl Natives<'_> {
    /// Adds a function over the current object.
    fn object<A: FromLuaMulti, R: IntoLuaMulti>(
        &self,
        name: &str,
        function: impl Fn(&Lua, &mut Object, A) -> mlua::Result<R> + 'static,
    ) -> mlua::Result<()> {
        let function = self.lua.create_function(move |lua, arguments| {
            current::with(|object| function(lua, object, arguments))
                .unwrap_or_else(|| Err(failure("no hook is running")))
        })?;
        self.table.raw_set(name, function)
    }

    /// Adds a function over the current request.
    fn request<A: FromLuaMulti, R: IntoLuaMulti>(
        &self,
        name: &str,
        function: impl Fn(&Lua, &mut Request, A) -> mlua::Result<R> + 'static,
    ) -> mlua::Result<()> {
        self.object(name, move |lua, object, arguments| {
            function(lua, &mut object.request, arguments)
        })
    }

    /// Adds a function over the current response.
    fn response<A: FromLuaMulti, R: IntoLuaMulti>(
        &self,
        name: &str,
        function: impl Fn(&Lua, &mut Response, A) -> mlua::Result<R> + 'static,
    ) -> mlua::Result<()> {
        self.object(name, move |lua, object, arguments| {
            match &mut object.response {
                Some(response) => function(lua, response, arguments),
                None => Err(failure("this hook has no response")),
            }
        })
    }

    /// Adds a function over the gateway.
    fn host<A: FromLuaMulti, R: IntoLuaMulti>(
        &self,
        name: &str,
        function: impl Fn(&Lua, &dyn Host, A) -> mlua::Result<R> + 'static,
    ) -> mlua::Result<()> {
        let host = Arc::clone(&self.calls.host);
        let function = self
            .lua
            .create_function(move |lua, arguments| function(lua, host.as_ref(), arguments))?;
        self.table.raw_set(name, function)
    }
}

fn request_readers(natives: &Natives<'_>) -> mlua::Result<()> {
    natives.request("url", |lua, r, ()| lua.create_string(r.url()))?;
    natives.request("method", |lua, r, ()| lua.create_string(r.method.as_str()))?;
    natives.request("request_uri", |lua, r, ()| {
        lua.create_string(r.request_uri())
    })?;
    natives.request("scheme", |lua, r, ()| lua.create_string(r.scheme))?;
    natives.request("body", |lua, r, ()| lua.create_string(r.body()))?;
    natives.request("raw_body", |lua, r, ()| lua.create_string(&r.raw_body))?;
    natives.request("headers", |lua, r, ()| from_headers(lua, &r.headers))?;
    natives.request("params", |lua, r, ()| from_map(lua, &r.params()))?;
    natives.request("set_headers", |lua, r, ()| from_map(lua, &r.set_headers))?;
    natives.request("add_params", |lua, r, ()| from_map(lua, &r.add_params))?;
    natives.request("set_header_value", |lua, r, name: LuaString| {
        value_of(lua, &r.set_headers, &name)
    })?;
    natives.request("add_param_value", |lua, r, name: LuaString| {
        value_of(lua, &r.add_params, &name)
    })?;
    natives.request("extended_params", |lua, r, ()| {
        from_map(lua, &r.extended_params)
    })?;
    natives.request("delete_headers", |lua, r, ()| {
        from_list(lua, &r.delete_headers)
    })?;
    natives.request("delete_params", |lua, r, ()| {
        from_list(lua, &r.delete_params)
    })?;
    natives.request("return_overrides", |lua, r, ()| {
        from_overrides(lua, &r.return_overrides)
    })?;
    natives.request("get_header", |lua, r, name: LuaString| {
        header_text(lua, &r.headers, &name)
    })
}

/// What plugins see beyond the original's message, and what its Lua functions tell.
fn additions(natives: &Natives<'_>) -> mlua::Result<()> {
    natives.request("request_multivalue_headers", |lua, r, ()| {
        from_header_list(lua, &r.multivalue_headers())
    })?;
    natives.request("client_address", |lua, r, ()| {
        let address = r.client_address.map(|address| address.to_string());
        address.map(|text| lua.create_string(text)).transpose()
    })?;
    natives.request("client_certificate", |lua, r, ()| {
        let shown = r.client_certificate.as_deref();
        from_map(lua, shown.unwrap_or(&StringMap::new()))
    })?;
    natives.request("request_id", |lua, r, ()| {
        lua.create_string(r.request_id.to_string())
    })?;
    natives.request("start_time", |_, r, ()| {
        let received = r.received.unwrap_or_else(SystemTime::now);
        let since = received.duration_since(SystemTime::UNIX_EPOCH);
        Ok(since.unwrap_or_default().as_secs_f64())
    })?;
    natives.request("http_version", |_, r, ()| {
        Ok(match r.version {
            Version::HTTP_09 => 0.9,
            Version::HTTP_10 => 1.0,
            Version::HTTP_2 => 2.0,
            Version::HTTP_3 => 3.0,
            _ => 1.1,
        })
    })?;
    natives.object("listen_path", |lua, object, ()| {
        lua.create_string(&object.spec.listen_path)
    })?;
    natives.object("hook_type", |_, object, ()| Ok(object.hook_type as i32))?;
    natives.object("hook_name", |lua, object, ()| {
        lua.create_string(&*object.hook_name)
    })
}

fn value_of(lua: &Lua, map: &StringMap, name: &LuaString) -> mlua::Result<Option<LuaString>> {
    let value = name.to_str().ok().and_then(|name| map.get(&name));
    value.map(|value| lua.create_string(value)).transpose()
}

fn request_writers(natives: &Natives<'_>) -> mlua::Result<()> {
    natives.request("set_header", |_, r, (name, value): (String, String)| {
        budget::charge(name.len() + value.len())?;
        r.set_headers.insert(name, value);
        Ok(())
    })?;
    natives.request("add_param", |_, r, (name, value): (String, String)| {
        budget::charge(name.len() + value.len())?;
        r.add_params.insert(name, value);
        Ok(())
    })?;
    natives.request("delete_header", |_, r, name: String| {
        budget::charge(name.len())?;
        r.delete_headers.push(name);
        Ok(())
    })?;
    natives.request("delete_param", |_, r, name: String| {
        budget::charge(name.len())?;
        r.delete_params.push(name);
        Ok(())
    })?;
    natives.request("put_set_headers", |_, r, (table, all): (Table, bool)| {
        put_map(&mut r.set_headers, to_map(&table, "set_headers")?, all);
        Ok(())
    })?;
    natives.request("put_add_params", |_, r, (table, all): (Table, bool)| {
        put_map(&mut r.add_params, to_map(&table, "add_params")?, all);
        Ok(())
    })?;
    natives.request("put_extended_params", |_, r, map| {
        r.extended_params = to_map(&map, "extended_params")?;
        Ok(())
    })?;
    natives.request("put_delete_headers", |_, r, list| {
        r.delete_headers = to_list(&list, "delete_headers")?;
        Ok(())
    })?;
    natives.request("put_delete_params", |_, r, list| {
        r.delete_params = to_list(&list, "delete_params")?;
        Ok(())
    })?;
    natives.request("put_return_overrides", |_, r, table| {
        r.return_overrides = to_overrides(&table)?;
        Ok(())
    })?;
    natives.request("put_raw_body", |_, r, body: LuaString| {
        replace_body(&mut r.raw_body, &body.as_bytes())
    })?;
    natives.request("put_url", |_, r, url: String| {
        if url != r.url() {
            r.url = Some(url);
        }
        Ok(())
    })?;
    natives.request("put_method", |_, r, method: LuaString| {
        r.method = Method::from_bytes(&method.as_bytes())
            .map_err(|error| failure(format!("request.method: {error}")))?;
        Ok(())
    })
}

/// Takes what a plugin left in a map: all of it, or what it added to a map it did not list.
pub(crate) fn put_map(
    map: &mut StringMap,
    new: impl IntoIterator<Item = (String, String)>,
    all: bool,
) {
    if all {
        *map = new.into_iter().collect();
    } else {
        map.extend(new);
    }
}

/// A body that did not change stays shared with the gateway.
pub(crate) fn replace_body(body: &mut Bytes, new: &[u8]) -> mlua::Result<()> {
    if *body != new {
        budget::charge(new.len())?;
        *body = Bytes::copy_from_slice(new);
    }
    Ok(())
}

fn response(natives: &Natives<'_>) -> mlua::Result<()> {
    natives.response("status_code", |_, r, ()| Ok(r.status_code))?;
    natives.response("response_body", |lua, r, ()| lua.create_string(r.body()))?;
    natives.response("response_raw_body", |lua, r, ()| {
        lua.create_string(&r.raw_body)
    })?;
    natives.response("header_name", |_, _, name: String| Ok(known_name(&name)))?;
    natives.response("response_header", |lua, r, name: LuaString| {
        match r.edited() {
            Some(edited) => value_of(lua, &edited.headers, &name),
            None => header_text(lua, &r.headers, &name),
        }
    })?;
    natives.response("response_headers", |lua, r, ()| match r.edited() {
        Some(edited) => from_map(lua, &edited.headers),
        None => from_headers(lua, &r.headers),
    })?;
    natives.response("multivalue_headers", |lua, r, ()| match r.edited() {
        Some(edited) => from_header_list(lua, &edited.multivalue_headers),
        None => from_header_list(lua, &r.header_views().multivalue_headers),
    })?;
    natives.response("put_status_code", |_, r, code| {
        r.status_code = code;
        Ok(())
    })?;
    natives.response("put_response_body", |_, r, body: LuaString| {
        replace_body(&mut r.raw_body, &body.as_bytes())
    })?;
    natives.response(
        "put_response_headers",
        |_, r, (headers, all): (Table, bool)| {
            let map = to_map(&headers, "response.headers")?;
            let map = map
                .into_iter()
                .map(|(name, value)| (known_name(&name), value));
            edit_headers(r, map, all);
            Ok(())
        },
    )?;
    natives.response("put_multivalue_headers", |_, r, list: Table| {
        let mut headers = to_header_list(&list)?;
        for header in &mut headers {
            // In any case, as in `headers`.
            header.key = known_name(&header.key);
        }
        r.edited_headers_mut().multivalue_headers = headers;
        Ok(())
    })
}

/// A header's name as plugins know it, from any case.
pub(crate) fn known_name(name: &str) -> String {
    match HeaderName::from_bytes(name.as_bytes()) {
        Ok(known) => canonical_name(&known).into_owned(),
        Err(_) => name.to_owned(),
    }
}

/// Takes over what a hook left of `response.headers`: all of it, or what was assigned.
pub(crate) fn edit_headers(
    response: &mut Response,
    new: impl IntoIterator<Item = (String, String)>,
    all: bool,
) {
    if all {
        response.edited_headers_mut().headers = new.into_iter().collect();
    } else {
        for (name, value) in new {
            response.edit_header(name, Some(value));
        }
    }
}

/// Session, metadata and spec.
fn caller(natives: &Natives<'_>) -> mlua::Result<()> {
    let empty = Session::default();
    natives.object("session_field", move |lua, object, name: LuaString| {
        let session = object.session.as_deref().unwrap_or(&empty);
        session::get(lua, session, &name.to_str()?)
    })?;
    natives.object(
        "put_session_field",
        |lua, object, (name, value): (LuaString, Value)| {
            let session = object.session.get_or_insert_default();
            session::set(lua, session, &name.to_str()?, value)
        },
    )?;
    let fields = natives.lua.create_sequence_from(session::names())?;
    natives.object("session_fields", move |_, _, ()| Ok(fields.clone()))?;
    natives.object("make_session", |_, object, ()| {
        object.session.get_or_insert_default();
        Ok(())
    })?;
    natives.object("drop_session", |_, object, ()| {
        object.session = None;
        Ok(())
    })?;
    natives.object(
        "metadata_value",
        |lua, object, name: LuaString| match &object.session {
            Some(session) => value_of(lua, &session.metadata, &name),
            None => Ok(None),
        },
    )?;
    natives.object("put_metadata", |_, object, (table, all): (Table, bool)| {
        let metadata = to_map(&table, "metadata")?;
        let session = object.session.get_or_insert_default();
        put_map(&mut session.metadata, metadata, all);
        Ok(())
    })?;
    natives.object("spec_value", |lua, object, name: LuaString| {
        let name = name.as_bytes();
        let found = object
            .spec
            .entries()
            .find(|(key, _)| key.as_bytes() == &*name);
        found.map(|(_, value)| lua.create_string(value)).transpose()
    })?;
    natives.object("spec", |lua, object, ()| {
        let entries: Vec<_> = object.spec.entries().collect();
        from_pairs(lua, &entries)
    })
}

/// What a plugin may ask of the gateway.
fn host(natives: &Natives<'_>) -> mlua::Result<()> {
    natives.host(
        "log",
        |_, host, (message, level): (LuaString, LuaString)| {
            budget::charge(message.as_bytes().len())?;
            let level = LogLevel::from_name(&level.to_str()?);
            host.log(level, DRIVER, &message.to_string_lossy());
            Ok(())
        },
    )?;
    natives.host(
        "trigger_event",
        |_, host, (name, payload): (String, String)| {
            budget::charge(name.len() + payload.len())?;
            host.emit_event(&name, &payload);
            Ok(())
        },
    )?;
    natives.host(
        "store_data",
        |_, host, (key, value, ttl): (String, LuaString, i64)| {
            budget::charge(key.len() + value.as_bytes().len())?;
            Ok(match host.store_data(&key, &value.as_bytes(), ttl) {
                Ok(()) => (true, None),
                Err(error) => (false, Some(report(host, "store_data", &key, &error))),
            })
        },
    )?;
    natives.host("get_data", |lua, host, key: String| {
        Ok(match host.get_data(&key) {
            Ok(Some(value)) => (Some(lua.create_string(&value)?), None),
            Ok(None) => (None, None),
            Err(error) => (None, Some(report(host, "get_data", &key, &error))),
        })
    })
}

/// A failure of the gateway's is logged, since plugins seldom look at the second result.
fn report(host: &dyn Host, function: &str, key: &str, error: &coprocess_core::HostError) -> String {
    let text = named(
        &format!("{function}(\"{key}\")"),
        &failure(error.to_string()),
    )
    .to_string();
    let text = text.trim_start_matches("runtime error: ").to_owned();
    host.log(LogLevel::Error, DRIVER, &text);
    text
}
