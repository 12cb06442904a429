//! API definitions in the classic form, built the way a scenario tells them.

use serde_json::{Map, Value, json};

use crate::Upstream;

/// One API definition file in the making. Keyless and unversioned unless told otherwise.
#[derive(Debug, Clone)]
pub struct Definition {
    id: String,
    json: Value,
}

impl Definition {
    /// An API that listens at `/<id>/`.
    #[must_use]
    pub fn new(id: &str) -> Self {
        let json = json!({
            "name": id,
            "api_id": id,
            "org_id": "org",
            "use_keyless": true,
            "active": true,
            "version_data": {
                "not_versioned": true,
                "versions": {"Default": {"name": "Default"}}
            },
            "proxy": {
                "listen_path": format!("/{id}/"),
                "target_url": "http://127.0.0.1:1",
                "strip_listen_path": true
            }
        });
        Self {
            id: id.to_owned(),
            json,
        }
    }

    /// The API's id, which also names its file.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Listens at `path` instead of `/<id>/`.
    #[must_use]
    pub fn listen(self, path: &str) -> Self {
        self.set("/proxy/listen_path", path)
    }

    /// Sends to `upstream`.
    #[must_use]
    pub fn upstream(self, upstream: &Upstream) -> Self {
        self.target(&upstream.url(""))
    }

    /// Sends to the given URL.
    #[must_use]
    pub fn target(self, url: &str) -> Self {
        self.set("/proxy/target_url", url)
    }

    /// Leaves the listen path in the upstream's URL.
    #[must_use]
    pub fn keep_listen_path(self) -> Self {
        self.set("/proxy/strip_listen_path", false)
    }

    /// Passes the client's `Host` on.
    #[must_use]
    pub fn preserve_host(self) -> Self {
        self.set("/proxy/preserve_host_header", true)
    }

    /// The language of hooks that do not name their own.
    #[must_use]
    pub fn driver(self, driver: &str) -> Self {
        self.set("/custom_middleware/driver", driver)
    }

    /// Adds a `pre` hook.
    #[must_use]
    pub fn pre(self, function: &str) -> Self {
        self.hook("pre", json!({"name": function}))
    }

    /// Adds a `post_key_auth` hook.
    #[must_use]
    pub fn post_key_auth(self, function: &str) -> Self {
        self.hook("post_key_auth", json!({"name": function}))
    }

    /// Adds a `post` hook.
    #[must_use]
    pub fn post(self, function: &str) -> Self {
        self.hook("post", json!({"name": function}))
    }

    /// Adds a `response` hook.
    #[must_use]
    pub fn response(self, function: &str) -> Self {
        self.hook("response", json!({"name": function}))
    }

    /// Adds a hook of the given kind (`pre`, `post`, …) with an entry of its own.
    #[must_use]
    pub fn hook(mut self, kind: &str, entry: Value) -> Self {
        let list = self.slot(&format!("/custom_middleware/{kind}"));
        match list {
            Value::Array(entries) => entries.push(entry),
            other => *other = json!([entry]),
        }
        self
    }

    /// Lets a plugin function decide who may call.
    #[must_use]
    pub fn auth_check(self, function: &str) -> Self {
        self.auth_hook(json!({"name": function}))
    }

    /// Lets a plugin function decide who may call; with a hook entry of its own.
    #[must_use]
    pub fn auth_hook(self, entry: Value) -> Self {
        self.set("/use_keyless", false)
            .set("/custom_plugin_auth_enabled", true)
            .set("/custom_middleware/auth_check", entry)
    }

    /// Sets any value by JSON pointer; objects on the way are made.
    #[must_use]
    pub fn set(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        *self.slot(pointer) = value.into();
        self
    }

    /// The file's content.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(&self.json).unwrap()
    }

    fn slot(&mut self, pointer: &str) -> &mut Value {
        let mut value = &mut self.json;
        for key in pointer.split('/').skip(1) {
            if !value.is_object() {
                *value = Value::Object(Map::new());
            }
            value = value
                .as_object_mut()
                .unwrap()
                .entry(key)
                .or_insert(Value::Null);
        }
        value
    }
}
