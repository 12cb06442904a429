//! What one call leaves for the next, and how its changes are put together.

use std::sync::Arc;

use crate::plugin::Fixture;
use coprocess_core::{DispatchError, HookType, Object, Response, Session, Spec};
use http::{HeaderMap, HeaderValue};

const KEEP: &str = "\
local kept
function keep(request, session)
  kept = { request.headers, request.set_headers, session.metadata, request }
  tyk.session.user, tyk.header = 'ada', 'h'
  global = 'g'
  return request, session
end
function keep_and_fail(request, session)
  keep(request, session)
  error('no more')
end
function clean(request)
  assert(next(tyk.session) == nil and tyk.header == nil and tyk.req)
  return request
end
local function refused(read)
  local ok, problem = pcall(read)
  assert(not ok and tostring(problem):find('that has ended', 1, true), tostring(problem))
end
function stale(request)
  refused(function() return kept[1].Host end)
  refused(function() return pairs(kept[1]) end)
  refused(function() kept[2].X = 'x' end)
  refused(function() return kept[3].user end)
  refused(function() return kept[4].url end)
  return request
end
function returns_stale(request)
  request.set_headers = kept[2]
  return request
end";

#[test]
fn what_a_plugin_notes_in_tyk_is_of_one_call() {
    let fixture = Fixture::new(KEEP);
    fixture.run("keep").unwrap();
    fixture.run("clean").unwrap();
    fixture.run("keep_and_fail").unwrap_err();
    fixture.run("clean").unwrap();
}

#[test]
fn more_headers_than_a_message_can_have_are_for_the_gateway_to_refuse() {
    let object =
        response_hook("for i = 1, 25000 do response.headers['X-A' .. i] = 'v' end return response");
    let response = object.response.unwrap();
    let (set, noted) = (response.headers.len(), response.header_edits.len());
    assert!(set > 20_000 && noted > 0, "{set} are set, {noted} noted");
    assert_eq!(set + noted, 25_002);
}

#[test]
fn views_end_with_their_call() {
    let fixture = Fixture::new(KEEP);
    fixture.run("keep").unwrap();
    fixture.run("stale").unwrap();
    fixture.run("keep_and_fail").unwrap_err();
    fixture.run("stale").unwrap();
    match fixture.run("returns_stale") {
        Err(DispatchError::Raised { message }) => assert!(message.contains("ended"), "{message}"),
        other => panic!("{other:?}"),
    }
}

const SPEC: &str = "\
local kept
local function hidden(read)
  local ok, problem = pcall(read)
  assert(not ok and tostring(problem):find('that has ended', 1, true), tostring(problem))
end
local function clean(spec, api)
  assert(spec.APIID == api and spec.mine == nil and rawget(spec, 'raw') == nil)
  assert(spec.OrgID == 'org')
end
function assigns(request, session, spec)
  clean(spec, 'one')
  kept, spec.mine, spec.OrgID = spec, 'x', 'changed'
  return request
end
function lists(request, session, spec)
  clean(spec, 'one')
  for name in pairs(spec) do spec[name] = 'changed' end
  spec.mine = 'x'
  return request
end
function sets_raw(request, session, spec)
  clean(spec, 'one')
  rawset(spec, 'raw', 'x')
  return request
end
function fails(request, session, spec)
  assigns(request, session, spec)
  error('no more')
end
function again(request, session, spec)
  clean(spec, 'one')
  return request
end
function reads_kept(request, session, spec)
  clean(spec, 'one')
  clean(kept, 'one')
  return request
end
function other(request, session, spec)
  clean(spec, 'two')
  assert(spec ~= kept)
  hidden(function() return kept.APIID end)
  hidden(function() kept.APIID = 'x' end)
  return request
end";

#[test]
fn a_spec_is_that_of_its_api_and_edits_of_it_end_with_the_call() {
    let fixture = Fixture::new(SPEC);
    let spec = |api: &str| {
        Arc::new(Spec {
            api_id: api.to_owned(),
            org_id: "org".to_owned(),
            ..Spec::default()
        })
    };
    let (one, two) = (spec("one"), spec("two"));
    let run = |name: &str, spec: &Arc<Spec>| {
        let mut object = fixture.object(name, HookType::Pre);
        object.spec = Arc::clone(spec);
        fixture.dispatch(object)
    };
    for before in ["assigns", "lists", "sets_raw", "again", "fails"] {
        assert_eq!(run(before, &one).is_err(), before == "fails", "{before}");
        run("again", &one).unwrap();
    }
    run("assigns", &one).unwrap();
    run("reads_kept", &one).unwrap();
    run("other", &two).unwrap();
    run("again", &one).unwrap();
    run("other", &two).unwrap();
}

