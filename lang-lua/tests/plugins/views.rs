//! The ways in which Lua code may read and change what it is given.

use std::sync::Arc;

use crate::plugin::Fixture;
use bytes::Bytes;
use coprocess_core::{HookType, Object, Response, Session, Spec};
use http::{HeaderMap, HeaderValue};

/// What a hook with this body makes of an object.
pub(crate) fn after(hook_type: HookType, body: &str, prepare: impl FnOnce(&mut Object)) -> Object {
    let arguments = match hook_type {
        HookType::CustomKeyCheck => "request, session, metadata, spec",
        HookType::Response => "request, response, session, metadata, spec",
        _ => "request, session, spec",
    };
    let fixture = Fixture::new(&format!("function hook({arguments})\n{body}\nend"));
    let mut object = fixture.object("hook", hook_type);
    prepare(&mut object);
    match fixture.dispatch(object) {
        Ok(object) => object,
        Err(error) => panic!("{body}: {error}"),
    }
}

pub(crate) fn pre(body: &str) -> Object {
    after(HookType::Pre, body, |_| ())
}

#[test]
fn headers_can_be_set_in_each_style() {
    for style in [
        "request.set_headers['X-A'] = 'set'",
        "request.set_headers = { ['X-A'] = 'set' }",
        "request:set_header('X-A', 'set')",
        "request:add_header('X-A', 'set')",
        "tyk.req.set_header('X-A', 'set')",
        "request:set_header('X-A', 'first') request.set_headers['X-A'] = 'set'",
        "request.set_headers['X-A'] = 'first' request:set_header('X-A', 'set')",
        "local set = request.set_headers set['X-A'] = 'set'",
        "request.set_headers['X-B'] = 1 request.set_headers['X-B'] = nil request:set_header('X-A', 'set')",
    ] {
        let object = pre(&format!("{style}\nreturn request, session"));
        let set: Vec<_> = object.request.set_headers.into_iter().collect();
        assert_eq!(set, [("X-A".to_owned(), "set".to_owned())], "{style}");
    }
    let object =
        pre("request.set_headers['X-A'] = 1 request:set_header('X-B', 2.5) return request");
    assert_eq!(object.request.set_headers["X-A"], "1");
    assert_eq!(object.request.set_headers["X-B"], "2.5");
}

#[test]
fn headers_can_be_deleted_in_each_style() {
    for style in [
        "request.delete_headers = { 'X-A', 'X-B' }",
        "table.insert(request.delete_headers, 'X-A') table.insert(request.delete_headers, 'X-B')",
        "request:delete_header('X-A') request:delete_header('X-B')",
        "tyk.req.clear_header('X-A') tyk.req.clear_header('X-B')",
        "request:delete_header('X-A') request.delete_headers[2] = 'X-B'",
        "request.delete_headers[1] = 'X-A' request:delete_header('X-B')",
    ] {
        let object = pre(&format!("{style}\nreturn request, session"));
        assert_eq!(object.request.delete_headers, ["X-A", "X-B"], "{style}");
    }
}

#[test]
fn a_list_that_is_an_empty_table_is_empty() {
    let object = pre("request.delete_headers = {} request.add_params = {} return request");
    assert!(object.request.delete_headers.is_empty());
    assert!(object.request.add_params.is_empty());
}

#[test]
fn headers_can_be_listed_and_looked_up() {
    let list = "local names = {}\n\
                for name, value in LIST do names[#names + 1] = name .. '=' .. value end\n\
                table.sort(names)\n\
                request:set_header('X-All', table.concat(names, ' '))\nreturn request";
    for way in [
        "pairs(request.headers)",
        "next, request.headers",
        "pairs(tyk.req.get_headers())",
    ] {
        let object = pre(&list.replace("LIST", way));
        let all = &object.request.set_headers["X-All"];
        assert_eq!(all, "Host=api.example.com X-Request-Id=id-1", "{way}");
    }
    let object = pre(
        "request:set_header('X-A', request.headers['X-Request-Id'])\n\
                      request:set_header('X-B', request.headers['x-request-id'])\n\
                      request:set_header('X-C', tostring(request.headers['X-None']))\n\
                      request:set_header('X-D', tostring(request.headers['not a name']))\n\
                      request:set_header('X-E', tostring(request.headers[1]))\nreturn request",
    );
    let values: Vec<_> = object.request.set_headers.values().collect();
    assert_eq!(values, ["id-1", "id-1", "nil", "nil", "nil"]);
}

