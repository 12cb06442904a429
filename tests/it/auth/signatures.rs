//! Requests that are signed with a shared secret.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use test_harness::{Definition, Gateway, Redis, Request, Response, Upstream};

use super::{guarded, quota, with_sessions};
use crate::gateway;

fn api(upstream: &Upstream) -> Definition {
    guarded("api", upstream).set("/enable_signature_checking", true)
}

fn session(change: Value) -> Value {
    let mut session = json!({
        "org_id": "org", "quota_max": 9, "quota_remaining": 9, "quota_renewal_rate": 3600,
        "hmac_enabled": true, "hmac_string": "secret"
    });
    for (key, value) in change.as_object().unwrap() {
        session[key] = value.clone();
    }
    session
}

fn start(redis: &Redis, api: Definition) -> Gateway {
    let sessions = [
        ("orgsigner", session(json!({}))),
        ("orgoff", session(json!({"hmac_enabled": false}))),
        ("orgempty", session(json!({"hmac_string": ""}))),
        (
            "orgelsewhere",
            session(json!({"access_rights": {"x": {"api_id": "x"}}})),
        ),
    ];
    with_sessions(redis, &sessions).api(api).start()
}

/// `seconds` from now, in the form of a header.
fn date(seconds: i64) -> String {
    let now = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// What a client signs, and how.
struct Signing<'a> {
    key: &'a str,
    secret: &'a str,
    algorithm: (&'a str, hmac::Algorithm),
    /// Names, in the order in which they are signed; none is said to sign the date alone.
    names: &'a [&'a str],
    date: String,
}

impl Signing<'_> {
    fn new() -> Self {
        Signing {
            key: "signer",
            secret: "secret",
            algorithm: ("hmac-sha256", hmac::HMAC_SHA256),
            names: &["(request-target)", "date", "x-test"],
            date: date(0),
        }
    }

    fn header(&self, date_name: &str) -> String {
        let line = |name: &&str| match *name {
            "(request-target)" => "(request-target): get /api/a b".to_owned(),
            "date" => format!("{date_name}: {}", self.date),
            name => format!("{name}: value"),
        };
        let lines: Vec<_> = match self.names {
            [] => vec![line(&"date")],
            names => names.iter().map(line).collect(),
        };
        let key = hmac::Key::new(self.algorithm.1, self.secret.as_bytes());
        let signature = hmac::sign(&key, lines.join("\n").as_bytes());
        let signature = STANDARD
            .encode(signature)
            .replace('+', "%2B")
            .replace('/', "%2f");
        let names = match self.names {
            [] => String::new(),
            names => format!("headers=\"{}\",", names.join(" ")),
        };
        format!(
            "Signature keyId=\"{}\",algorithm=\"{}\",{names}signature=\"{}\"",
            self.key,
            self.algorithm.0,
            signature.replace('=', "%3D")
        )
    }

    fn send(&self, gateway: &Gateway) -> Response {
        let request = Request::get("/api/a%20b?x=y")
            .header("Date", &self.date)
            .header("X-Test", " value ")
            .header("Authorization", self.header("date"));
        gateway.send(&request)
    }
}

#[track_caller]
fn refused(response: &Response) {
    response.assert_error(400, "Authorization field missing, malformed or invalid");
}

