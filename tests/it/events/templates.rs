//! Bodies of web hooks that the operator's templates make.

use serde_json::{Value, json};
use test_harness::{Receiver, Request};

use super::{knock, web_hook, with_api};

/// What one event comes to with a template.
fn rendered(file: &str, template: &str) -> (Vec<u8>, String) {
    let receiver = Receiver::start();
    let hook = web_hook(
        &receiver.url(),
        json!({"template_path": format!("templates/{file}")}),
    );
    let gateway = with_api(hook)
        .file(&format!("templates/{file}"), template)
        .start();
    let request = Request::post("/api/p%22q?x=1", "a body")
        .header("Authorization", "no-such-key")
        .header("X-Quote", "\"'<&>");
    assert_eq!(gateway.send(&request).status, 403);
    let received = receiver.wait_for("the web hook", |hook| hook.complete);
    let content_type = received.header("Content-Type").unwrap_or_default();
    (received.body.clone(), content_type.to_owned())
}

#[test]
fn a_json_template_sees_the_whole_event_and_stays_json() {
    let template = r#"{"type": "{{.Type}}", "message": "{{.Meta.Message}}", "path": "{{.Meta.Path}}",
        "origin": "{{.Meta.Origin}}", "key": "{{.Meta.Key}}", "time": "{{.TimeStamp}}",
        "request": "{{.Meta.OriginatingRequest}}"}"#;
    let (body, content_type) = rendered("all.json", template);
    assert_eq!(content_type, "application/json");
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["type"], "AuthFailure");
    assert_eq!(body["message"], "Auth Failure");
    assert_eq!(body["path"], "/api/p%22q");
    assert_eq!(body["origin"], "127.0.0.1");
    assert_eq!(body["key"], "no-such-key");
    check_time(body["time"].as_str().unwrap());
    let request = decode(body["request"].as_str().unwrap());
    let (head, rest) = request.split_once("\r\n").unwrap();
    assert_eq!(head, "POST /api/p%22q?x=1 HTTP/1.1");
    assert!(rest.starts_with("Host: "), "{request}");
    assert!(rest.contains("X-Quote: \"'<&>\r\n"), "{request}");
    assert!(rest.contains("Authorization: no-such-key\r\n"), "{request}");
    assert!(
        rest.ends_with("\r\n\r\n"),
        "a body that streams is not there: {request}"
    );
}

/// `2016-08-15 12:00:00.123456789 +0000 UTC`
fn check_time(text: &str) {
    let parts: Vec<_> = text.split(' ').collect();
    let [date, time, offset, zone] = parts[..] else {
        panic!("{text}")
    };
    assert!(date.len() == 10 && time.len() >= 8, "{text}");
    assert!(offset.len() == 5 && !zone.is_empty(), "{text}");
}

fn decode(base64: &str) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for letter in base64.bytes().filter(|letter| *letter != b'=') {
        let value = LETTERS.iter().position(|known| *known == letter);
        bits = bits << 6 | u32::try_from(value.expect("base64")).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_text_template_is_sent_as_it_is() {
    let template = "{{.Type}}: {{.Meta.Path | html}}\n{{if .Meta.Key}}key{{else}}no key{{end}}";
    let (body, content_type) = rendered("text.tmpl", template);
    assert_eq!(
        String::from_utf8(body).unwrap(),
        "AuthFailure: /api/p%22q\nkey"
    );
    assert_eq!(content_type, "text/plain; charset=utf-8");
}

#[test]
fn a_broken_template_is_told_at_load() {
    for (template, said) in [
        ("{{.Type", "bad character"),
        ("{{slice .Type 1}}", "slice"),
        ("{{template \"x\"}}", "`template` is not supported"),
    ] {
        let receiver = Receiver::start();
        let hook = web_hook(&receiver.url(), json!({"template_path": "broken.json"}));
        let gateway = with_api(hook).file("broken.json", template).start();
        gateway.wait_for_log_with(&["ERROR", "template_path: `broken.json`", said]);
        knock(&gateway, "/api/");
        assert_eq!(receiver.received().len(), 0);
    }
}

#[test]
fn a_template_is_read_again_by_a_reload() {
    let receiver = Receiver::start();
    let hook = web_hook(&receiver.url(), json!({"template_path": "t.json"}));
    let gateway = with_api(hook).file("t.json", "\"old\"").start();
    knock(&gateway, "/api/");
    receiver.wait_for("the old body", |hook| hook.body == b"\"old\"");
    gateway.write("t.json", "\"new\"");
    gateway.reload();
    knock(&gateway, "/api/");
    receiver.wait_for("the new body", |hook| hook.body == b"\"new\"");
}