#[test]
fn editing_what_only_shows_has_no_effect() {
    let object = pre(
        "request.headers['X-Request-Id'] = 'other' request.headers['Host'] = nil\n\
                      request.params['a'] = '2' request.scheme = 'https'\nreturn request",
    );
    assert_eq!(object.request.headers["x-request-id"], "id-1");
    assert_eq!(object.request.headers.len(), 2);
    assert!(object.request.set_headers.is_empty());
    assert_eq!(object.request.scheme, "http");
}

#[test]
fn a_returned_copy_counts_like_the_original() {
    let object = pre(
        "local copy = {}\nfor field, value in pairs(request) do copy[field] = value end\n\
                      copy.set_headers = { ['X-A'] = copy.url }\ncopy.method = 'PATCH'\n\
                      return copy, session",
    );
    assert_eq!(object.request.set_headers["X-A"], "/things?a=1");
    assert_eq!(object.request.method, "PATCH");
    assert_eq!(object.request.url, None);
    assert_eq!(object.request.raw_body, "body");
    assert_eq!(object.request.return_overrides.response_code, -1);
    let object = pre("return { delete_params = { 'a' } }, {}");
    assert_eq!(object.request.delete_params, ["a"]);
}

#[test]
fn only_the_bytes_of_a_body_count() {
    for (code, body) in [
        ("request.body = 'new'", "body"),
        ("request.raw_body = 'new'", "new"),
        ("request.body = 'text' request.raw_body = 'bytes'", "bytes"),
        ("request.body = request.body .. '!'", "body"),
        ("request.raw_body = request.body .. '!'", "body!"),
        ("request.raw_body = ''", ""),
    ] {
        let object = pre(&format!("{code} return request"));
        assert_eq!(object.request.raw_body, body, "{code}");
    }
}

#[test]
fn a_body_that_did_not_change_stays_shared() {
    let body = Bytes::from(vec![b'x'; 100]);
    let shared = body.clone();
    let object = after(
        HookType::Pre,
        "request.raw_body = request.raw_body return request",
        |object| object.request.raw_body = body,
    );
    assert_eq!(object.request.raw_body.as_ptr(), shared.as_ptr());
}

#[test]
fn return_overrides_can_be_given_in_part() {
    let object = pre("request.return_overrides.response_code = 401 return request");
    let overrides = object.request.return_overrides;
    assert_eq!(
        (overrides.response_code, overrides.override_error),
        (401, false)
    );
    let object = pre("local code = request.return_overrides.response_code return request");
    assert_eq!(object.request.return_overrides, Default::default());
}

#[test]
fn return_overrides_come_back_whatever_the_types_of_their_values() {
    let all = "response_error = 'e', response_body = 'b', override_error = true";
    // Texts are taken the short way, numbers for texts and unknown fields the long one.
    for headers in ["A = '1', B = '2'", "A = '1', B = 2", "A = 1, B = 2"] {
        for more in ["", ", other = {}", ", response_code = 400.0"] {
            let object = pre(&format!(
                "request.return_overrides = {{ response_code = 400, {all}, headers = {{ {headers} }}{more} }}\n\
                 return request"
            ));
            let overrides = object.request.return_overrides;
            let texts = (&*overrides.response_error, &*overrides.response_body);
            assert_eq!(texts, ("e", "b"), "{headers}{more}");
            assert_eq!(
                (overrides.response_code, overrides.override_error),
                (400, true)
            );
            let mut headers: Vec<_> = overrides.headers.into_iter().collect();
            headers.sort();
            let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            assert_eq!(headers, [pair("A", "1"), pair("B", "2")]);
        }
    }
}