#[test]
fn a_right_signature_lets_its_signer_in() {
    let (redis, upstream) = (Redis::start(), Upstream::echo());
    let gateway = start(&redis, api(&upstream));
    for algorithm in [
        ("hmac-sha1", hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        ("hmac-sha256", hmac::HMAC_SHA256),
        ("hmac-sha384", hmac::HMAC_SHA384),
        ("hmac-sha512", hmac::HMAC_SHA512),
    ] {
        for names in [&["(request-target)", "date", "x-test"][..], &[]] {
            let signing = Signing {
                algorithm,
                names,
                ..Signing::new()
            };
            let response = signing.send(&gateway);
            assert_eq!(
                (response.status, quota(&response)),
                (200, Some("9")),
                "{algorithm:?}"
            );
        }
    }
    // The other header for the date counts more, and is signed under its own name.
    let signing = Signing {
        names: &["date"],
        ..Signing::new()
    };
    let request = Request::get("/api/")
        .header("Date", date(-5000))
        .header("X-Aux-Date", &signing.date)
        .header("Authorization", signing.header("x-aux-date"));
    assert_eq!(gateway.send(&request).status, 200);
}

#[test]
fn what_is_signed_wrongly_is_refused() {
    let (redis, upstream) = (Redis::start(), Upstream::echo());
    let gateway = start(&redis, api(&upstream));
    let cases: [fn(&mut Signing<'_>); 11] = [
        |it| it.secret = "Secret",
        |it| (it.key, it.secret) = ("empty", ""),
        |it| it.key = "off",
        |it| it.key = "unknown",
        |it| it.key = "",
        |it| it.algorithm.0 = "hmac-sha512",
        |it| it.algorithm.0 = "none",
        |it| it.algorithm.0 = "rsa-sha256",
        |it| it.names = &["date", "x-missing"],
        |it| it.date = "yesterday".into(),
        |it| (it.date, it.names) = (String::new(), &["x-test"]),
    ];
    for change in cases {
        let mut signing = Signing::new();
        change(&mut signing);
        refused(&signing.send(&gateway));
    }
    refused(&gateway.get("/api/a%20b"));
    for header in [
        "Signature",
        "Signature keyId=\"signer\"",
        "Basic x",
        "keyId=signer,x=y",
        "\"\"\",",
    ] {
        let request = Request::get("/api/a%20b").header("Authorization", header);
        refused(&gateway.send(&request.header("Date", date(0))));
    }
    let mut elsewhere = Signing::new();
    elsewhere.key = "elsewhere";
    let response = elsewhere.send(&gateway);
    response.assert_error(403, "Access to this API has been disallowed");
    assert!(upstream.take().is_empty());
}

#[test]
fn a_signature_is_for_one_method_path_and_set_of_headers() {
    let (redis, upstream) = (Redis::start(), Upstream::echo());
    let gateway = start(&redis, api(&upstream));
    let signing = Signing::new();
    let value = |request: Request, value| request.header("X-Test", value);
    let send = |request: Request| {
        let request = request.header("Date", &signing.date);
        gateway.send(&request.header("Authorization", signing.header("date")))
    };
    let right = || Request::get("/api/a%20b");
    assert_eq!(send(value(right(), "value")).status, 200);
    for request in [
        value(Request::new("POST", "/api/a%20b"), "value"),
        value(Request::get("/api/a"), "value"),
        value(right(), "other"),
        value(value(right(), "value"), "value"),
    ] {
        refused(&send(request));
    }
}

#[test]
fn old_dates_and_other_algorithms_are_refused_where_that_is_asked_for() {
    let (redis, upstream) = (Redis::start(), Upstream::echo());
    let api = api(&upstream).set("/hmac_allowed_clock_skew", 60_000).set(
        "/hmac_allowed_algorithms",
        json!(["hmac-sha256", "hmac-sha384"]),
    );
    let gateway = start(&redis, api);
    let of = |seconds| Signing {
        date: date(seconds),
        ..Signing::new()
    };
    for seconds in [0, -30, 30] {
        assert_eq!(of(seconds).send(&gateway).status, 200, "{seconds}");
    }
    for seconds in [-120, 120] {
        refused(&of(seconds).send(&gateway));
    }
    refused(
        &Signing {
            algorithm: ("hmac-sha512", hmac::HMAC_SHA512),
            ..of(0)
        }
        .send(&gateway),
    );
    // A date that is not signed can be anybody's.
    refused(
        &Signing {
            names: &["(request-target)"],
            ..of(0)
        }
        .send(&gateway),
    );
}

#[test]
fn algorithms_that_are_not_there_keep_the_api_out() {
    let upstream = Upstream::echo();
    let api = api(&upstream).set("/hmac_allowed_algorithms", json!(["rsa-md5"]));
    let gateway = gateway().api(api).start();
    gateway.wait_for_log_with(&["ERROR", "API `api`: hmac_allowed_algorithms", "rsa-md5"]);
    assert_eq!(gateway.get("/api/").status, 404);
}
