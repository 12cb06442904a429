//! What the original's Lua plugins find: its globals, its idioms, its JSON.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::views::{after, pre};
use coprocess_core::{HookType, Object, RequestId, Response, Session, Spec};
use http::{HeaderMap, HeaderValue, Version};

/// Runs code in which every assertion must hold.
fn holds(code: &str) {
    pre(&format!("{code}\nreturn request, session"));
}

#[test]
fn fields_that_may_be_absent_can_be_asked_for_and_made() {
    for field in ["set_headers", "add_params", "extended_params"] {
        let object = pre(&format!(
            "if request.{field} == nil then request.{field} = {{}} end\n\
             request.{field}['X-A'] = 'set'\n\
             request.{field} = request.{field} or {{}}\n\
             return request, session"
        ));
        let request = object.request;
        let maps = [
            &request.set_headers,
            &request.add_params,
            &request.extended_params,
        ];
        let set = maps.iter().filter(|map| map.get("X-A").is_some()).count();
        assert_eq!(set, 1, "{field}");
    }
    for field in ["delete_headers", "delete_params"] {
        let object = pre(&format!(
            "if not request.{field} then request.{field} = {{}} end\n\
             request.{field}[#request.{field} + 1] = 'X-A'\nreturn request, session"
        ));
        let lists = [object.request.delete_headers, object.request.delete_params];
        assert_eq!(lists.concat(), ["X-A"], "{field}");
    }
    let object = pre(
        "request.return_overrides = request.return_overrides or {}\n\
         request.return_overrides.headers = request.return_overrides.headers or {}\n\
         request.return_overrides.headers['X-A'] = 'set'\n\
         request.return_overrides.response_code = 403.0\nreturn request, session",
    );
    let overrides = object.request.return_overrides;
    assert_eq!(overrides.response_code, 403);
    assert_eq!(overrides.headers["X-A"], "set");
}

#[test]
fn the_functions_of_tyk_req_work_on_the_current_request() {
    let received = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
    for (version, shown) in [
        (Version::HTTP_10, "1"),
        (Version::HTTP_11, "1.1"),
        (Version::HTTP_2, "2"),
    ] {
        let object = after(
            HookType::Pre,
            "tyk.req.set_header('X-Seen', tyk.req.get_headers()['X-Request-Id'])\n\
             tyk.req.clear_header('X-One') tyk.req.clear_header('X-Two')\n\
             tyk.req.set_header('X-Version', tostring(tyk.req.http_version()))\n\
             tyk.req.set_header('X-Time', ('%.3f'):format(tyk.req.start_time()))\n\
             return request, session",
            |object| {
                object.request.version = version;
                object.request.received = Some(received);
            },
        );
        let request = object.request;
        assert_eq!(request.delete_headers, ["X-One", "X-Two"]);
        assert_eq!(request.set_headers["X-Seen"], "id-1");
        assert_eq!(request.set_headers["X-Version"], shown);
        assert_eq!(request.set_headers["X-Time"], "1700000000.250");
    }
}

#[test]
fn the_global_object_is_the_whole_message() {
    holds(
        "assert(object.hook_type == 1 and object.hook_name == 'hook')\n\
         assert(object.request == request and object.session == session)\n\
         assert(object.spec == spec and object.response == nil and object.other == nil)\n\
         assert(object.metadata == session.metadata)",
    );
    let object = pre("object.request.set_headers = { ['X-A'] = 'set' } return request");
    assert_eq!(object.request.set_headers["X-A"], "set");
    holds(
        "local names = {}\nfor name in pairs(object) do names[#names + 1] = name end\n\
         table.sort(names)\n\
         assert(table.concat(names, ' ') == 'hook_name hook_type metadata request session spec')\n\
         assert(next(object) ~= nil)\n\
         local ok, problem = pcall(function() object.request = {} end)\n\
         assert(not ok and problem:find('plugin.lua:7: `object.request` cannot be assigned', 1, true), problem)",
    );
    let object = after(
        HookType::Response,
        "assert(object.hook_type == 5 and object.response == response)\n\
         object.response.status_code = 202 return response",
        |object| object.response = Some(Box::new(response())),
    );
    assert_eq!(object.response.unwrap().status_code, 202);
}

#[test]
fn the_global_object_is_of_the_current_call_only() {
    let fixture = crate::plugin::Fixture::new(
        "local ok, problem = pcall(function() return object.request end)\n\
         assert(not ok and tostring(problem):find('no request is being handled', 1, true))\n\
         function hook(request) assert(object.request == request) return request end",
    );
    assert_eq!(fixture.plugin.problems(), [""; 0]);
    fixture.run("hook").unwrap();
    fixture.run("hook").unwrap();
}