#[test]
fn session_and_metadata_edits_come_back() {
    let prepare = |object: &mut Object| {
        let mut session = Session::default();
        session.metadata.insert("plan".to_owned(), "old".to_owned());
        session.metadata.insert("kept".to_owned(), "yes".to_owned());
        object.session = Some(Box::new(session));
    };
    let metadata = |body: &str| {
        let object = after(HookType::Post, body, prepare);
        let mut pairs: Vec<_> = object.session.unwrap().metadata.into_iter().collect();
        pairs.sort();
        pairs
    };
    let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        let owned = list
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        owned.collect()
    };
    for (body, expected) in [
        (
            "session.metadata.plan = 'new'",
            pairs(&[("kept", "yes"), ("plan", "new")]),
        ),
        ("session.metadata['plan'] = nil", pairs(&[("kept", "yes")])),
        ("session.metadata = { a = 'b' }", pairs(&[("a", "b")])),
        (
            "session.metadata.n = session.metadata.kept",
            pairs(&[("kept", "yes"), ("n", "yes"), ("plan", "old")]),
        ),
        (
            "for key in pairs(session.metadata) do session.metadata[key] = nil end",
            pairs(&[]),
        ),
        (
            "local unused = session.metadata.plan",
            pairs(&[("kept", "yes"), ("plan", "old")]),
        ),
        (
            "for field, value in pairs(session) do end",
            pairs(&[("kept", "yes"), ("plan", "old")]),
        ),
    ] {
        assert_eq!(
            metadata(&format!("{body} return request, session")),
            expected,
            "{body}"
        );
    }
}

#[test]
fn an_auth_hook_may_return_less_or_something_else() {
    let token = |body: &str| {
        let object = after(HookType::CustomKeyCheck, body, |_| ());
        object
            .session
            .map(|session| session.metadata.get("token").cloned())
    };
    let found = Some(Some("t".to_owned()));
    for (body, expected) in [
        (
            "metadata.token = 't' return request, session, metadata",
            found.clone(),
        ),
        (
            "metadata.token = 't' return request, session",
            found.clone(),
        ),
        (
            "session.metadata.token = 't' return request, session, metadata",
            found.clone(),
        ),
        ("return request, session, { token = 't' }", found.clone()),
        (
            "return request, { metadata = { token = 't' }, rate = 1 }",
            found.clone(),
        ),
        ("metadata.token = 't' return request, {}, metadata", found),
        ("return request, session, metadata", Some(None)),
        ("metadata.token = 't' return request", None),
    ] {
        assert_eq!(token(body), expected, "{body}");
    }
}

#[test]
fn spec_can_be_listed_and_is_new_for_each_call() {
    let prepare = |object: &mut Object| {
        object.spec = Arc::new(Spec {
            api_id: "api".to_owned(),
            org_id: "org".to_owned(),
            bundle_hash: "hash".to_owned(),
            config_data: None,
            ..Spec::default()
        });
    };
    let body = "local n = 0 for key, value in pairs(spec) do n = n + 1 end\n\
                spec.APIID = 'changed' request:set_header('X-N', tostring(n))\n\
                request:set_header('X-Config', tostring(spec.config_data)) return request";
    let object = after(HookType::Pre, body, prepare);
    assert_eq!(object.request.set_headers["X-N"], "3");
    assert_eq!(object.request.set_headers["X-Config"], "nil");
    assert_eq!(object.spec.api_id, "api");
}

