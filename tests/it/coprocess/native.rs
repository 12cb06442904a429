//! The C API from inside a running gateway: whoever calls `TykTriggerEvent`, the event arrives.

use std::path::PathBuf;

use test_harness::native::compile_library;
use test_harness::{Definition, Gateway, GatewayBuilder, Receiver, Request, Upstream};

use super::Driver;
use crate::gateway;

/// A shared library as a C programmer would write it: it includes the header and calls.
const RELAY: &str = r#"
#include <stdlib.h>
#include <string.h>
#include "api.h"

void relay_event(char *name, char *payload) { TykTriggerEvent(name, payload); }

/* Stores, reads back, releases what it was given, and tells by an event what it read. */
void relay_round_trip(char *name, char *key, char *value) {
    TykStoreData(key, value, 60);
    char *found = TykGetData(key);
    TykTriggerEvent(name, found == NULL ? (char *)"nothing" : found);
    free(found);
}

void relay_nonsense(void) {
    static char not_utf8[] = "\xff\xfe caf\xe9";
    static char key[] = "key";
    struct CoProcessMessage message = { not_utf8, (int)strlen(not_utf8) };
    TykTriggerEvent(NULL, NULL);
    TykTriggerEvent(NULL, message.p_data);
    TykTriggerEvent(not_utf8, not_utf8);
    TykStoreData(NULL, NULL, 1);
    TykStoreData(key, NULL, -1);
    TykStoreData(not_utf8, not_utf8, 0);
    free(TykGetData(NULL));
    free(TykGetData(not_utf8));
    CoProcessLog(NULL, NULL);
    CoProcessLog(not_utf8, not_utf8);
}
"#;

/// A gateway in the making that listens for events, and where they go.
pub(crate) struct Native {
    builder: GatewayBuilder,
    receiver: Receiver,
    upstream: Upstream,
}

impl Native {
    /// Both handlers are configured for the event `native`.
    pub(crate) fn new() -> Self {
        let receiver = Receiver::start();
        let builder = gateway().conf(receiver.handlers("native", "c-api"));
        Self {
            builder,
            receiver,
            upstream: Upstream::echo(),
        }
    }

    /// Changes the gateway before it starts.
    pub(crate) fn with(mut self, change: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Self {
        self.builder = change(self.builder);
        self
    }

    /// A folder for build results, beside the gateway's own files.
    pub(crate) fn build_folder(&self) -> PathBuf {
        let folder = self.builder.folder().join("native");
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// The shared library, built.
    pub(crate) fn relay(&self) -> PathBuf {
        compile_library(&self.build_folder(), "relay", RELAY)
    }

    /// Starts with a plugin whose function `Call` runs as a `pre` hook.
    pub(crate) fn start(self, driver: Driver, file: &str, source: &str) -> RunningNative {
        let api = Definition::new("api")
            .driver(driver)
            .upstream(&self.upstream)
            .pre("Call");
        let gateway = self.builder.plugin(driver, file, source).api(api).start();
        RunningNative {
            gateway,
            receiver: self.receiver,
            _upstream: self.upstream,
        }
    }
}

/// A gateway whose plugin calls the C API.
pub(crate) struct RunningNative {
    /// The gateway.
    pub(crate) gateway: Gateway,
    receiver: Receiver,
    _upstream: Upstream,
}

impl RunningNative {
    /// Asks the plugin to call, with a payload in the request.
    #[track_caller]
    pub(crate) fn call(&self, payload: &str) {
        let request = Request::get("/api/").header("X-Payload", payload);
        let response = self.gateway.send(&request);
        assert_eq!(response.status, 200, "{response:?}");
    }

    /// Waits for the event at both of its handlers.
    #[track_caller]
    pub(crate) fn assert_arrives(&self, payload: &str) {
        let (_, hook) = self.receiver.wait_for_message(payload);
        assert_eq!(hook["event"], "native", "{hook}");
        self.gateway
            .wait_for_log_with(&["WARN", "c-api:native", payload]);
    }

    /// Calls and waits, twice: the second call proves that the first did no harm.
    #[track_caller]
    pub(crate) fn check(&self) {
        for payload in ["first payload", "zweite Nachricht: grüße"] {
            self.call(payload);
            self.assert_arrives(payload);
        }
    }
}
