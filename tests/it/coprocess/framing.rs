//! Plugins and messages without a body: whatever a plugin says, the framing stays right.

use test_harness::{Client, Definition, Request, Upstream};

use super::{Driver, start, start_with};

/// The next response on the same connection is whole: nothing of the one before is left over.
#[track_caller]
fn assert_in_step(client: &mut Client) {
    let response = client.request(&Request::get("/nothing-there"));
    assert_eq!(response.status, 404, "{response:?}");
}

pub(crate) fn answers_without_a_body_stay_without_one(driver: Driver) {
    let setup = start(driver, "overrides", |api| api.pre("Override"));
    for (method, code) in [
        ("GET", "204"),
        ("GET", "304"),
        ("HEAD", "200"),
        ("HEAD", "403"),
    ] {
        let request = Request::new(method, "/api/")
            .header("X-Code", code)
            .header("X-Body", "a body where none may be");
        let mut client = setup.gateway.connect();
        let response = client.request(&request);
        assert_eq!(response.status.to_string(), code, "{method}: {response:?}");
        if code == "204" {
            assert_eq!(response.header("Content-Length"), None, "RFC 9110, 8.6");
        }
        assert_in_step(&mut client);
    }
}

pub(crate) fn codes_that_are_no_final_status_are_refused(driver: Driver) {
    let setup = start(driver, "overrides", |api| api.pre("Override"));
    for code in ["1", "99", "100", "101", "103", "199", "1000", "2147483647"] {
        let mut client = setup.gateway.connect();
        let response = client.request(&Request::get("/api/").header("X-Code", code));
        assert_eq!(response.status, 500, "{code}: {response:?}");
        assert_in_step(&mut client);
    }
}

pub(crate) fn response_hooks_may_meet_responses_without_a_body(driver: Driver) {
    for (method, answer, status) in [
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
            304,
        ),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200),
    ] {
        for function in ["ReverseBody", "EmptyBody", "AddBoth"] {
            let setup = start_with(driver, "responses", Upstream::replying(answer), |api| {
                api.response(function)
            });
            let mut client = setup.gateway.connect();
            let response = client.request(&Request::new(method, "/api/"));
            assert_eq!(
                response.status, status,
                "{function} {answer:?}: {response:?}"
            );
            assert_in_step(&mut client);
        }
        // This one gives the response a body and a status that may have one.
        let setup = start_with(driver, "responses", Upstream::replying(answer), |api| {
            api.response("Rewrite")
        });
        let mut client = setup.gateway.connect();
        let response = client.request(&Request::new(method, "/api/"));
        assert_eq!(response.status, 202, "{answer:?}: {response:?}");
        if method == "GET" {
            assert_eq!(response.text(), "rewritten: ", "{answer:?}");
        }
        assert_in_step(&mut client);
    }
}

pub(crate) fn fields_of_one_hop_are_not_a_hooks_to_set(driver: Driver) {
    let setup = start(driver, "edits", |api: Definition| api.pre("Edit"));
    for (field, name) in [
        ("Connection=x-kept", "Connection"),
        ("Keep-Alive=timeout=5", "Keep-Alive"),
        ("Upgrade=websocket", "Upgrade"),
        ("Proxy-Connection=close", "Proxy-Connection"),
        ("Transfer-Encoding=chunked", "Transfer-Encoding"),
    ] {
        let request = Request::get("/api/")
            .header("X-Kept", "1")
            .header("X-Set-Header", field);
        let response = setup.gateway.send(&request);
        assert_eq!(response.status, 200, "{field}: {response:?}");
        let seen = setup.upstream.take_one();
        assert_eq!(
            (seen.header(name), seen.header("X-Kept")),
            (None, Some("1")),
            "{field}: {seen:?}"
        );
        assert!(seen.problems.is_empty(), "{seen:?}");
    }
}

pub(crate) fn hooks_run_for_http_2_clients_too(driver: Driver) {
    use test_harness::http2::{Http2, Outcome};
    let setup = start(driver, "edits", |api| api.pre("Edit"));
    let mut client = Http2::connect(setup.gateway.address());
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "a.example"),
        (":path", "/api/x?a=1"),
        ("x-set-body", "reverse"),
        ("x-add-param", "b=2"),
    ];
    client.headers(1, &fields, false);
    client.data(1, b"hello", true);
    assert_eq!(client.outcome(1), Outcome::Status(200));
    let seen = setup.upstream.take_one();
    assert_eq!(
        (seen.target.as_str(), seen.body.as_slice()),
        ("/x?a=1&b=2", &b"olleh"[..])
    );
    assert!(seen.complete && seen.problems.is_empty(), "{seen:?}");
}
