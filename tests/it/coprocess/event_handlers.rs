//! Event handlers in plugins.

use std::time::Duration;

use serde_json::{Value, json};
use test_harness::probe::Probe;
use test_harness::{
    Bundle, BundleServer, Definition, Gateway, GatewayBuilder, Receiver, Request, Upstream, wait,
};

use super::Driver;
use crate::gateway;

fn handler(name: &str) -> Value {
    json!({"handler_name": "cp_dynamic_handler", "handler_meta": {"name": name}})
}

/// An API whose `AuthFailure` is told to these functions. What they are told with is sent to
/// the receiver as the system event `told`.
fn with_handlers(
    driver: Driver,
    upstream: &Upstream,
    receiver: &Receiver,
    functions: &[&str],
) -> GatewayBuilder {
    let handlers: Vec<_> = functions.iter().map(|name| handler(name)).collect();
    let api = Definition::new("api")
        .driver(driver)
        .upstream(upstream)
        .pre("Refuse")
        .set("/event_handlers/events/AuthFailure", handlers);
    gateway()
        .fixture("handlers", driver)
        .conf(receiver.handlers("told", "told"))
        .api(api)
        .api(
            Definition::new("quick")
                .driver(driver)
                .upstream(upstream)
                .pre("Quick"),
        )
}

fn refuse(gateway: &Gateway, path: &str) {
    let request = Request::get(path).header("X-Code", "403");
    assert_eq!(gateway.send(&request).status, 403);
}

/// The message of the event that was told about a request for `path`.
#[track_caller]
fn told(receiver: &Receiver, path: &str) -> Value {
    let message = |body: &[u8]| -> Option<Value> {
        let body: Value = serde_json::from_slice(body).ok()?;
        serde_json::from_str(body["message"].as_str()?).ok()
    };
    let received = receiver.wait_for(&format!("an event about {path}"), |received| {
        message(&received.body).is_some_and(|told| told["event"]["Meta"]["Path"] == path)
    });
    message(&received.body).unwrap()
}

pub(crate) fn a_handler_gets_the_whole_message(driver: Driver) {
    let (upstream, receiver) = (Upstream::echo(), Receiver::start());
    let gateway = with_handlers(driver, &upstream, &receiver, &["tell"]).start();
    refuse(&gateway, "/api/gr%C3%BCsse");
    let told = told(&receiver, "/api/gr%C3%BCsse");
    assert_eq!(told["spec"], json!({"APIID": "api", "OrgID": "org"}));
    let mut event = told["event"].clone();
    let time = event["TimeStamp"].take();
    assert_eq!(time.as_str().unwrap().split(' ').count(), 4, "{time}");
    let request = event["Meta"]["OriginatingRequest"].take();
    assert!(
        request.as_str().unwrap().starts_with("R0VUIC9hcGkv"),
        "{request}"
    );
    let meta = json!({
        "Message": "Auth Failure",
        "OriginatingRequest": null,
        "Path": "/api/gr%C3%BCsse",
        "Origin": "127.0.0.1",
        "Key": ""
    });
    let expected = json!({"Type": "AuthFailure", "Meta": meta, "TimeStamp": null});
    assert_eq!(event, expected);
}

pub(crate) fn handlers_that_raise_loop_or_sleep_harm_nobody(driver: Driver) {
    let (upstream, receiver) = (Upstream::echo(), Receiver::start());
    let functions = ["raises", "loops", "sleeps", "tell"];
    let gateway = with_handlers(driver, &upstream, &receiver, &functions)
        .conf(json!({"coprocess_options": {"hook_timeout_ms": 200}}))
        .start();
    let probe = Probe::start(gateway.address(), "/quick/");
    for number in 0..5 {
        let path = format!("/api/{number}");
        refuse(&gateway, &path);
        told(&receiver, &path);
    }
    probe
        .finish()
        .assert_undisturbed(Duration::from_millis(500));
    let file = match driver {
        "python" => "handlers.py",
        _ => "handlers.lua",
    };
    for function in ["raises", "loops", "sleeps"] {
        let about = format!("event handler `{function}` of API `api`");
        let line = gateway.wait_for_log_with(&["ERROR", &about]);
        // What is said goes on in the lines below.
        wait::until("the place and the driver are told", || {
            let log = gateway.log().text();
            let said = log.lines().skip_while(|found| *found != line).take(12);
            let said: String = said.collect();
            said.contains(file) && said.contains(&format!("prefix=\"{driver}\""))
        });
    }
    gateway.wait_for_log("handler is broken");
    gateway.wait_for_log("longer than 200ms");
}

