//! The C API from Lua: LuaJIT's `ffi`, where the operator allows it.

use std::process::Command;

use serde_json::json;
use test_harness::{Definition, GatewayBuilder, Upstream, native};

use crate::coprocess::native::Native;
use crate::{BINARY, gateway};

fn with_ffi(builder: GatewayBuilder) -> GatewayBuilder {
    builder.conf(json!({"coprocess_options": {"lua_allow_ffi": true}}))
}

const FFI: &str = r#"
local ffi = require("ffi")
ffi.cdef[[ void TykTriggerEvent(const char *event_name, const char *payload); ]]

function Call(request, session, spec)
  ffi.C.TykTriggerEvent("native", request:get_header("X-Payload"))
  return request, session
end
"#;

#[test]
fn ffi_finds_trigger_event_in_the_process() {
    Native::new()
        .with(with_ffi)
        .start("lua", "plugin.lua", FFI)
        .check();
}

const USES_LIBRARY: &str = r#"
local ffi = require("ffi")
ffi.cdef[[
  void relay_event(const char *name, const char *payload);
  void relay_round_trip(const char *name, const char *key, const char *value);
  void relay_nonsense(void);
]]
local relay = ffi.load("@LIBRARY@")

function Call(request, session, spec)
  local payload = request:get_header("X-Payload")
  if payload == "nonsense" then
    relay.relay_nonsense()
  elseif payload == "round trip" then
    relay.relay_round_trip("native", "a key", "a stored value: grüße")
  else
    relay.relay_event("native", payload)
  end
  return request, session
end
"#;

#[test]
fn a_c_library_calls_the_whole_api() {
    let setup = Native::new().with(with_ffi);
    let library = setup.relay();
    let source = USES_LIBRARY.replace("@LIBRARY@", &library.display().to_string());
    let mut running = setup.start("lua", "plugin.lua", &source);
    running.check();
    running.call("nonsense");
    running.call("round trip");
    running.assert_arrives("a stored value: grüße");
    running.check();
    assert!(running.gateway.is_running());
}

#[test]
fn ffi_is_not_there_unless_it_is_allowed() {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .lua("plugin.lua", FFI)
        .api(
            Definition::new("api")
                .driver("lua")
                .upstream(&upstream)
                .pre("Call"),
        )
        .start();
    gateway.get("/api/").assert_error(500, "Middleware error");
    assert!(upstream.take().is_empty());
    gateway.wait_for_log("ffi");
}

#[test]
fn every_exported_name_is_a_dynamic_symbol_of_the_binary() {
    let symbols = native::run(Command::new("nm").args(["-D", "--defined-only", BINARY]));
    for name in native::exported_names() {
        let found = symbols
            .lines()
            .any(|line| line.split_whitespace().last() == Some(&name));
        assert!(found, "{name} is not exported");
    }
}
