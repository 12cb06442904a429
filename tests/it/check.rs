//! `gateway check`: what it finds, how it scores definitions, and how it ends.

use serde_json::{Value, json};
use test_harness::{Definition, GatewayBuilder};

use crate::gateway;

/// Runs a check; its exit code and its report.
#[track_caller]
pub(crate) fn check(builder: GatewayBuilder, more: &[&str]) -> (Option<i32>, Value) {
    let ended = builder.run(&[&["check", "--conf", "tyk.conf", "--json"], more].concat());
    let report = serde_json::from_str(&ended.output);
    let report = report.unwrap_or_else(|error| panic!("{error}: {}", ended.log));
    (ended.status.code(), report)
}

/// The findings of a definition, as `effect path`.
pub(crate) fn findings(definition: &Value) -> Vec<String> {
    let findings = definition["findings"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    findings
        .map(|found| format!("{} {}", text(&found["effect"]), text(&found["path"])))
        .collect()
}

/// A definition with ten fields: five at the top, two of versions, and three of `proxy`.
fn api() -> Definition {
    Definition::new("api")
}

struct Case {
    about: &'static str,
    api: Definition,
    support: &'static str,
    honoured: u64,
    set: u64,
    findings: &'static [&'static str],
    /// Parts of what is said beside the findings.
    told: &'static [&'static str],
}

/// Its fields.
const OWN: u64 = 10;

/// A case of a definition with `more` fields than [`api`], of which so many are lost.
fn case(
    about: &'static str,
    api: Definition,
    support: &'static str,
    (lost, more): (u64, u64),
    findings: &'static [&'static str],
) -> Case {
    Case {
        about,
        api,
        support,
        honoured: OWN + more - lost,
        set: OWN + more,
        findings,
        told: &[],
    }
}

/// What a definition asks for.
fn cases_of_fields() -> Vec<Case> {
    let extended = "/version_data/versions/Default/extended_paths";
    vec![
        case("nothing odd", api(), "full", (0, 0), &[]),
        case(
            "what asks for nothing does not count",
            api().set("/tags", json!([])).set("/enable_jwt", false),
            "full",
            (0, 0),
            &[],
        ),
        case(
            "a misspelt key",
            api().set("/proxy/strip_listen_pth", true),
            "partial",
            (1, 1),
            &["ignored proxy.strip_listen_pth"],
        ),
        case(
            "a known key that is not implemented",
            api().set("/tags", json!(["a", "b"])),
            "partial",
            (1, 1),
            &["ignored tags"],
        ),
        case(
            "a protection that is not there",
            api().set("/use_oauth2", true).set("/tags", json!(["a"])),
            "none",
            (2, 2),
            &["refuses use_oauth2", "ignored tags"],
        ),
        case(
            "a protection that is switched off",
            api().set("/graphql", json!({"enabled": false, "schema": "x"})),
            "full",
            (0, 0),
            &[],
        ),
        case(
            "a protection of a path",
            api().set(&format!("{extended}/virtual"), json!([{"path": "/a"}])),
            "none",
            (1, 1),
            &["refuses version_data.versions.Default.extended_paths.virtual"],
        ),
    ]
}

/// What only shows when an API is made.
fn cases_of_loading() -> Vec<Case> {
    vec![
        Case {
            told: &["cobol `NoSuch`"],
            ..case(
                "a hook that cannot run",
                api()
                    .driver("cobol")
                    .hook("pre", json!({"name": "Off", "disabled": true}))
                    .pre("NoSuch"),
                "none",
                (0, 4),
                &["refuses custom_middleware.pre[1]"],
            )
        },
        Case {
            told: &["there is no policy `gone`"],
            ..case(
                "a policy that is not there",
                api().set("/jwt_default_policies", json!(["gone"])),
                "partial",
                (0, 1),
                &["missing jwt_default_policies[0]"],
            )
        },
        Case {
            told: &["event_handlers.events.AuthFailure", "nobody"],
            ..case(
                "a handler that cannot be made",
                api().set(
                    "/event_handlers/events/AuthFailure",
                    json!([{"handler_name": "nobody"}]),
                ),
                "none",
                (0, 1),
                &[],
            )
        },
        Case {
            told: &["proxy.target_url"],
            ..case("no upstream", api().target("no url"), "none", (0, 0), &[])
        },
    ]
}

