//! The plugins of `examples/plugins`, as bundles behind a gateway: what their authors promise.

use std::path::Path;

use serde_json::{Value, json};
use test_harness::upstream::response;
use test_harness::{Bundle, BundleServer, Definition, Gateway, Request, Upstream};

use super::Driver;
use crate::gateway;

/// A gateway whose API `api` runs one of the examples.
struct Example {
    gateway: Gateway,
    upstream: Upstream,
    _server: BundleServer,
}

impl Example {
    #[track_caller]
    fn start(driver: Driver, name: &str, change: impl Fn(Definition) -> Definition) -> Self {
        Self::start_with(driver, name, Upstream::echo(), change)
    }

    #[track_caller]
    fn start_with(
        driver: Driver,
        name: &str,
        upstream: Upstream,
        change: impl Fn(Definition) -> Definition,
    ) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/plugins");
        let server = BundleServer::start();
        let bundle = Bundle::of_folder(&folder.join(name).join(driver));
        server.put("example.zip", bundle.zip());
        let api = Definition::new("api")
            .upstream(&upstream)
            .set("/custom_middleware_bundle", "example.zip");
        let gateway = gateway()
            .with_plugins()
            .conf(server.conf())
            .conf(json!({"event_handlers": {"events": {"BotRefused": [
                {"handler_name": "eh_log_handler", "handler_meta": {"prefix": "bots"}}
            ]}}}))
            .api(change(api))
            .start();
        Self {
            gateway,
            upstream,
            _server: server,
        }
    }

    /// The last request that the upstream saw.
    #[track_caller]
    fn seen(&self) -> test_harness::Received {
        self.upstream.received().pop().unwrap()
    }
}

pub(crate) fn example_plugins_pass_their_cases(driver: Driver) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/plugins");
    for (name, cases) in [
        ("bearer_auth", 3),
        ("bot_filter", 3),
        ("correlation_id", 3),
        ("body_rewrite", 3),
        ("cookie_flags", 1),
    ] {
        let example = folder.join(name);
        let (code, tests) = (example.join(driver), example.join("tests"));
        let [code, tests] = [code, tests].map(|path| path.to_str().unwrap().to_owned());
        let ended = gateway().run(&["plugin", "test", "--bundle", &code, &tests]);
        let passed = format!("{cases} passed, 0 failed");
        assert!(ended.log.contains(&passed), "{name}: {}", ended.log);
        assert!(ended.status.success(), "{name}");
    }
}

fn config(definition: Definition, data: Value) -> Definition {
    definition.set("/config_data", data)
}

pub(crate) fn bearer_tokens_open_an_api_and_leave_a_session(driver: Driver) {
    let example = Example::start(driver, "bearer_auth", |api| {
        let accounts = json!({
            "token-of-ada": {"owner": "ada", "plan": "gold"},
            "token-of-bob": {"owner": "bob"},
        });
        config(api, json!({"accounts": accounts}))
            .set("/use_keyless", false)
            .set("/custom_plugin_auth_enabled", true)
    });
    let call = |value: &str| {
        let request = Request::get("/api/tea").header("Authorization", value);
        example.gateway.send(&request)
    };
    for wrong in [
        "Bearer token-of-eve",
        "Basic token-of-ada",
        "Bearer",
        "Bearer  ",
    ] {
        let refused = call(wrong);
        refused.assert_error(401, "A bearer token is required");
        let challenge = Some("Bearer realm=\"api\"");
        assert_eq!(refused.header("WWW-Authenticate"), challenge, "{wrong}");
    }
    assert!(example.upstream.received().is_empty());
    for (value, owner, plan) in [
        ("Bearer token-of-ada", "ada", "plan-gold"),
        ("bearer token-of-bob", "bob", "plan-free"),
        ("Bearer token-of-ada", "ada", "plan-gold"),
    ] {
        assert_eq!(call(value).status, 200, "{value}");
        let seen = example.seen();
        assert_eq!(seen.header("X-Owner"), Some(owner));
        assert_eq!(seen.header("X-Plan"), Some(plan));
        assert_eq!(seen.header("Authorization"), None);
    }
}