#[test]
fn the_message_can_be_encoded_with_all_that_is_in_it() {
    let prepare = |object: &mut Object| {
        let mut session = Session::default();
        session
            .metadata
            .insert("plan".to_owned(), "gold".to_owned());
        object.session = Some(Box::new(session));
        object.spec = Arc::new(Spec {
            api_id: "api".to_owned(),
            ..Spec::default()
        });
    };
    let text = |code: &str| -> serde_json::Value {
        let body =
            format!("request.raw_body = require('cjson').encode({code})\nreturn request, session");
        let object = after(HookType::Post, &body, prepare);
        serde_json::from_slice(&object.request.raw_body).unwrap()
    };
    let message = text("object");
    assert_eq!(message["hook_type"], 2);
    assert_eq!(message["request"]["headers"]["X-Request-Id"], "id-1");
    assert_eq!(message["request"]["params"]["a"], "1");
    assert_eq!(message["session"]["metadata"]["plan"], "gold");
    assert_eq!(message["metadata"]["plan"], "gold");
    assert_eq!(message["spec"]["APIID"], "api");
    // Wherever a view is.
    let nested = text("{ a = { request.headers, session.metadata } }");
    assert_eq!(nested["a"][0]["Host"], "api.example.com");
    assert_eq!(nested["a"][1]["plan"], "gold");
}

#[test]
fn what_json_turned_into_tables_can_be_returned() {
    let object = pre("local cjson = require('cjson')\n\
         local made = cjson.decode('{\"set_headers\":{\"X-A\":\"1\"},\"delete_headers\":{},\
         \"add_params\":null,\"url\":null,\"return_overrides\":{\"response_code\":-1}}')\n\
         local caller = cjson.decode('{\"expires\":1.0e+3,\"quota_max\":5.0,\"rate\":1,\
         \"tags\":{},\"alias\":null,\"apply_policies\":[],\"metadata\":null}')\n\
         return made, caller");
    assert_eq!(object.request.set_headers["X-A"], "1");
    assert!(object.request.delete_headers.is_empty());
    assert_eq!(object.request.url, None);
    let session = object.session.unwrap();
    assert_eq!((session.expires, session.quota_max), (1000, 5));
    assert_eq!(session.alias, "");
}

#[test]
fn what_the_gateway_adds_is_shown_and_cannot_be_changed() {
    let prepare = |object: &mut Object| {
        object.request.client_address = Some("192.0.2.7".parse().unwrap());
        object.request.request_id = RequestId(7);
        let subject = [("subject".to_owned(), "CN=me".to_owned())];
        object.request.client_certificate = Some(Arc::new(subject.into()));
        let value = HeaderValue::from_static("b");
        object.request.headers.append("host", value);
        object.spec = Arc::new(Spec {
            listen_path: "/listen/".to_owned(),
            ..Spec::default()
        });
    };
    let object = after(
        HookType::Pre,
        "assert(request.client_address == '192.0.2.7')\n\
         assert(request.listen_path == '/listen/')\n\
         assert(request.request_id == ('0'):rep(31) .. '7')\n\
         local first = request.multivalue_headers[1]\n\
         assert(first.key == 'Host' and first.values[1] == 'api.example.com' and first.values[2] == 'b')\n\
         assert(request.client_certificate.subject == 'CN=me')\n\
         request.client_certificate = {}\n\
         request.client_address, request.listen_path, request.request_id = 'x', 'x', 'x'\n\
         request.multivalue_headers = {}\nreturn request",
        prepare,
    );
    assert_eq!(object.request.request_id, RequestId(7));
    assert_eq!(object.request.headers.get_all("host").iter().count(), 2);
    // A request that no client sent has no address.
    holds("assert(request.client_address == nil)");
    holds("assert(next(request.client_certificate) == nil)");
}

#[test]
fn multivalue_headers_are_the_same_in_any_case() {
    let object = after(
        HookType::Response,
        "table.insert(response.multivalue_headers, { key = 'x-new', values = { '1' } })\n\
         for _, header in ipairs(response.multivalue_headers) do header.key = header.key:lower() end\n\
         return response",
        |object| object.response = Some(Box::new(response())),
    );
    let edited = object.response.unwrap().edited().unwrap();
    let keys: Vec<_> = edited
        .multivalue_headers
        .iter()
        .map(|header| &*header.key)
        .collect();
    assert_eq!(keys, ["Set-Cookie", "X-New"]);
}

fn response() -> Response {
    let mut headers = HeaderMap::new();
    headers.insert("set-cookie", HeaderValue::from_static("a=1"));
    Response {
        status_code: 200,
        headers,
        edited_headers: None,
        header_edits: Vec::new(),
        raw_body: bytes::Bytes::new(),
        raw_body_only: false,
    }
}
