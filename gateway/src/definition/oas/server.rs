//! `server`: where clients come in.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Making, Mistake, Pair, Switch, auth, below, seconds};
use crate::config::EventHandler;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Server {
    listen_path: ListenPath,
    /// Left from older versions, of no use in the original either.
    #[serde(rename = "slug")]
    _slug: String,
    authentication: Option<auth::Authentication>,
    client_certificates: ClientCertificates,
    event_handlers: Vec<Handler>,
    context_variables: Switch,
    ip_access_control: IpAccessControl,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ListenPath {
    value: String,
    strip: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClientCertificates {
    enabled: bool,
    allowlist: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct IpAccessControl {
    enabled: bool,
    allow: Vec<String>,
    block: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Handler {
    enabled: bool,
    trigger: String,
    r#type: String,
    /// For the original's user interface.
    #[serde(rename = "id")]
    _id: Value,
    /// The same.
    #[serde(rename = "name")]
    _name: Value,
    url: String,
    method: String,
    headers: Vec<Pair>,
    body_template: String,
    cooldown_period: String,
    log_prefix: String,
}

impl Making<'_> {
    pub(super) fn server(&mut self, server: Server) -> Result<(), Mistake> {
        let definition = &mut self.definition;
        definition.proxy.listen_path = server.listen_path.value;
        definition.proxy.strip_listen_path = server.listen_path.strip;
        definition.use_mutual_tls_auth = server.client_certificates.enabled;
        definition.client_certificates = server.client_certificates.allowlist;
        definition.enable_context_vars = server.context_variables.enabled;
        let addresses = server.ip_access_control;
        definition.enable_ip_whitelisting = addresses.enabled && !addresses.allow.is_empty();
        definition.allowed_ips = addresses.allow;
        definition.enable_ip_blacklisting = addresses.enabled && !addresses.block.is_empty();
        definition.blacklisted_ips = addresses.block;
        for (place, handler) in server.event_handlers.into_iter().enumerate() {
            let event = handler.trigger.clone();
            let handler = handler.convert(&format!("server.eventHandlers[{place}]"))?;
            let events = &mut self.definition.event_handlers.events;
            events.entry(event).or_default().push(handler);
        }
        match server.authentication {
            Some(authentication) => self.authentication(authentication),
            None => {
                self.definition.use_keyless = true;
                Ok(())
            }
        }
    }
}

impl Handler {
    fn convert(self, path: &str) -> Result<EventHandler, Mistake> {
        let (name, mut meta) = match self.r#type.as_str() {
            "log" => ("eh_log_handler", json!({"prefix": self.log_prefix})),
            "webhook" => {
                let headers = self.headers.into_iter();
                let headers: Map<_, _> = headers
                    .map(|header| (header.name, Value::String(header.value)))
                    .collect();
                let meta = json!({
                    "method": self.method,
                    "target_path": self.url,
                    "template_path": self.body_template,
                    "header_map": headers,
                    "event_timeout":
                        seconds(&format!("{path}.cooldownPeriod"), &self.cooldown_period)?,
                });
                ("eh_web_hook_handler", meta)
            }
            "custom" => ("eh_dynamic_handler", json!({})),
            other => {
                let message = format!("`{other}` is not one of webhook, log, custom");
                return Err((below(&format!("{path}.type")), message));
            }
        };
        meta["disabled"] = json!(!self.enabled);
        let Value::Object(handler_meta) = meta else {
            unreachable!("it is an object")
        };
        Ok(EventHandler {
            handler_name: name.into(),
            handler_meta,
        })
    }
}
