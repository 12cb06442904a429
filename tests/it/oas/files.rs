//! As files beside classic definitions.

use serde_json::{Value, json};
use test_harness::gateway::SECRET;
use test_harness::{Gateway, Request, Upstream};

use super::{document, secured, set};
use crate::check::{check, findings};
use crate::gateway;

fn serving(document: &Value) -> Gateway {
    gateway()
        .file("apps/api.json", document.to_string())
        .start()
}

#[test]
fn a_document_serves_as_its_extension_says() {
    let upstream = Upstream::echo();
    let header = json!({"enabled": true, "add": [{"name": "X-Added", "value": "yes"}], "remove": ["X-Gone"]});
    let api = set(
        document("api", &upstream),
        "/middleware/global/transformRequestHeaders",
        header,
    );
    let gateway = serving(&api);
    let request = Request::get("/api/things/7").header("X-Gone", "no");
    assert_eq!(gateway.send(&request).status, 200);
    let seen = upstream.take_one();
    assert_eq!(seen.target, "/things/7");
    assert_eq!(seen.header("X-Added"), Some("yes"));
    assert_eq!(seen.header("X-Gone"), None);
}

#[test]
fn a_companion_of_a_classic_definition_is_left_alone_and_others_serve() {
    let upstream = Upstream::echo();
    let classic = json!({"name": "classic", "api_id": "pair", "use_keyless": true,
        "proxy": {"listen_path": "/pair/", "target_url": upstream.url("/")}});
    let gateway = gateway()
        .file("apps/pair.json", classic.to_string())
        .file(
            "apps/pair-oas.json",
            document("other", &upstream).to_string(),
        )
        .file(
            "apps/alone-oas.json",
            document("alone", &upstream).to_string(),
        )
        .start();
    for (path, status) in [
        ("/pair/", 200),
        ("/other/things", 404),
        ("/alone/things", 200),
    ] {
        assert_eq!(gateway.get(path).status, status, "{path}");
    }
}

