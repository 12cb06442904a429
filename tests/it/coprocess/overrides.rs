//! The table of return overrides: what a hook answers in place of the upstream.

use test_harness::message::error_body;
use test_harness::{Definition, Request, Response};

use super::{Driver, Setup, start};

/// What the hook is told to do.
#[derive(Debug, Clone, Copy)]
struct Told {
    code: &'static str,
    error: &'static str,
    body: &'static str,
    own: bool,
}

/// What the client has to see: status, body to the byte, content type.
type Answer = (u16, String, Option<&'static str>);

/// Adds hooks to an API.
type Change = fn(Definition) -> Definition;

const TEXT: Option<&str> = Some("text/plain; charset=utf-8");
const JSON: Option<&str> = Some("application/json");

/// Codes that let the request go on; everything else that was set is ignored then.
const CONTINUE: [&str; 3] = ["-1", "0", "-200"];

fn table() -> Vec<(Told, Answer)> {
    let told = |code, error, body, own| Told {
        code,
        error,
        body,
        own,
    };
    let verbatim = |status, body: &str| (status, body.to_owned(), TEXT);
    let error = |status, message| (status, error_body(message), JSON);
    vec![
        (told("403", "no entry", "", false), error(403, "no entry")),
        (told("400", "no entry", "", false), error(400, "no entry")),
        (
            told("401", "", "from the body", false),
            error(401, "from the body"),
        ),
        (
            told("401", "the error wins", "from the body", false),
            error(401, "the error wins"),
        ),
        (told("403", "", "", false), error(403, "Key not authorised")),
        (told("500", "broken", "", false), error(500, "broken")),
        (told("599", "odd", "", false), error(599, "odd")),
        (told("403", "raw", "", true), verbatim(403, "raw")),
        (
            told("403", "", "{\"mine\": 1}", true),
            verbatim(403, "{\"mine\": 1}"),
        ),
        (told("200", "", "fine", false), verbatim(200, "fine")),
        (
            told("200", "error as body", "fine", false),
            verbatim(200, "error as body"),
        ),
        (told("201", "", "made", true), verbatim(201, "made")),
        (told("302", "", "moved", false), verbatim(302, "moved")),
        (told("399", "", "below", false), verbatim(399, "below")),
        (told("204", "", "", false), (204, String::new(), None)),
    ]
}

fn request(path: &str, told: Told) -> Request {
    let request = Request::get(path)
        .header("X-Code", told.code)
        .header("X-Header", "X-From-Plugin=yes")
        .header("X-Own", if told.own { "true" } else { "false" });
    let request = match told.error {
        "" => request,
        error => request.header("X-Error", error),
    };
    match told.body {
        "" => request,
        body => request.header("X-Body", body),
    }
}

fn check(told: Told, response: &Response, (status, body, content_type): &Answer) {
    assert_eq!(response.status, *status, "{told:?}: {response:?}");
    assert_eq!(response.text(), *body, "{told:?}: {response:?}");
    assert_eq!(
        response.header("Content-Type"),
        *content_type,
        "{told:?}: {response:?}"
    );
    assert_eq!(
        response.header("X-From-Plugin"),
        Some("yes"),
        "{told:?}: {response:?}"
    );
    let is_error = *content_type == JSON;
    let generator = response.header("X-Generator");
    assert_eq!(
        generator,
        is_error.then_some("tyk.io"),
        "{told:?}: {response:?}"
    );
    assert_eq!(
        response.header("X-RateLimit-Limit"),
        None,
        "{told:?}: {response:?}"
    );
}

pub(crate) fn the_table_holds_for_pre_hooks(driver: Driver) {
    let setup = start(driver, "overrides", |api| api.pre("Override"));
    for (told, answer) in table() {
        let response = setup.gateway.send(&request("/api/", told));
        check(told, &response, &answer);
        assert!(setup.upstream.take().is_empty(), "{told:?}");
    }
    for code in CONTINUE {
        let told = Told {
            code,
            error: "ignored",
            body: "ignored",
            own: true,
        };
        let response = setup.gateway.send(&request("/api/", told));
        assert_eq!(
            (response.status, response.header("X-From-Plugin")),
            (200, None),
            "{code}"
        );
        let _went_on = setup.upstream.take_one();
    }
    check_headers(&setup);
}

/// A content type of the plugin counts for its own body, and not for an error body.
fn check_headers(setup: &Setup) {
    let typed = |code: &str| {
        Request::get("/api/")
            .header("X-Code", code)
            .header("X-Body", "{}")
            .header("X-Header", "content-type=application/x-mine")
    };
    let response = setup.gateway.send(&typed("200"));
    assert_eq!(response.header("Content-Type"), Some("application/x-mine"));
    let response = setup.gateway.send(&typed("403"));
    assert_eq!(response.header("Content-Type"), JSON);
    let framing = Request::get("/api/")
        .header("X-Code", "200")
        .header("X-Body", "hello")
        .header("X-Header", "Content-Length=1");
    assert_eq!(
        setup.gateway.send(&framing).text(),
        "hello",
        "framing is not a hook's"
    );
}

pub(crate) fn the_table_holds_for_every_request_hook(driver: Driver) {
    let kinds: [(&str, Change); 3] = [
        ("auth_check", |api| api.auth_check("OverrideAuth")),
        ("post_key_auth", |api| {
            api.auth_check("OverrideAuth").post_key_auth("Override")
        }),
        ("post", |api| api.post("Override")),
    ];
    for (kind, change) in kinds {
        let setup = start(driver, "overrides", change);
        for (told, answer) in table() {
            let response = setup.gateway.send(&request("/api/", told));
            assert_eq!(response.status, answer.0, "{kind} {told:?}: {response:?}");
            check(told, &response, &answer);
            assert!(setup.upstream.take().is_empty(), "{kind} {told:?}");
        }
        assert_eq!(setup.gateway.get("/api/").status, 200, "{kind}");
    }
}

pub(crate) fn the_upstream_and_later_hooks_are_not_asked(driver: Driver) {
    let setup = start(driver, "overrides", |api| {
        api.pre("Override")
            .auth_check("OverrideAuth")
            .post("Override")
            .response("OverrideResponse")
    });
    let request = Request::get("/api/")
        .header("X-Code", "200")
        .header("X-Body", "short");
    let response = setup.gateway.send(&request);
    assert_eq!((response.status, response.text().as_str()), (200, "short"));
    assert!(setup.upstream.take().is_empty());
}

pub(crate) fn an_xml_request_is_refused_in_xml(driver: Driver) {
    let setup = start(driver, "overrides", |api| api.pre("Override"));
    let request = Request::post("/api/", "<a/>")
        .header("Content-Type", "text/xml")
        .header("X-Code", "403")
        .header("X-Error", "a < b");
    let response = setup.gateway.send(&request);
    assert_eq!(
        (response.status, response.header("Content-Type")),
        (403, Some("text/xml"))
    );
    assert!(
        response.text().ends_with("<error>a &lt; b</error>"),
        "{response:?}"
    );
}

pub(crate) fn overrides_in_a_response_hook_have_no_effect(driver: Driver) {
    let setup = start(driver, "overrides", |api| api.response("OverrideResponse"));
    let request = Request::get("/api/")
        .header("X-Code", "403")
        .header("X-Error", "no");
    assert_eq!(setup.gateway.send(&request).status, 200);
}