#[test]
fn response_headers_can_be_edited_in_each_style() {
    let prepare = |object: &mut Object| {
        let mut headers = HeaderMap::new();
        headers.append("x-a", HeaderValue::from_static("1"));
        headers.append("x-a", HeaderValue::from_static("2"));
        object.session = Some(Box::default());
        object.response = Some(Box::new(Response {
            status_code: 200,
            headers,
            edited_headers: None,
            header_edits: Vec::new(),
            raw_body: Bytes::from_static(b"body"),
            raw_body_only: false,
        }));
    };
    // What is only set is in the headers already.
    let edited = |body: &str| {
        let response = after(HookType::Response, body, prepare).response.unwrap();
        let is_set = response.headers.len() > 2;
        response
            .edited()
            .or_else(|| is_set.then(|| response.header_views()))
    };
    assert_eq!(edited("return response"), None);
    assert_eq!(
        edited("local a = response.headers['X-A'] return response"),
        None
    );
    for body in [
        "response.headers['X-B'] = 'b' return response",
        "response.headers['X-B'] = 'b' return request, session",
        "return { headers = { ['X-A'] = '1', ['X-B'] = 'b' } }",
        "for name in pairs(response.headers) do end response.headers['X-B'] = 'b' return response",
    ] {
        let views = edited(body).unwrap();
        assert_eq!(views.headers["X-A"], "1", "{body}");
        assert_eq!(views.headers["X-B"], "b", "{body}");
        assert_eq!(views.multivalue_headers[0].values, ["1", "2"], "{body}");
    }
    let views = edited("response.headers['X-A'] = nil return response").unwrap();
    assert!(views.headers.is_empty());
}

#[test]
fn storage_failures_are_told_not_raised() {
    let object = pre(
        "local stored, problem = tyk.store_data('key', 'value', 1)\n\
                      request:set_header('X-A', tostring(stored) .. ' ' .. problem) return request",
    );
    let told = &object.request.set_headers["X-A"];
    assert_eq!(told, "false store_data(\"key\"): storage: away");
}

#[test]
fn json_can_be_read_and_written() {
    let object = after(
        HookType::Pre,
        "local cjson = require('cjson')\nlocal data = cjson.decode(request.body)\n\
         data.list[#data.list + 1] = data.none == cjson.null\n\
         request.raw_body = cjson.encode(data)\n\
         request:set_header('X-Headers', cjson.encode(request.headers))\n\
         request:set_header('X-Error', select(2, require('cjson.safe').decode('{')))\n\
         return request",
        |object| object.request.raw_body = Bytes::from_static(br#"{"list":[1,"a"],"none":null}"#),
    );
    let body: serde_json::Value = serde_json::from_slice(&object.request.raw_body).unwrap();
    assert_eq!(
        body,
        serde_json::json!({"list": [1, "a", true], "none": null})
    );
    let headers = &object.request.set_headers["X-Headers"];
    let headers: serde_json::Value = serde_json::from_str(headers).unwrap();
    assert_eq!(headers["X-Request-Id"], "id-1");
    let error = &object.request.set_headers["X-Error"];
    assert!(error.starts_with("not JSON: EOF"), "{error}");
}

#[test]
fn what_is_not_plain_text_is_taken_as_before() {
    let prepare = |object: &mut Object| {
        let value = HeaderValue::from_bytes(b"a\xffb").unwrap();
        object.request.headers.insert("x-bytes", value);
    };
    let object = after(
        HookType::Pre,
        "local shown = request:get_header('x-bytes')\n\
         assert(shown == 'a\\239\\191\\189b' and request.headers['X-Bytes'] == shown)\n\
         assert(request:get_header('not a name') == nil and request:get_header('\\255') == nil)\n\
         assert(request:get_header('X-REQUEST-ID') == 'id-1')\n\
         request:set_header('X-A', 5)\n\
         for _, call in ipairs({\n\
           function() request:set_header('X-C', {}) end,\n\
           function() request:set_header('X-C', '\\255') end,\n\
           function() request:set_header(nil, 'x') end,\n\
           function() request:get_header({}) end,\n\
         }) do assert(not pcall(call)) end\n\
         request.set_headers['X-B'] = 6.5 request.raw_body = 7\n\
         return request",
        prepare,
    );
    let set: Vec<_> = object.request.set_headers.into_iter().collect();
    let expected = [("X-A", "5"), ("X-B", "6.5")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(set, expected);
    assert_eq!(object.request.raw_body, "7");
    let fixture =
        Fixture::new("function hook(request) request.set_headers['X'] = {} return request end");
    let error = fixture.run("hook").unwrap_err().to_string();
    assert!(error.contains("set_headers: "), "{error}");
}
