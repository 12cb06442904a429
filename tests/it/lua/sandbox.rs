//! What a Lua plugin is not given, and what helpers it is.

use test_harness::{Definition, Upstream};

use crate::gateway;

#[test]
fn what_could_end_or_subvert_the_process_is_not_there() {
    let upstream = Upstream::echo();
    let source = r#"
function Call(request, session, spec)
  local absent = {
    exit = os.exit, sethook = debug and debug.sethook, registry = debug and debug.getregistry,
  }
  for name in pairs(absent) do
    error(name .. " is there")
  end
  local loader = loadstring or load
  if loader and string.dump and loader(string.dump(function() end)) then
    error("bytecode is loaded")
  end
  if loader and loader("\27LJ\2\0") then
    error("bytecode is loaded")
  end
  return request, session
end
"#;
    let mut gateway = gateway()
        .lua("plugin.lua", source)
        .api(
            Definition::new("api")
                .driver("lua")
                .upstream(&upstream)
                .pre("Call"),
        )
        .start();
    let response = gateway.get("/api/");
    assert_eq!(response.status, 200, "{response:?}");
    assert!(gateway.is_running());
}

#[test]
fn the_older_helpers_work() {
    let upstream = Upstream::echo();
    let source = r#"
function Call(request, session, spec)
  tyk.req.set_header("customheader", "customvalue")
  tyk.req.clear_header("X-First")
  tyk.req.clear_header("X-Second")
  tyk.req.set_header("X-Copy", tyk.req.get_headers()["X-Third"])
  return request, session
end
"#;
    let gateway = gateway()
        .lua("plugin.lua", source)
        .api(
            Definition::new("api")
                .driver("lua")
                .upstream(&upstream)
                .pre("Call"),
        )
        .start();
    let request = test_harness::Request::get("/api/")
        .header("X-First", "1")
        .header("X-Second", "2")
        .header("X-Third", "3");
    assert_eq!(gateway.send(&request).status, 200);
    let seen = upstream.take_one();
    assert_eq!(seen.header("customheader"), Some("customvalue"));
    assert_eq!(
        (seen.header("X-First"), seen.header("X-Second")),
        (None, None)
    );
    assert_eq!(seen.header("X-Copy"), Some("3"));
}

#[test]
fn a_memory_hog_is_an_error_like_any_other() {
    let upstream = Upstream::echo();
    let source = r#"
function Call(request, session, spec)
  local held = {}
  while true do
    held[#held + 1] = string.rep("x", 1024 * 1024) .. #held
  end
end

function Works(request, session, spec)
  return request, session
end
"#;
    let api = |id: &str| Definition::new(id).driver("lua").upstream(&upstream);
    let mut gateway = gateway()
        .lua("plugin.lua", source)
        .api(api("hog").pre("Call"))
        .api(api("works").pre("Works"))
        .start();
    gateway.get("/hog/").assert_error(500, "Middleware error");
    assert_eq!(gateway.get("/works/").status, 200);
    assert!(gateway.is_running());
}
