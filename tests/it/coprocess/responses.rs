//! Response hooks: what a client sees of what they changed.

use test_harness::upstream::response;
use test_harness::{Request, Upstream};

use super::{Driver, Setup, start_with};

fn setup(driver: Driver, function: &str, answer: impl AsRef<[u8]>) -> Setup {
    start_with(driver, "responses", Upstream::replying(answer), |api| {
        api.response(function)
    })
}

const COOKIES: &str = "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nX-Changed: old\r\n\
    Set-Cookie: b=2\r\nX-Removed: old\r\nContent-Length: 5\r\n\r\nhello";

pub(crate) fn status_body_and_headers_are_rewritten(driver: Driver) {
    let setup = setup(driver, "Rewrite", COOKIES);
    let response = setup.gateway.get("/api/");
    assert_eq!(
        (response.status, response.text().as_str()),
        (202, "rewritten: hello")
    );
    assert_eq!(response.header("Content-Length"), Some("16"));
    assert_eq!(response.header("X-Added"), Some("yes"));
    assert_eq!(response.header("X-Changed"), Some("new"));
    assert_eq!(response.header("X-Removed"), None);
    assert_eq!(response.header_values("Set-Cookie"), ["a=1; Path=/", "b=2"]);
}

pub(crate) fn repeated_cookies_are_edited_one_by_one(driver: Driver) {
    let setup = setup(driver, "EditCookies", COOKIES);
    let response = setup.gateway.get("/api/");
    assert_eq!(
        response.header_values("Set-Cookie"),
        ["a=1; Path=/; Secure", "b=2; Secure", "c=3"]
    );
    assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    assert_eq!(response.header("X-Removed"), Some("old"));
}

pub(crate) fn both_forms_of_headers_may_grow(driver: Driver) {
    let setup = setup(driver, "AddBoth", COOKIES);
    let response = setup.gateway.get("/api/");
    assert_eq!(response.header("X-In-Map"), Some("map"));
    assert_eq!(response.header_values("X-In-List"), ["one", "two"]);
    assert_eq!(response.header_values("Set-Cookie").len(), 2);
}

pub(crate) fn a_binary_body_is_shown_and_rewritten_to_the_byte(driver: Driver) {
    let body: Vec<u8> = (0..70_000_u32).map(|n| (n % 256) as u8).collect();
    let setup_binary = setup(driver, "ReverseBody", response(200, "image/x", &body));
    let answer = setup_binary.gateway.get("/api/");
    assert!(answer.body.iter().eq(body.iter().rev()));
    assert_eq!(
        answer.header("X-Body"),
        Some("empty"),
        "what is not UTF-8 is not shown as text"
    );
    assert_eq!(answer.header("Content-Length"), Some("70000"));

    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    let answer = setup(driver, "ReverseBody", chunked).gateway.get("/api/");
    assert_eq!(
        (answer.text().as_str(), answer.header("X-Body")),
        ("olleh", Some("hello"))
    );
}

pub(crate) fn a_body_can_be_emptied(driver: Driver) {
    let setup = setup(driver, "EmptyBody", COOKIES);
    let mut client = setup.gateway.connect();
    for _ in 0..2 {
        let response = client.request(&Request::get("/api/"));
        assert_eq!((response.status, response.body.len()), (200, 0));
        assert_eq!(response.header("Content-Length"), Some("0"));
    }
}

pub(crate) fn only_the_raw_body_counts(driver: Driver) {
    let setup = setup(driver, "EditText", COOKIES);
    assert_eq!(setup.gateway.get("/api/").text(), "hello");
}

pub(crate) fn a_pair_is_a_fine_answer_too(driver: Driver) {
    let setup = setup(driver, "ReturnsPair", COOKIES);
    let response = setup.gateway.get("/api/");
    assert_eq!(
        (response.status, response.header("X-Pair")),
        (200, Some("fine")),
        "{response:?}"
    );
}

pub(crate) fn an_unusable_status_is_a_middleware_error(driver: Driver) {
    let setup = setup(driver, "BadStatus", COOKIES);
    setup
        .gateway
        .get("/api/")
        .assert_error(500, "Middleware error");
}

pub(crate) fn the_gateways_own_errors_are_not_shown(driver: Driver) {
    let setup = start_with(driver, "responses", Upstream::echo(), |api| {
        api.response("Rewrite").target(&Upstream::nobody())
    });
    setup
        .gateway
        .get("/api/")
        .assert_error(500, "There was a problem proxying the request");
}

pub(crate) fn a_response_to_head_stays_without_a_body(driver: Driver) {
    let upstream = Upstream::replying("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    let setup = start_with(driver, "responses", upstream, |api| {
        api.response("EditCookies")
    });
    let mut client = setup.gateway.connect();
    for _ in 0..2 {
        let response = client.request(&Request::new("HEAD", "/api/"));
        assert_eq!(
            (response.status, response.body.len()),
            (200, 0),
            "{response:?}"
        );
    }
}
