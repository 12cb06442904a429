//! `eh_web_hook_handler`: tells an HTTP server of an event.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use md5::{Digest, Md5};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use super::Tools;
use super::bounds::{Bounds, Reserved};
use super::message::Message;
use super::template::Template;
use crate::outbound::{self, Outbound};
use crate::storage::{Store, keys};

/// Longest delivery, from connecting to the end of the answer, and longest answer.
const LIMITS: outbound::Bounds = outbound::Bounds {
    time: Duration::from_secs(30),
    bytes: 1 << 20,
};

/// Most deliveries at the same time, per handler.
const CONCURRENT: usize = 16;

/// Most events that wait for delivery, per handler, and most bytes of them.
const WAITING: (usize, usize) = (1024, 4 << 20);

/// The methods that the original knows.
const METHODS: [Method; 5] = [
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

/// The settings of a web hook.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WebhookMeta {
    method: String,
    target_path: String,
    template_path: String,
    header_map: BTreeMap<String, String>,
    event_timeout: u64,
    pub(super) disabled: bool,
}

/// One configured web hook.
pub(super) struct Webhook {
    method: Method,
    target: Uri,
    /// Host and port, for the log: paths and queries of targets are often secrets.
    authority: String,
    headers: HeaderMap,
    template: Template,
    /// How long an identical request is not sent again.
    window: Duration,
    store: Arc<dyn Store>,
    outbound: Outbound,
    api: Option<String>,
    slots: Semaphore,
    bounds: Bounds,
}

impl Webhook {
    pub(super) fn new(
        settings: &WebhookMeta,
        tools: &Tools,
        api: Option<&str>,
    ) -> Result<Self, String> {
        let target = target(&settings.target_path)?;
        let template = Template::load(&settings.template_path)
            .map_err(|error| wrong("template_path", &settings.template_path, &error))?;
        let authority = target.authority().map(|authority| {
            let port = authority.port().map(|port| format!(":{port}"));
            format!("{}{}", authority.host(), port.unwrap_or_default())
        });
        Ok(Self {
            method: method(&settings.method)?,
            headers: headers(&settings.header_map, template.content_type())?,
            target,
            authority: authority.unwrap_or_default(),
            template,
            window: Duration::from_secs(settings.event_timeout),
            store: Arc::clone(&tools.store),
            outbound: tools.outbound()?,
            api: api.map(str::to_owned),
            slots: Semaphore::new(CONCURRENT),
            bounds: Bounds::new(WAITING, &tools.under_way),
        })
    }

    /// Sends the event, without waiting for it. A receiver that is too slow for what it is
    /// sent loses some.
    pub(super) fn send_soon(self: &Arc<Self>, message: &Arc<Message>) {
        let place = self.bounds.reserve(message.size(), |dropped| {
            let (api, event, to) = (self.api.as_deref(), &*message.name, &*self.authority);
            warn!(
                api,
                event, to, dropped, "Web hook is too slow, event dropped."
            );
        });
        if let Some(place) = place {
            let (webhook, message) = (Arc::clone(self), Arc::clone(message));
            tokio::spawn(async move { webhook.deliver(&message, place).await });
        }
    }

    /// Sends the event; a failure is logged.
    async fn deliver(&self, message: &Message, _place: Reserved) {
        let Ok(_slot) = self.slots.acquire().await else {
            return;
        };
        let (api, event, to) = (self.api.as_deref(), &*message.name, &*self.authority);
        let body = match self.template.render(message) {
            Ok(body) => body,
            Err(error) => return warn!(api, event, to, error, "Web hook's template failed."),
        };
        let mark = (!self.window.is_zero()).then(|| self.mark(&body));
        if let Some(mark) = &mark
            && !self.is_new(mark).await
        {
            return debug!(
                api,
                event, to, "Web hook suppressed: the same was sent a moment ago."
            );
        }
        match self.outbound.send(self.request(body), LIMITS).await {
            Ok(response) if response.status().as_u16() < 400 => {
                let status = response.status().as_u16();
                debug!(api, event, to, status, "Web hook delivered.");
            }
            Ok(response) => {
                let status = response.status().as_u16();
                warn!(api, event, to, status, "Web hook was refused.");
                if may_pass(response.status()) {
                    self.forget(mark.as_deref(), event).await;
                }
            }
            Err(error) => {
                warn!(%error, api, event, to, "Web hook failed.");
                self.forget(mark.as_deref(), event).await;
            }
        }
    }

    /// What did not arrive may be sent again at once.
    async fn forget(&self, mark: Option<&str>, event: &str) {
        if let Some(mark) = mark
            && let Err(error) = self.store.delete(mark).await
        {
            let (api, to) = (self.api.as_deref(), &*self.authority);
            debug!(%error, api, event, to, "Web hook's mark stays.");
        }
    }

    /// Whether the same request was not sent within the window. When the store does not
    /// tell, twice is better than never.
    async fn is_new(&self, mark: &str) -> bool {
        let sent = Bytes::from_static(b"1");
        let marked = self.store.set_if_absent(mark, sent, Some(self.window));
        marked.await.unwrap_or_else(|error| {
            warn!(%error, api = self.api, to = self.authority, "Web hook is sent unsuppressed.");
            true
        })
    }

    /// The key under which a request is remembered.
    fn mark(&self, body: &[u8]) -> String {
        let mut sum = Md5::new();
        for part in [self.method.as_str(), &self.target.to_string()] {
            sum.update(part);
            sum.update(b"\n");
        }
        sum.update(body);
        let sum = sum.finalize();
        let digits: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}{digits}", keys::WEBHOOK)
    }

    fn request(&self, body: Bytes) -> Request<Bytes> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// Whether the same request may succeed a moment later.
fn may_pass(status: StatusCode) -> bool {
    let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    status.is_server_error() || passing.contains(&status)
}

// === settings ===

fn wrong(key: &str, value: &str, reason: &str) -> String {
    format!("handler_meta.{key}: `{value}` {reason}")
}

fn method(name: &str) -> Result<Method, String> {
    if name.is_empty() {
        return Ok(Method::POST);
    }
    let upper = name.to_uppercase();
    let known = METHODS.iter().find(|method| method.as_str() == upper);
    known.cloned().ok_or_else(|| {
        let names: Vec<_> = METHODS.iter().map(Method::as_str).collect();
        wrong(
            "method",
            name,
            &format!("is not one of {}", names.join(", ")),
        )
    })
}

fn target(url: &str) -> Result<Uri, String> {
    let refused = |reason: &str| Err(wrong("target_path", url, reason));
    if url.is_empty() {
        return refused("is empty; give the URL to send to");
    }
    let Ok(target) = url.parse::<Uri>() else {
        return refused("is not a URL");
    };
    match target.scheme_str() {
        Some("http" | "https") if target.authority().is_some() => {}
        _ => return refused("is not an http or https URL with a host"),
    }
    if url.contains('@')
        && target
            .authority()
            .is_some_and(|host| host.as_str().contains('@'))
    {
        return refused("has credentials; put them into header_map");
    }
    Ok(target)
}

fn headers(
    map: &BTreeMap<String, String>,
    content_type: &'static str,
) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(header::USER_AGENT, HeaderValue::from_static("Tyk-Hookshot"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in map {
        let parsed = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| wrong("header_map", name, "is not a header name"))?;
        let value = HeaderValue::from_str(value)
            .map_err(|_| wrong("header_map", name, "has a value with a control character"))?;
        if [header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(&parsed) {
            return Err(wrong("header_map", name, "is the gateway's own to set"));
        }
        headers.insert(parsed, value);
    }
    Ok(headers)
}
