//! The annotations for editors say what a VM has: no name more, and none less.

use std::collections::{BTreeMap, BTreeSet};

use crate::plugin::Fixture;
use coprocess_core::{HookType, Response};
use http::HeaderMap;

const GATEWAY: &str = include_str!("../../kit/library/gateway.lua");
const CJSON: &str = include_str!("../../kit/library/cjson.lua");
const SAFE: &str = include_str!("../../kit/library/cjson/safe.lua");
/// Methods cannot be listed from within Lua.
const VIEWS: &str = include_str!("../../src/views.lua");

/// Writes what can be listed, one `class name` to a line.
const LIST: &str = r#"
function list(request, response, session, metadata, spec)
  local lines = {}
  local function add(class, value)
    for name in pairs(value) do
      lines[#lines + 1] = class .. " " .. name
    end
  end
  response.multivalue_headers = { { key = "X-A", values = { "1" } } }
  session.access_rights = { a = { api_name = "", api_id = "", versions = {}, allowed_urls = {} } }
  add("tyk.Header", request.multivalue_headers[1])
  add("tyk.ReturnOverrides", request.return_overrides)
  add("tyk.Request", request)
  add("tyk.Response", response)
  add("tyk.Session", session)
  add("tyk.Object", object)
  add("tyk.Req", tyk.req)
  add("tyk.Lib", tyk)
  add("cjson.Lib", require("cjson"))
  response.raw_body = table.concat(lines, "\n")
  return response
end
"#;

type Names = BTreeMap<String, BTreeSet<String>>;

fn annotated(text: &str) -> Names {
    let mut names = Names::new();
    let mut class = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("---@class ") {
            class = name.split(':').take(1).collect();
        } else if let Some(field) = line.strip_prefix("---@field ") {
            let name = field.split(' ').take(1).collect::<String>();
            assert!(
                names.entry(class.clone()).or_default().insert(name),
                "{line} is there twice"
            );
        }
    }
    names
}

fn listed() -> Names {
    let fixture = Fixture::new(LIST);
    let mut object = fixture.object("list", HookType::Response);
    object.request.client_address = Some(std::net::Ipv4Addr::LOCALHOST.into());
    object.response = Some(Box::new(Response {
        status_code: 200,
        headers: HeaderMap::new(),
        edited_headers: None,
        header_edits: Vec::new(),
        raw_body: bytes::Bytes::new(),
        raw_body_only: false,
    }));
    let object = fixture
        .dispatch(object)
        .unwrap_or_else(|error| panic!("{error}"));
    let body = object.response.expect("it is a response hook").raw_body;
    let mut names = Names::new();
    for line in String::from_utf8_lossy(&body).lines() {
        let (class, name) = line.split_once(' ').expect("a class and a name");
        names
            .entry(class.to_owned())
            .or_default()
            .insert(name.to_owned());
    }
    let methods = VIEWS.lines().filter_map(|line| {
        let rest = line
            .strip_prefix("function Request.")
            .or_else(|| line.strip_prefix("Request."));
        rest?.split(['(', ' ']).next()
    });
    let request = names.entry("tyk.Request".to_owned()).or_default();
    request.extend(methods.map(str::to_owned));
    names
}

#[test]
fn every_annotated_name_exists_and_every_name_is_annotated() {
    let (mut annotated, mut listed) = (annotated(&format!("{GATEWAY}\n{CJSON}")), listed());
    // It is nil until a plugin assigns it.
    assert!(annotated.get_mut("tyk.Lib").unwrap().remove("header"));
    // Parts of the session, which its own tests compare field by field.
    for class in ["tyk.AccessDefinition", "tyk.AccessSpec"] {
        annotated.remove(class).unwrap();
    }
    for (class, names) in &mut listed {
        assert_eq!(annotated.remove(class).as_ref(), Some(&*names), "{class}");
    }
    assert!(annotated.is_empty(), "no VM was asked for {annotated:?}");
}

#[test]
fn annotated_methods_and_functions_can_be_called() {
    let mut code = "function hook(request)\nlocal cjson = require('cjson')\n".to_owned();
    for line in GATEWAY.lines().chain(CJSON.lines()) {
        let Some((name, rest)) = line
            .strip_prefix("---@field ")
            .and_then(|field| field.split_once(' '))
        else {
            continue;
        };
        if rest.starts_with("fun(") {
            let of = |table: &str| format!("({table} and type({table}.{name}) == 'function')");
            let found = ["request", "tyk", "tyk.req", "cjson"].map(of).join(" or ");
            code.push_str(&format!("assert({found}, '{name}')\n"));
        }
    }
    let fixture = Fixture::new(&format!("{code}\nreturn request\nend"));
    fixture
        .run("hook")
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_kit_is_lua() {
    for text in [GATEWAY, CJSON, SAFE] {
        assert_eq!(Fixture::new(text).plugin.problems(), [""; 0]);
    }
}
