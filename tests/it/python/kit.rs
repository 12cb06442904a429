//! The kit that plugin authors test with, against the gateway: what comes of a hook is the
//! same in both.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use test_harness::{Definition, Gateway, Request, Upstream};

use crate::gateway;

/// The bodies of hooks that run on the request below.
const REQUEST_HOOKS: &[&str] = &[
    "pass",
    "request.add_header('x-a', 'new'); request.delete_header('X-B')",
    "request.add_header('X-B', 'kept'); request.delete_header('x-b')",
    "request.object.headers['X-A'] = 'without effect'",
    "request.object.multivalue_headers.add(key='X-C', values=['without effect'])",
    "request.add_header('X-Many', '|'.join(request.get_headers('x-MANY')))",
    "request.add_header('X-Listen', request.object.listen_path + str(len(request.object.request_id)))",
    "request.add_header('Host', 'other'); request.add_header('Content-Length', '3')",
    "request.add_param('q', 'a b&c/\u{e9}'); request.delete_param('k')",
    "request.delete_param('nothing')",
    "request.add_header('X-P', request.object.params['k'] + request.object.params['none'])",
    "request.object.url = '/kit/other?x=1&y=%20'",
    "request.object.url = '/kit/other?x=1'; request.add_param('y', '2'); request.delete_param('x')",
    "request.object.url = 'http://elsewhere/kit/z?x=1'",
    "request.object.url = 'not a url'",
    "request.object.method = 'PUT'",
    "request.object.raw_body = b'\\xff\\x00'",
    "request.object.body = 'without effect'",
    "request.object.raw_body = b''",
    "request.add_header('X-A', 'line\\nbreak')",
    "request.add_header('X A', 'b')",
    "request.object.return_overrides.response_code = 0",
    "o = request.object.return_overrides; o.response_code = 403",
    "o = request.object.return_overrides; o.response_code = 400; o.response_error = 'a \"b\" \u{e9}'",
    "o = request.object.return_overrides; o.response_code = 500; o.response_body = 'b'; o.headers['x-c'] = 'd'; o.headers['Content-Type'] = 'x/y'",
    "o = request.object.return_overrides; o.response_code = 404; o.override_error = True; o.response_body = 'raw'; o.headers['Content-Type'] = 'x/y'",
    "o = request.object.return_overrides; o.response_code = 200; o.response_body = 'a'; o.response_error = 'e'; o.headers['x-c'] = 'd'; o.headers['content-type'] = 'x/y'",
    "o = request.object.return_overrides; o.response_code = 100",
    "o = request.object.return_overrides; o.response_code = 5000",
    "return None",
    "return request",
    "return request, session, {}",
    "raise ValueError('no')",
    "request = type(request)(set_headers={'X-A': 'made'})",
    "request.object.set_headers['x-a'] = 1",
    "return request, None",
];

/// The bodies of hooks that run on the upstream's response.
const RESPONSE_HOOKS: &[&str] = &[
    "pass",
    "response.status_code = 201; response.raw_body = response.body.encode() + b'!'",
    "response.headers['x-new'] = 'a'",
    "del response.headers['X-GONE']",
    "response.headers['Set-Cookie'] = 'c=3'",
    "response.multivalue_headers.add(key='x-more', values=['1', '2'])",
    "response.multivalue_headers.add(key='X-More', values=['1']); response.headers['X-New'] = 'a'",
    "response.headers.clear()",
    "response.status_code = 0",
    "response.headers['X-A'] = 'line\\nbreak'",
    "return None",
    "response = type(response)(status_code=203, raw_body=b'made')",
];

/// The text of a file with a hook for each body; hook `i` is named `prefix` and its number.
fn hooks(prefix: &str, parameters: &str, returns: &str, bodies: &[&str]) -> String {
    let mut text = String::new();
    for (number, body) in bodies.iter().enumerate() {
        text.push_str(&format!(
            "@Hook\ndef {prefix}{number}({parameters}):\n    {body}\n    return {returns}\n\n"
        ));
    }
    text
}

fn plugin() -> String {
    let request = hooks(
        "q",
        "request, session, spec",
        "request, session",
        REQUEST_HOOKS,
    );
    let response = hooks(
        "r",
        "request, response, session, metadata, spec",
        "response",
        RESPONSE_HOOKS,
    );
    format!("from tyk.decorators import *\n\n{request}{response}")
}

/// What the kit says of cases.
fn in_the_kit(file: &Path, cases: &[Value]) -> Vec<Value> {
    let kit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lang-python");
    let python: PathBuf = test_harness::native::test_environment(crate::BINARY).join("bin/python");
    let mut child = Command::new(python)
        .arg(kit.join("tests/kit/run_cases.py"))
        .arg(file)
        .env("PYTHONPATH", kit.join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let text = serde_json::to_vec(cases).unwrap();
    child.stdin.take().unwrap().write_all(&text).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The headers that hooks may have changed; both sides add others of their own.
fn interesting<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    let mut kept: Vec<_> = headers
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .filter(|(name, _)| {
            let own = ["x-forwarded-for", "x-real-ip", "x-generator"].contains(&name.as_str())
                || name.starts_with("x-ratelimit-");
            !own && (name.starts_with("x-") || name == "set-cookie" || name == "content-type")
        })
        .collect();
    kept.sort();
    kept
}

fn kit_headers(outcome: &Value) -> Vec<(String, String)> {
    let headers = outcome["headers"].as_array().unwrap().iter();
    interesting(headers.map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap())))
}