pub(crate) fn a_handler_that_is_not_there_is_said_and_its_api_serves(driver: Driver) {
    let (upstream, receiver) = (Upstream::echo(), Receiver::start());
    let functions = ["missing", "tell"];
    let gateway = with_handlers(driver, &upstream, &receiver, &functions).start();
    let said = [
        "ERROR",
        "Event handler is not made",
        "api=\"api\"",
        "no function `missing`",
        "tell",
    ];
    gateway.wait_for_log_with(&said);
    let listed = gateway.admin("/tyk/apis/api/plugins").json();
    let reports = &listed["event_handlers"];
    assert_eq!(reports[0]["name"], "missing", "{listed}");
    assert!(
        reports[0]["problem"].as_str().unwrap().contains("tell"),
        "{listed}"
    );
    assert_eq!(reports[1]["problem"], Value::Null, "{listed}");
    assert_eq!(gateway.get("/ready").status, 200);
    refuse(&gateway, "/api/other");
    told(&receiver, "/api/other");
}

pub(crate) fn handlers_are_not_made_while_plugins_are_off(driver: Driver) {
    let (upstream, receiver) = (Upstream::echo(), Receiver::start());
    let gateway = with_handlers(driver, &upstream, &receiver, &["tell"])
        .conf(json!({"coprocess_options": {"enable_coprocess": false}}))
        .start();
    gateway.wait_for_log_with(&["no plugin driver is available", "enable_coprocess"]);
}

pub(crate) fn handlers_lie_in_a_folder_of_their_own_too(driver: Driver) {
    let (upstream, receiver) = (Upstream::echo(), Receiver::start());
    let (file, code) = match driver {
        "python" => (
            "own.py",
            "from tyk.decorators import *\nfrom gateway import TykGateway as tyk\nimport json\n\
             @Event\ndef elsewhere(event, spec):\n    \
             tyk.trigger_event('told', json.dumps({'event': event}))\n",
        ),
        _ => (
            "own.lua",
            "local cjson = require('cjson')\nfunction elsewhere(event, spec)\n  \
             tyk.trigger_event('told', cjson.encode({event = event}))\nend\n",
        ),
    };
    let gateway = with_handlers(driver, &upstream, &receiver, &["elsewhere", "nowhere"])
        .file(&format!("event_handlers/{file}"), code)
        .start();
    gateway.wait_for_log_with(&["no function `nowhere`", "in event_handlers", "elsewhere"]);
    refuse(&gateway, "/api/x");
    told(&receiver, "/api/x");
}

pub(crate) fn handlers_come_with_bundles_too(driver: Driver) {
    let (upstream, receiver, server) = (Upstream::echo(), Receiver::start(), BundleServer::start());
    let bundle = Bundle::new(driver)
        .fixture("handlers", driver)
        .pre("Refuse");
    server.put("own.zip", bundle.zip());
    let api = Definition::new("api")
        .upstream(&upstream)
        .set("/custom_middleware_bundle", "own.zip")
        .set(
            "/event_handlers/events/AuthFailure",
            json!([handler("tell")]),
        );
    let gateway = gateway()
        .with_plugins()
        .conf(server.conf())
        .conf(receiver.handlers("told", "told"))
        .api(api)
        .start();
    refuse(&gateway, "/api/x");
    told(&receiver, "/api/x");
}