pub(crate) fn bots_are_refused_and_people_are_not(driver: Driver) {
    let example = Example::start(driver, "bot_filter", |api| api);
    let call = |path: &str, agent: &str| {
        let request = Request::get(path).header("User-Agent", agent);
        example.gateway.send(&request)
    };
    for (path, agent, points) in [
        ("/api/tea", "Mozilla/5.0 Firefox/150.0", "0"),
        ("/api/tea", "Googlebot/2.1", "0"),
        ("/api/tea", "curl/8.0", "60"),
    ] {
        assert_eq!(call(path, agent).status, 200, "{agent}");
        assert_eq!(
            example.seen().header("X-Bot-Score"),
            Some(points),
            "{agent}"
        );
    }
    for (path, agent, points) in [
        ("/api/tea", "", 80),
        ("/api/.env", "Mozilla/5.0 Firefox/150.0", 100),
    ] {
        let refused = call(path, agent);
        let content_type = refused.header("Content-Type");
        assert_eq!(refused.status, 403, "{path} {agent}");
        assert_eq!(content_type, Some("application/problem+json"));
        assert_eq!(refused.json()["score"], points);
    }
    example
        .gateway
        .wait_for_log_with(&["bots:BotRefused", "127.0.0.1"]);
    assert_eq!(example.upstream.received().len(), 3);
}

pub(crate) fn one_id_goes_all_the_way_and_back(driver: Driver) {
    const HEADER: &str = "X-Correlation-Id";
    let example = Example::start(driver, "correlation_id", |api| api);
    let call = |given: Option<&str>| {
        let mut request = Request::get("/api/tea");
        if let Some(given) = given {
            request = request.header(HEADER, given);
        }
        let answer = example.gateway.send(&request);
        let id = answer.header(HEADER).unwrap().to_owned();
        assert_eq!(example.seen().header(HEADER), Some(&*id));
        example.gateway.wait_for_log_with(&[&id, "GET /api/tea"]);
        id
    };
    assert_eq!(call(Some("from-the-client_1.0")), "from-the-client_1.0");
    let made = [
        call(None),
        call(Some("short")),
        call(Some("not usable, as it is")),
    ];
    for id in &made {
        let is_hex = id.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(id.len() == 32 && is_hex, "{id}");
    }
    assert_ne!(made[0], made[1]);
}

pub(crate) fn bodies_are_masked_and_framed(driver: Driver) {
    let example = Example::start(driver, "body_rewrite", |api| api);
    let send = |kind: &str, body: &[u8]| {
        let request = Request::post("/api/", body).header("Content-Type", kind);
        example.gateway.send(&request)
    };
    let order = json!({
        "id": 7, "note": "schön", "price": 1.5, "paid": true, "coupon": null, "gifts": [],
        "payments": [{"card_number": "4111111111111111"}, {"card_number": 4_222_222_222_222_i64}],
    });
    let sent = send(
        "application/json; charset=utf-8",
        order.to_string().as_bytes(),
    );
    assert_eq!(sent.status, 200);
    let mut masked = order;
    masked["payments"][0]["card_number"] = "************1111".into();
    masked["payments"][1]["card_number"] = "************2222".into();
    let seen: Value = serde_json::from_slice(&example.seen().body).unwrap();
    assert_eq!(seen, masked);

    send("application/json", b"{\"a\":").assert_error(400, "The body is not JSON");

    let upload: Vec<u8> = (0..100_000_u32).map(|n| (n * 7 % 256) as u8).collect();
    assert_eq!(send("application/octet-stream", &upload).status, 200);
    let seen = example.seen();
    assert_eq!(
        seen.header("Content-Type"),
        Some("application/x-framed-upload")
    );
    let number = |at: usize| u32::from_be_bytes(seen.body[at..at + 4].try_into().unwrap());
    assert_eq!(&seen.body[..4], b"UPL1");
    assert_eq!(number(4) as usize, upload.len());
    assert_eq!(number(8), adler32(&upload));
    assert!(seen.body[12..] == upload);
}

fn adler32(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1, 0);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    b << 16 | a
}

pub(crate) fn every_cookie_gets_its_flags(driver: Driver) {
    let cookies = "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nX-Kept: yes\r\n\
        Set-Cookie: debug_trace=on\r\nSet-Cookie: b=2; secure; SameSite=Strict\r\n\
        Content-Length: 5\r\n\r\nhello";
    let example = Example::start_with(driver, "cookie_flags", Upstream::replying(cookies), |api| {
        api
    });
    let answer = example.gateway.get("/api/");
    assert_eq!(
        answer.header_values("Set-Cookie"),
        [
            "a=1; Path=/; Secure; HttpOnly; SameSite=Lax",
            "b=2; secure; SameSite=Strict; HttpOnly"
        ]
    );
    assert_eq!(
        (answer.header("X-Kept"), &*answer.text()),
        (Some("yes"), "hello")
    );
    let plain = response(200, "text/plain", b"hello");
    let example = Example::start_with(driver, "cookie_flags", Upstream::replying(plain), |api| api);
    assert_eq!(example.gateway.get("/api/").header("Set-Cookie"), None);
}