fn pairs(headers: &[(String, String)]) -> Vec<(String, String)> {
    interesting(
        headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    )
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn started(upstream: &Upstream) -> Gateway {
    let mut builder = gateway().python("kit.py", &plugin());
    for number in 0..REQUEST_HOOKS.len() {
        let name = format!("q{number}");
        let api = Definition::new(&name).listen(&format!("/{name}/kit/"));
        builder = builder.api(
            api.driver("python")
                .upstream(upstream)
                .keep_listen_path()
                .pre(&name),
        );
    }
    for number in 0..RESPONSE_HOOKS.len() {
        let name = format!("r{number}");
        let api = Definition::new(&name).driver("python").upstream(upstream);
        builder = builder.api(api.response(&name));
    }
    builder.start()
}

#[test]
fn what_comes_of_a_hook_is_the_same_in_the_kit() {
    let upstream = Upstream::replying(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Gone: old\r\nSet-Cookie: a=1\r\n\
         Set-Cookie: b=2\r\nContent-Length: 4\r\n\r\ntext",
    );
    let gateway = started(&upstream);
    let file = gateway.folder().join("kit.py");
    std::fs::write(&file, plugin()).unwrap();
    check_requests(&gateway, &upstream, &file);
    check_responses(&gateway, &upstream, &file);
}

fn check_requests(gateway: &Gateway, upstream: &Upstream, file: &Path) {
    let url = |number| format!("/q{number}/kit/a?k=1&k=2&z=%20");
    let cases: Vec<Value> = (0..REQUEST_HOOKS.len())
        .map(|number| {
            json!({
                "hook": format!("q{number}"), "method": "POST", "url": url(number), "body": "text",
                "headers": {"X-A": "a", "X-B": "b", "X-Many": ["1", "2"]},
            })
        })
        .collect();
    for (number, outcome) in in_the_kit(file, &cases).iter().enumerate() {
        let body = REQUEST_HOOKS[number];
        let request = Request::post(&url(number), "text").header("X-A", "a");
        let request = request.header("X-B", "b").header("X-Many", "1");
        let response = gateway.send(&request.header("X-Many", "2"));
        let seen = upstream.take();
        if outcome["error"].is_string() {
            assert!(seen.is_empty(), "{body}: {outcome} but {seen:?}");
            assert_eq!(response.status, 500, "{body}: {outcome}");
        } else if outcome["status"].is_number() {
            assert!(seen.is_empty(), "{body}: {outcome} but {seen:?}");
            assert_eq!(outcome["status"], response.status, "{body}");
            assert_eq!(outcome["body"], latin1(&response.body), "{body}");
            let mut kit = kit_headers(outcome);
            if !kit.iter().any(|(name, _)| name == "content-type") {
                // The gateway finds a type for a text that has none.
                kit.extend(
                    response
                        .header("content-type")
                        .map(|v| ("content-type".to_owned(), v.to_owned())),
                );
                kit.sort();
            }
            assert_eq!(kit, pairs(&response.headers), "{body}");
        } else {
            assert_eq!(seen.len(), 1, "{body}: {outcome} but {response:?}");
            assert_eq!(outcome["method"], seen[0].method, "{body}");
            assert_eq!(outcome["url"], seen[0].target, "{body}");
            assert_eq!(outcome["body"], latin1(&seen[0].body), "{body}");
            // Each of several values is a header of its own on the wire.
            assert_eq!(
                listen(kit_headers(outcome)),
                listen(pairs(&seen[0].headers)),
                "{body}"
            );
        }
    }
}

/// The listen path differs, as each hook has an API of its own in the gateway.
fn listen(mut headers: Vec<(String, String)>) -> Vec<(String, String)> {
    for (name, value) in &mut headers {
        if name == "x-listen" {
            *value = value.rsplit('/').next().unwrap_or_default().to_owned();
        }
    }
    headers
}

fn check_responses(gateway: &Gateway, upstream: &Upstream, file: &Path) {
    let cases: Vec<Value> = (0..RESPONSE_HOOKS.len())
        .map(|number| {
            json!({
                "hook": format!("r{number}"),
                "response": {"body": "text", "headers": {
                    "Content-Type": "text/plain", "X-Gone": "old", "Set-Cookie": ["a=1", "b=2"],
                    "Content-Length": "4",
                }},
            })
        })
        .collect();
    for (number, outcome) in in_the_kit(file, &cases).iter().enumerate() {
        let body = RESPONSE_HOOKS[number];
        let response = gateway.get(&format!("/r{number}/"));
        assert_eq!(upstream.take().len(), 1, "{body}");
        if outcome["error"].is_string() {
            assert_eq!(response.status, 500, "{body}: {outcome}");
            continue;
        }
        assert_eq!(outcome["status"], response.status, "{body}");
        assert_eq!(outcome["body"], latin1(&response.body), "{body}");
        assert_eq!(kit_headers(outcome), pairs(&response.headers), "{body}");
    }
}
