//! What a definition asks for and this gateway does not do.
//!
//! Most such keys only deserve a warning. Some protect an API: going on without them would
//! let through what the definition's author wanted stopped, so the API is refused.

use serde_json::Value;

use crate::json;

/// Keys that, when they ask for something, protect the API. `*` stands for any key or index.
const PROTECTIVE: &[&str] = &[
    "auth.validate_signature",
    "auth_configs.*.validate_signature",
    "definition.enabled",
    "domain",
    "enable_proxy_protocol",
    "graphql.enabled",
    "oauth_meta.allowed_access_types",
    "openid_options.providers",
    "request_signing.is_enabled",
    "use_go_plugin_auth",
    "use_oauth2",
    "use_openid",
    "version_data.versions.*.extended_paths.go_plugin",
    "version_data.versions.*.extended_paths.internal",
    "version_data.versions.*.extended_paths.transform_jq",
    "version_data.versions.*.extended_paths.transform_jq_response",
    "version_data.versions.*.extended_paths.validate_request",
    "version_data.versions.*.extended_paths.virtual",
];

/// The unread keys of a definition, sorted by what they mean for its API.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unenforced {
    /// Keys without which the API must not serve.
    pub protective: Vec<String>,
    /// Keys that have no effect.
    pub ignored: Vec<String>,
}

/// Looks at the keys that nothing read. Those that ask for nothing (false, zero, empty) are
/// left out when they are known names of the format; a misspelt name is always told.
pub fn sort(raw: &Value, unread: &[String]) -> Unenforced {
    sort_by(PROTECTIVE, raw, unread)
}

/// The same with other keys that protect.
pub fn sort_by(protective: &[&str], raw: &Value, unread: &[String]) -> Unenforced {
    let mut found = Unenforced::default();
    for pattern in protective {
        let parts: Vec<_> = pattern.split('.').collect();
        collect(raw, &parts, String::new(), &mut found.protective);
    }
    found.protective.retain(|key| !is_read(key, unread));
    for key in unread {
        let asks = json::at(raw, key).is_none_or(|value| !json::is_empty(value));
        let told = found
            .protective
            .iter()
            .any(|told| told.starts_with(key.as_str()));
        if asks && !told {
            found.ignored.push(key.clone());
        }
    }
    found
}

/// Whether the gateway reads `key`: it or one of its parents is not among the unread.
fn is_read(key: &str, unread: &[String]) -> bool {
    !unread.iter().any(|unread| {
        key == unread
            || key
                .strip_prefix(unread.as_str())
                .is_some_and(|rest| rest.starts_with('.'))
    })
}

fn collect(value: &Value, parts: &[&str], path: String, found: &mut Vec<String>) {
    let Some((part, rest)) = parts.split_first() else {
        if !json::is_empty(value) {
            found.push(path);
        }
        return;
    };
    let Value::Object(map) = value else { return };
    for (key, below) in map.iter().filter(|(key, _)| part == &"*" || part == key) {
        let path = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        collect(below, rest, path, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn protective_keys_are_told_apart_from_ignored_ones() {
        let raw = json!({
            "use_oauth2": true,
            "enable_proxy_protocol": false,
            "tags": ["x"],
            "tag_headers": [],
            "version_data": {"versions": {"1.0": {"extended_paths": {"virtual": [{"path": "a"}]}}}},
        });
        let unread = [
            "use_oauth2",
            "tags",
            "tag_headers",
            "version_data.versions.1.0.extended_paths",
        ]
        .map(str::to_owned);
        assert_eq!(
            sort(&raw, &unread),
            Unenforced {
                protective: vec![
                    "use_oauth2".into(),
                    "version_data.versions.1.0.extended_paths.virtual".into()
                ],
                ignored: vec!["tags".into()],
            }
        );
    }
}