#[test]
fn operations_have_what_is_said_of_them() {
    let upstream = Upstream::echo();
    let on = json!({"enabled": true});
    let mut api = document("api", &upstream);
    api["paths"]["/things"]["post"]["requestBody"] = json!({"content": {"application/json": {
        "schema": {"$ref": "#/components/schemas/Thing"},
    }}});
    api["components"]["schemas"]["Thing"] = json!({
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string", "nullable": true}},
    });
    let mock = json!({"enabled": true, "code": 418, "body": "tea",
        "headers": [{"name": "X-Pot", "value": "1"}]});
    let api = set(
        api,
        "/middleware/operations/make/validateRequest",
        on.clone(),
    );
    let api = set(api, "/middleware/operations/list/mockResponse", mock);
    let rewrite = json!({"enabled": true, "pattern": "/things/(\\w+)", "rewriteTo": "/other/$1"});
    let gateway = serving(&set(
        api.clone(),
        "/middleware/operations/show/urlRewrite",
        rewrite,
    ));
    let mocked = gateway.get("/api/things");
    assert_eq!((mocked.status, mocked.text().as_ref()), (418, "tea"));
    assert_eq!(mocked.header("X-Pot"), Some("1"));
    for (body, status) in [
        (r#"{"name": "x"}"#, 200),
        (r#"{"name": null}"#, 200),
        (r#"{"name": 3}"#, 422),
        ("{}", 422),
    ] {
        assert_eq!(gateway.post("/api/things", body).status, status, "{body}");
    }
    let _before = upstream.take();
    assert_eq!(gateway.get("/api/things/7").status, 200);
    assert_eq!(upstream.take_one().target, "/other/7");

    let gateway = serving(&set(api, "/middleware/operations/show/block", on));
    assert_eq!(gateway.get("/api/things/7").status, 403);
}

#[test]
fn a_key_is_asked_for_where_the_document_says() {
    let upstream = Upstream::echo();
    let declared = json!({"type": "apiKey", "in": "header", "name": "X-Key"});
    let api = secured(
        document("api", &upstream),
        "token",
        declared,
        json!({"enabled": true}),
    );
    let open = json!({"enabled": true});
    let api = set(
        api,
        "/middleware/operations/list/ignoreAuthentication",
        open,
    );
    let api = set(
        api,
        "/middleware/operations/show/mockResponse",
        json!({"enabled": true}),
    );
    let gateway = serving(&api);
    assert_eq!(gateway.get("/api/other").status, 401);
    assert_eq!(
        gateway.get("/api/things/7").status,
        401,
        "a mock is no open door"
    );
    let session = json!({"org_id": "org", "access_rights": {"api": {"api_id": "api"}}});
    let made = gateway.send(
        &Request::post("/tyk/keys/create", session.to_string())
            .header("X-Tyk-Authorization", SECRET),
    );
    let key = made.json()["key"].as_str().unwrap().to_owned();
    let with = |name: &str| Request::get("/api/other").header(name, &key);
    assert_eq!(gateway.send(&with("X-Key")).status, 200);
    assert_eq!(gateway.send(&with("Authorization")).status, 401);
    assert_eq!(gateway.get("/api/things").status, 200);
}

struct Case {
    about: &'static str,
    api: fn(Value) -> Value,
    support: &'static str,
    findings: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        about: "nothing odd",
        api: |api| api,
        support: "full",
        findings: &[],
    },
    Case {
        about: "what is switched off",
        api: |api| {
            set(
                api,
                "/server/customDomain",
                json!({"enabled": false, "name": "x"}),
            )
        },
        support: "full",
        findings: &[],
    },
    Case {
        about: "what only misses a feature",
        api: |api| set(api, "/server/detailedTracing", json!({"enabled": true})),
        support: "partial",
        findings: &["ignored x-tyk-api-gateway.server.detailedTracing"],
    },
    Case {
        about: "a domain",
        api: |api| {
            set(
                api,
                "/server/customDomain",
                json!({"enabled": true, "name": "x"}),
            )
        },
        support: "none",
        findings: &["refuses x-tyk-api-gateway.server.customDomain.enabled"],
    },
    Case {
        about: "versions in other APIs",
        api: |api| set(api, "/info/versioning", json!({"enabled": true})),
        support: "none",
        findings: &["refuses x-tyk-api-gateway.info.versioning.enabled"],
    },
    Case {
        about: "a scheme that is not implemented",
        api: |api| {
            secured(
                api,
                "oauth",
                json!({"type": "oauth2"}),
                json!({"enabled": true}),
            )
        },
        support: "none",
        findings: &["refuses x-tyk-api-gateway.server.authentication.securitySchemes.oauth"],
    },
    Case {
        about: "a signature of keys",
        api: |api| {
            let declared = json!({"type": "apiKey", "in": "header", "name": "X-Key"});
            let signed = json!({"enabled": true, "signatureValidation": {"enabled": true}});
            secured(api, "token", declared, signed)
        },
        support: "none",
        findings: &[
            "refuses x-tyk-api-gateway.server.authentication.securitySchemes.token.signatureValidation.enabled",
        ],
    },
    Case {
        about: "an operation that is not there",
        api: |api| {
            set(
                api,
                "/middleware/operations/lst/block",
                json!({"enabled": true}),
            )
        },
        support: "none",
        findings: &["refuses x-tyk-api-gateway.middleware.operations.lst"],
    },
    Case {
        about: "an operation with a function",
        api: |api| {
            let pointer = "/middleware/operations/list/virtualEndpoint";
            set(api, pointer, json!({"enabled": true, "functionName": "f"}))
        },
        support: "none",
        findings: &["refuses x-tyk-api-gateway.middleware.operations.list.virtualEndpoint.enabled"],
    },
    Case {
        about: "parameters that would have to be validated",
        api: |mut api| {
            let parameter = json!([{"in": "query", "name": "n", "schema": {"type": "integer"}}]);
            api["paths"]["/things"]["get"]["parameters"] = parameter;
            let pointer = "/middleware/operations/list/validateRequest";
            set(api, pointer, json!({"enabled": true}))
        },
        support: "none",
        findings: &["refuses x-tyk-api-gateway.middleware.operations.list.validateRequest.enabled"],
    },
    Case {
        about: "a hook that cannot run",
        api: |api| {
            let hooks = json!({"pluginConfig": {"driver": "cobol"},
                "prePlugins": [{"enabled": true, "functionName": "F"}]});
            set(api, "/middleware/global", hooks)
        },
        support: "none",
        findings: &["refuses x-tyk-api-gateway.middleware.global.prePlugins[0]"],
    },
    Case {
        about: "a policy that is not there",
        api: |api| {
            let declared = json!({"type": "http", "scheme": "bearer"});
            let jwt = json!({"enabled": true, "signingMethod": "hmac", "source": "c2VjcmV0",
                "defaultPolicies": ["gone"]});
            secured(api, "jwt", declared, jwt)
        },
        support: "partial",
        findings: &[
            "missing x-tyk-api-gateway.server.authentication.securitySchemes.jwt.defaultPolicies[0]",
        ],
    },
];

#[test]
fn what_is_not_done_is_named_and_protections_refuse() {
    let upstream = Upstream::echo();
    let mut wrong = Vec::new();
    for case in CASES {
        let api = (case.api)(document("api", &upstream)).to_string();
        let (_, report) = check(gateway().with_plugins().file("apps/api.json", api), &[]);
        let found = &report["definitions"][0];
        let is = (found["support"].as_str().unwrap(), findings(found));
        if is.0 != case.support || is.1 != case.findings || found["format"] != "oas" {
            wrong.push(format!("{}: {found:#}", case.about));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let domain = set(document("api", &upstream), "/server/port", json!(9000));
    let gateway = serving(&domain);
    gateway
        .get("/api/things")
        .assert_error(500, "Internal Server Error");
    gateway.wait_for_log_with(&["refuses its requests", "x-tyk-api-gateway.server.port"]);
}

/// What is wrong with a document, and what is said of it.
pub(super) fn mistakes(upstream: &Upstream) -> Vec<(Value, &'static str)> {
    let api = || document("bad", upstream);
    let without = |key: &str| {
        let mut api = api();
        api.as_object_mut().unwrap().remove(key);
        api
    };
    let mut twice = set(
        api(),
        "/middleware/operations/list/block",
        json!({"enabled": true}),
    );
    twice["paths"]["/things"]["post"]["operationId"] = json!("list");
    vec![
        (
            without("x-tyk-api-gateway"),
            "x-tyk-api-gateway: is missing",
        ),
        (without("openapi"), "openapi: `` is no version"),
        (
            set(api(), "/server/listenPath/strip", json!("yes")),
            "x-tyk-api-gateway.server.listenPath.strip: invalid type",
        ),
        (
            set(
                api(),
                "/upstream/rateLimit",
                json!({"enabled": true, "rate": 1, "per": "often"}),
            ),
            "x-tyk-api-gateway.upstream.rateLimit.per: `often` is no time",
        ),
        (twice, "operationId `list` is used more than once"),
        (set(api(), "/upstream/url", json!("no url")), "no url"),
    ]
}

#[test]
fn what_cannot_be_read_is_located() {
    let upstream = Upstream::echo();
    let mut builder = gateway();
    let mistakes = mistakes(&upstream);
    for (place, (api, _)) in mistakes.iter().enumerate() {
        builder = builder.file(&format!("apps/{place}.json"), api.to_string());
    }
    let nameless = set(document("x", &upstream), "/info/id", json!(""));
    let (_, report) = check(
        builder.file("apps/nameless.json", nameless.to_string()),
        &[],
    );
    let told = mistakes.iter().map(|(_, told)| *told);
    let told = told.chain(["x-tyk-api-gateway.info.id is missing or empty"]);
    for (place, told) in told.enumerate() {
        let error = report["definitions"][place]["errors"][0].as_str().unwrap();
        assert!(error.contains(told), "{told}: {error}");
    }
}