fn response_hook(body: &str) -> Object {
    let fixture = Fixture::new(&format!("function hook(request, response)\n{body}\nend"));
    let mut object = fixture.object("hook", HookType::Response);
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("text/plain"));
    headers.insert("server", HeaderValue::from_static("s"));
    object.response = Some(Box::new(Response {
        status_code: 200,
        headers,
        edited_headers: None,
        header_edits: Vec::new(),
        raw_body: bytes::Bytes::new(),
        raw_body_only: false,
    }));
    match fixture.dispatch(object) {
        Ok(object) => object,
        Err(error) => panic!("{body}: {error}"),
    }
}

#[test]
fn response_headers_are_the_same_in_any_case() {
    for body in [
        "response.headers['content-type'] = 'x' response.headers['server'] = nil",
        "response.headers['server'] = nil response.headers['CONTENT-TYPE'] = 'x'",
        "for name in pairs(response.headers) do end\n\
         response.headers['SERVER'] = nil response.headers['content-type'] = 'x'\n\
         assert(response.headers['Content-type'] == 'x')",
        "response.headers['content-type'] = 'x' assert(response.headers['Content-Type'] == 'x')\n\
         for name in pairs(response.headers) do\n\
         if name:lower() == 'server' then response.headers[name] = nil end end",
        "response.headers = { ['content-type'] = 'x' }",
    ] {
        let object = response_hook(&format!("{body}\nreturn response"));
        let edited = object.response.unwrap().edited().unwrap().headers;
        let edited: Vec<_> = edited.into_iter().collect();
        let expected = [("Content-Type".to_owned(), "x".to_owned())];
        assert_eq!(edited, expected, "{body}");
    }
}

#[test]
fn what_was_assigned_can_be_deleted() {
    for body in [
        "metadata.a = 'x' metadata.a = nil",
        "metadata.b = 'y' metadata.a = 'x' metadata.a = nil metadata.a = nil",
        "metadata.a = nil metadata.a = 'x' metadata.a = nil",
    ] {
        let code = format!(
            "function hook(request, session)\nlocal metadata = session.metadata\n{body}\n\
             assert(metadata.a == nil and metadata.kept == 'k')\nreturn request, session\nend"
        );
        let fixture = Fixture::new(&code);
        let mut object = fixture.object("hook", HookType::Pre);
        let mut session = Session::default();
        for (key, value) in [("a", "1"), ("kept", "k")] {
            session.metadata.insert(key.to_owned(), value.to_owned());
        }
        object.session = Some(Box::new(session));
        let object = fixture.dispatch(object).unwrap();
        let metadata = &object.session.unwrap().metadata;
        assert!(!metadata.contains_key("a"), "{body}");
        assert_eq!(metadata["kept"], "k", "{body}");
    }
}

#[test]
fn a_view_can_be_assigned_where_another_is_expected() {
    let fixture = Fixture::new(
        "function hook(request) request.set_headers = request.headers return request end",
    );
    let object = fixture.run("hook").unwrap();
    assert_eq!(object.request.set_headers["X-Request-Id"], "id-1");
}

#[test]
fn metadata_is_one_table_however_it_is_reached() {
    for body in [
        "assert(metadata == session.metadata and metadata == object.metadata) metadata.token = 't'",
        "metadata.token = 't' assert(session.metadata.token == 't')",
        "session.metadata.token = 't' assert(metadata.token == 't')",
        "metadata.token = 'other' for key in pairs(session) do end session.metadata.token = 't'",
        "metadata.token = 'other' session.metadata = { token = 't' } metadata = nil",
        "session.metadata = nil metadata.token = 't'",
        "session.metadata.token = 'other' session.metadata = nil session.metadata.token = 't' metadata = nil",
    ] {
        let code = format!(
            "function hook(request, session, metadata)\n{body}\n\
             return request, session, metadata\nend"
        );
        let fixture = Fixture::new(&code);
        for _ in 0..3 {
            let object = fixture.object("hook", HookType::CustomKeyCheck);
            let object = fixture.dispatch(object).unwrap();
            let metadata = object.session.unwrap().metadata;
            assert_eq!(metadata["token"], "t", "{body}");
            assert_eq!(metadata.len(), 1, "{body}");
        }
    }
}

#[test]
fn the_session_of_tyk_is_listed_and_kept_for_one_call() {
    let fixture = Fixture::new(
        "local first = tyk.session\n\
         function hook(request)\n\
         local listed = {} for key in pairs(tyk) do listed[key] = true end\n\
         assert(listed.session and listed.req and listed.log)\n\
         assert(tyk.session == tyk.session and tyk.session ~= first and next(tyk.session) == nil)\n\
         first = tyk.session first.user = 'ada'\n\
         return request\nend",
    );
    for _ in 0..3 {
        fixture.run("hook").unwrap();
    }
}