#[test]
fn definitions_are_scored_field_by_field() {
    let mut wrong = Vec::new();
    for case in cases_of_fields().into_iter().chain(cases_of_loading()) {
        let (code, report) = check(gateway().with_plugins().api(case.api), &[]);
        let found = &report["definitions"][0];
        let fields = &found["fields"];
        let is = (
            found["support"].as_str().unwrap(),
            fields["honoured"].as_u64().unwrap(),
            fields["set"].as_u64().unwrap(),
            findings(found),
            code == Some(0),
        );
        let expected = (
            case.support,
            case.honoured,
            case.set,
            case.findings.iter().map(|f| (*f).to_owned()).collect(),
            case.support != "none",
        );
        if is != expected {
            wrong.push(format!("{}: {is:?} is not {expected:?}", case.about));
        }
        let text = found.to_string();
        for part in case.told.iter().filter(|part| !text.contains(**part)) {
            wrong.push(format!("{}: {part} is missing in {text}", case.about));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_report_has_everything_and_strict_takes_warnings_for_errors() {
    let policy = json!({
        "good": {"access_rights": {"api": {}, "gone": {}}, "no_such_key": 1},
        "bad": {"rate": -2},
    });
    let odd = || {
        gateway()
            .conf(json!({"listen_prot": 1}))
            .api(api().set("/tags", json!(["a"])))
    };
    let (code, report) = check(odd(), &[]);
    assert_eq!((code, &report["ok"]), (Some(0), &json!(true)), "{report}");
    let (code, report) = check(odd(), &["--strict"]);
    assert_eq!((code, &report["ok"]), (Some(1), &json!(false)), "{report}");
    let (code, report) = check(
        odd()
            .file("apps/broken.json", "{")
            .file("policies.json", policy.to_string())
            .conf(json!({
                "policies": {"policy_record_name": "policies.json"},
                "event_handlers": {"events": {"x": [{"handler_name": "nobody"}]}},
            })),
        &[],
    );
    assert_eq!(code, Some(1), "{report}");
    assert_eq!(report["form"], 1);
    assert_eq!(
        report["summary"],
        json!({"definitions": 2, "full": 0, "partial": 1, "none": 1, "errors": 3, "warnings": 4}),
        "{report:#}"
    );
    for (pointer, part) in [
        ("/configuration/file", "tyk.conf"),
        ("/configuration/warnings/0", "listen_prot"),
        ("/configuration/errors/0", "event_handlers.events.x"),
        ("/definitions/0/file", "apps/api.json"),
        ("/definitions/0/findings/0/path", "tags"),
        ("/definitions/1/errors/0", "apps/broken.json:1:1"),
        ("/policies/errors/0", "bad.rate"),
        ("/policies/warnings/0", "policies.json: good.no_such_key"),
        ("/policies/warnings/1", "policy `good`: access_rights.gone"),
    ] {
        let found = report.pointer(pointer).and_then(Value::as_str);
        assert!(
            found.is_some_and(|text| text.contains(part)),
            "{pointer}: {report:#}"
        );
    }
    assert_eq!(report["policies"]["loaded"], 1);
}

#[test]
fn a_configuration_that_cannot_be_used_is_reported_too() {
    let (code, report) = check(gateway().conf(json!({"log_level": "loud"})), &[]);
    assert_eq!((code, &report["ok"]), (Some(1), &json!(false)));
    assert!(
        report["configuration"]["errors"][0]
            .as_str()
            .unwrap()
            .contains("loud")
    );
    let (code, report) = check(gateway().conf(json!({"app_path": "nowhere"})), &[]);
    assert_eq!(code, Some(1));
    assert!(
        report["errors"][0].as_str().unwrap().contains("nowhere"),
        "{report}"
    );
}

#[test]
fn people_get_a_table_and_a_line_that_sums_up() {
    let ended = gateway()
        .conf(json!({"listen_prot": 1}))
        .api(Definition::new("fine"))
        .api(Definition::new("odd").set("/use_oauth2", true))
        .run(&["check", "--conf", "tyk.conf"]);
    assert_eq!(ended.status.code(), Some(1));
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<_> = ended.output.lines().map(words).collect();
    assert_eq!(
        lines[..5],
        [
            "definition fields supported",
            "apps/fine.json 10/10 100% fully",
            "apps/odd.json 10/11 90% no",
            "refuses use_oauth2",
            "",
        ],
        "{}",
        ended.output
    );
    assert_eq!(lines[5], "configuration: tyk.conf");
    assert_eq!(
        lines.last().unwrap(),
        "failed: 2 definitions, 1 fully, 0 partly, 1 not supported; 1 errors, 1 warnings"
    );
}