pub(crate) fn a_handler_in_a_broken_file_is_told_with_the_reason(driver: Driver) {
    let (upstream, receiver) = (Upstream::echo(), Receiver::start());
    let file = match driver {
        "python" => "middleware/python/broken.py",
        _ => "middleware/lua/broken.lua",
    };
    let gateway = with_handlers(driver, &upstream, &receiver, &["broken"])
        .file(file, "def ) end (")
        .start();
    gateway.wait_for_log_with(&["not made", "no function `broken`", "; ", "broken."]);
}

pub(crate) fn a_reload_brings_new_handlers(driver: Driver) {
    let (upstream, receiver) = (Upstream::echo(), Receiver::start());
    let gateway = with_handlers(driver, &upstream, &receiver, &["tell"]).start();
    refuse(&gateway, "/api/old");
    told(&receiver, "/api/old");
    let (file, code) = match driver {
        "python" => (
            "handlers.py",
            "from tyk.decorators import *\nfrom gateway import TykGateway as tyk\n\
             @Hook\ndef Refuse(request, session, spec):\n    \
             request.object.return_overrides.response_code = 403\n    return request, session\n\
             @Event\ndef tell(event, spec):\n    tyk.log('the new one', 'info')\n",
        ),
        _ => (
            "handlers.lua",
            "function Refuse(request, session, spec)\n  \
             request.return_overrides.response_code = 403\n  return request, session\nend\n\
             function tell(event, spec)\n  tyk.log('the new one', 'info')\nend\n",
        ),
    };
    gateway.write(&format!("middleware/{driver}/{file}"), code);
    gateway.reload();
    refuse(&gateway, "/api/new");
    gateway.wait_for_log("the new one");
    assert_eq!(receiver.received().len(), 1);
}

pub(crate) fn handlers_that_fire_events_do_not_go_in_circles(driver: Driver) {
    let (upstream, receiver) = (Upstream::echo(), Receiver::start());
    let gateway = with_handlers(driver, &upstream, &receiver, &["circles", "tell"])
        .conf(receiver.handlers("AuthFailure", "system"))
        .start();
    refuse(&gateway, "/api/1");
    told(&receiver, "/api/1");
    receiver.wait_for_message("from the handler");
    refuse(&gateway, "/api/2");
    told(&receiver, "/api/2");
    wait::until("both have fired", || receiver.received().len() >= 4);
    assert_eq!(receiver.received().len(), 4, "{:#?}", receiver.received());
}

/// Fires 100,000 events while the receiver of their web hooks answers none of them.
pub(crate) fn a_flood_of_events_is_bounded_and_slows_nobody_down(driver: Driver) {
    let upstream = Upstream::echo();
    let silent = Upstream::serving(|connection| while connection.next_request().is_some() {});
    let hook = json!({"handler_name": "eh_web_hook_handler", "handler_meta": {
        "target_path": silent.url("/")
    }});
    let api = |id: &str| Definition::new(id).driver(driver).upstream(&upstream);
    let gateway = gateway()
        .fixture("handlers", driver)
        .conf(json!({"event_handlers": {"events": {"flood": [hook]}}}))
        .conf(json!({"coprocess_options": {"lua_burst_ms": 5000}, "log_level": "info"}))
        .api(api("api").pre("Flood"))
        .api(api("plain"))
        .start();
    let mut connection = gateway.connect();
    let mut flood = |events: &str| {
        let request = Request::get("/api/").header("X-Events", events);
        assert_eq!(connection.request(&request).status, 200);
    };
    flood("1000");
    let before = resident(&gateway);
    let probe = Probe::start(gateway.address(), "/plain/");
    for _ in 0..1000 {
        flood("100");
    }
    probe
        .finish()
        .assert_undisturbed(Duration::from_millis(500));
    let grown = resident(&gateway).saturating_sub(before);
    assert!(grown < 32 << 10, "{grown} KiB more than {before} KiB");
    gateway.wait_for_log_with(&["WARN", "event dropped"]);
    let said = gateway.log().text().matches("event dropped").count();
    assert!(said < 60, "once per power of two, not {said} times");
}

/// KiB of memory in use.
fn resident(gateway: &Gateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let size = line.and_then(|line| line.split_whitespace().nth(1));
    size.unwrap().parse().unwrap()
}
