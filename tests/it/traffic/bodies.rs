//! Bodies: templates that make others of them, schemas that they have to fit.

use base64::Engine;
use serde_json::{Value, json};
use test_harness::{Request, Upstream};

use super::with_paths;
use crate::gateway;

fn template(text: &str, input_type: &str) -> Value {
    let source = base64::engine::general_purpose::STANDARD.encode(text);
    json!({"template_mode": "blob", "template_source": source, "input_type": input_type})
}

#[test]
fn bodies_of_requests_are_made_anew() {
    let upstream = Upstream::echo();
    let paths = json!({"transform": [
        {"path": "/json", "method": "POST", "template_data":
            template("{\"name\": {{jsonMarshal .user}}, \"by\": \"{{._tyk_context.headers_X_Id}}\"}", "json")},
        {"path": "/xml", "method": "POST", "template_data": template("{{.r.item}}", "xml")},
        {"path": "/file", "method": "POST", "template_data":
            {"template_mode": "file", "template_source": "body.tmpl", "input_type": "json"}},
    ]});
    let api = with_paths(&upstream, paths).set("/enable_context_vars", true);
    let gateway = gateway()
        .api(api)
        .file("body.tmpl", "from a file: {{.a}}")
        .start();
    let long = "x".repeat(100_000);
    for (path, body, expected) in [
        (
            "/a/json",
            "{\"user\": \"a\\\"b\"}",
            "{\"name\": \"a\\\"b\", \"by\": \"7\"}".to_owned(),
        ),
        ("/a/xml", "<r><item>one</item></r>", "one".to_owned()),
        (
            "/a/file",
            &*format!("{{\"a\": \"{long}\"}}"),
            format!("from a file: {long}"),
        ),
        ("/a/other", "{", "{".to_owned()),
    ] {
        let request = Request::post(path, body).header("X-Id", "7");
        assert_eq!(gateway.send(&request).status, 200, "{path}");
        let seen = upstream.take_one();
        assert_eq!(
            String::from_utf8(seen.body.clone()).unwrap(),
            expected,
            "{path}"
        );
        let length = expected.len().to_string();
        assert_eq!(seen.header("content-length"), Some(&*length), "{path}");
    }
    for (path, body) in [
        ("/a/json", "{"),
        ("/a/xml", "<r>"),
        ("/a/xml", "<!DOCTYPE a [<!ENTITY b 'c'>]><r>&b;</r>"),
    ] {
        assert_eq!(gateway.post(path, body).status, 400, "{path} {body}");
    }
    assert!(upstream.take().is_empty());
}

#[test]
fn bodies_of_responses_are_made_anew() {
    let upstream = Upstream::answering(|received| {
        let json = b"{\"items\": [1, 2]}";
        let compressed = received.header("accept-encoding").is_some();
        let head = if compressed {
            "Content-Encoding: gzip\r\n"
        } else {
            ""
        };
        let body: &[u8] = if received.target == "/broken" {
            b"{"
        } else {
            json
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\n{head}Content-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    });
    let paths = json!({"transform_response": [
        {"path": "/", "method": "GET", "template_data": template("{{range .items}}<{{.}}>{{end}}", "json")},
    ]});
    let api = with_paths(&upstream, paths).set(
        "/response_processors",
        json!([{"name": "response_body_transform"}]),
    );
    let gateway = gateway().api(api).start();
    let response = gateway.send(&Request::get("/a/x").header("Accept-Encoding", "gzip"));
    assert_eq!(response.text(), "<1><2>");
    assert_eq!(response.header("content-length"), Some("6"));
    assert_eq!(gateway.get("/a/broken").status, 502);
    assert_eq!(gateway.post("/a/x", "").text(), "{\"items\": [1, 2]}");
}

#[test]
fn bodies_must_fit_their_schema() {
    let upstream = Upstream::echo();
    let schema = json!({
        "type": "object", "required": ["name"],
        "properties": {"name": {"type": "string", "pattern": "^[a-z]+$"}, "age": {"type": "integer"}},
    });
    let paths = json!({"validate_json": [
        {"path": "/x", "method": "POST", "schema": schema},
        {"path": "/own", "method": "POST", "schema": schema, "error_response_code": 409},
    ]});
    let gateway = gateway().api(with_paths(&upstream, paths)).start();
    let post = |path: &str, body: &str| gateway.post(path, body.to_owned());
    assert_eq!(post("/a/x", "{\"name\": \"a\"}").status, 200);
    assert_eq!(upstream.take_one().body, b"{\"name\": \"a\"}");
    for (path, body, status, part) in [
        ("/a/x", "{}", 422, "(root): "),
        ("/a/x", "{\"name\": \"a\", \"age\": 1.5}", 422, "age: "),
        ("/a/x", "{\"name\": \"A\"}", 422, "name: "),
        ("/a///x", "{}", 422, "(root): "),
        ("/a/own", "[]", 409, "(root): "),
        ("/a/x", "{", 400, "JSON parsing error: "),
        ("/a/x", "", 400, "JSON parsing error: "),
    ] {
        let response = post(path, body);
        assert_eq!(response.status, status, "{path} {body}");
        let message = response.json()["error"].as_str().unwrap().to_owned();
        assert!(message.contains(part), "{message}");
    }
    assert!(upstream.take().is_empty());
}

#[test]
fn templates_and_schemas_that_cannot_work_are_not_loaded() {
    for (paths, said) in [
        (
            json!({"transform": [{"path": "/", "template_data": template("{{.a", "json")}]}),
            "extended_paths.transform[0].template_data.template_source",
        ),
        (
            json!({"transform_response": [{"path": "/", "template_data":
                {"template_mode": "file", "template_source": "nothing.tmpl"}}]}),
            "`nothing.tmpl`",
        ),
        (
            json!({"transform": [{"path": "/", "template_data": template("x", "yaml")}]}),
            "input_type: `yaml`",
        ),
        (
            json!({"validate_json": [{"path": "/", "schema": {"type": "nonsense"}}]}),
            "extended_paths.validate_json[0].schema",
        ),
        (
            json!({"validate_json": [{"path": "/"}]}),
            "schema: is missing",
        ),
        (
            json!({"validate_json": [{"path": "/", "schema": {}, "error_response_code": 200}]}),
            "error_response_code: 200",
        ),
    ] {
        let upstream = Upstream::echo();
        let gateway = gateway().api(with_paths(&upstream, paths)).start();
        let line = gateway.wait_for_log("API is not loaded.");
        assert!(line.contains(said), "{line}");
    }
}
