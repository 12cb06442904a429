//! The plugin with which it all began.

use test_harness::{Definition, Receiver, Request, Upstream};

use super::Driver;
use crate::gateway;

pub(crate) fn the_first_plugin_is_seen_at_the_upstream(driver: Driver) {
    let receiver = Receiver::start();
    let upstream = Upstream::echo();
    let api = Definition::new("api").driver(driver).upstream(&upstream);
    let gateway = gateway()
        .fixture("seed", driver)
        .conf(receiver.handlers("a_middleware_event", "seed"))
        .api(api.pre("MyPreMiddleware").post("ReadBack"))
        .start();
    let request =
        Request::get("/api/get?param_remove=1&param_keep=2").header("Accept", "text/html");
    let response = gateway.send(&request);
    assert_eq!(response.status, 200, "{response:?}");
    let seen = upstream.take_one();
    assert_eq!(seen.header("custom_header"), Some("custom_value"));
    assert_eq!(seen.header("Accept"), None);
    assert_eq!(seen.header("X-Stored"), Some("cool_value"));
    assert!(
        matches!(
            seen.target.as_str(),
            "/get?param_a=value_a&param_keep=2" | "/get?param_keep=2&param_a=value_a"
        ),
        "{seen:?}"
    );
    let (_, hook) = receiver.wait_for_message("additional_data");
    assert_eq!(hook["event"], "a_middleware_event");
    gateway.wait_for_log_with(&["WARN", "seed:a_middleware_event", "additional_data"]);
}
