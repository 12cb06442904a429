//! `eh_web_hook_handler`: tells an HTTP server of an event.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, header};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use super::SystemEvent;
use crate::upstream::target::Target;

/// Longest delivery, from connecting to the answer.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Most deliveries at the same time, per handler.
const CONCURRENT: usize = 16;

/// Most deliveries that wait for their turn, per handler.
const WAITING: usize = 1024;

/// Most different payloads remembered for suppression.
const REMEMBERED: usize = 10_000;

/// One configured web hook.
pub(super) struct Webhook {
    method: Method,
    target: Target,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// How long an identical payload is not sent again.
    window: Duration,
    sent: Mutex<HashMap<Bytes, Instant>>,
    slots: Semaphore,
    /// Deliveries that wait or are under way.
    pending: AtomicUsize,
    dropped: AtomicU64,
}

impl Webhook {
    /// Reads `method`, `target_path`, `header_map` and `event_timeout`.
    pub(super) fn new(meta: &Map<String, Value>) -> Result<Self, String> {
        let text = |key: &str| meta.get(key).and_then(Value::as_str).unwrap_or_default();
        if !text("template_path").is_empty() {
            return Err("template_path: templates are not implemented; leave it empty".into());
        }
        let method = match text("method") {
            "" => Method::POST,
            name => Method::from_bytes(name.to_uppercase().as_bytes())
                .map_err(|_| format!("method: `{name}` is not an HTTP method"))?,
        };
        let target = Target::parse(text("target_path")).map_err(|error| error.to_string())?;
        let no_headers = Map::new();
        let map = meta
            .get("header_map")
            .and_then(Value::as_object)
            .unwrap_or(&no_headers);
        let headers = map
            .iter()
            .map(|(name, value)| {
                let wrong = || format!("header_map: `{name}` or its value is not a header's");
                let value = value.as_str().ok_or_else(wrong)?;
                let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
                Ok((name, HeaderValue::from_str(value).map_err(|_| wrong())?))
            })
            .collect::<Result<_, String>>()?;
        let window = meta
            .get("event_timeout")
            .and_then(Value::as_u64)
            .unwrap_or(0);
        Ok(Self {
            method,
            target,
            headers,
            window: Duration::from_secs(window),
            sent: Mutex::default(),
            slots: Semaphore::new(CONCURRENT),
            pending: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
        })
    }

    /// Sends the event, without waiting for it. A receiver that is too slow for what it is
    /// sent loses some.
    pub(super) fn send_soon(self: &Arc<Self>, event: SystemEvent) {
        if self.pending.fetch_add(1, Ordering::Relaxed) >= WAITING {
            self.pending.fetch_sub(1, Ordering::Relaxed);
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            if dropped.is_power_of_two() {
                let url = &*self.target.authority;
                warn!(
                    event = event.name,
                    url, dropped, "Web hook is too slow, event dropped."
                );
            }
            return;
        }
        let webhook = Arc::clone(self);
        tokio::spawn(async move {
            webhook.deliver(&event).await;
            webhook.pending.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Sends the event; a failure is logged.
    async fn deliver(&self, event: &SystemEvent) {
        let body = payload(event);
        if !self.remember(&body) {
            debug!(
                event = event.name,
                "Web hook suppressed: the same was sent a moment ago."
            );
            return;
        }
        let Ok(_slot) = self.slots.acquire().await else {
            return;
        };
        let url = &self.target.authority;
        match tokio::time::timeout(TIME_LIMIT, self.send(body)).await {
            Ok(Ok(status)) if status < 400 => {}
            Ok(Ok(status)) => {
                warn!(
                    event = event.name,
                    url = &**url,
                    status,
                    "Web hook was refused."
                );
            }
            Ok(Err(error)) => {
                warn!(event = event.name, url = &**url, %error, "Web hook failed.");
            }
            Err(_) => warn!(event = event.name, url = &**url, "Web hook took too long."),
        }
    }

    /// Whether the payload is to be sent: not within the window after the same one.
    fn remember(&self, body: &Bytes) -> bool {
        if self.window.is_zero() {
            return true;
        }
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.retain(|_, time| time.elapsed() < self.window);
        if sent.contains_key(body) || sent.len() >= REMEMBERED {
            return false;
        }
        sent.insert(body.clone(), Instant::now());
        true
    }

    async fn send(&self, body: Bytes) -> Result<u16, Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect((&*self.target.host, self.target.port)).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move { drop(connection.await) });
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri()?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.target.host_header.clone());
        headers.insert(header::USER_AGENT, HeaderValue::from_static("Tyk-Hookshot"));
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        Ok(sender.send_request(request).await?.status().as_u16())
    }

    fn uri(&self) -> Result<http::Uri, http::Error> {
        let query = self
            .target
            .query
            .as_deref()
            .map(|query| format!("?{query}"));
        let target = format!("{}{}", self.target.path, query.unwrap_or_default());
        Ok(http::Uri::try_from(target)?)
    }
}

fn payload(event: &SystemEvent) -> Bytes {
    let value = json!({
        "event": event.name,
        "message": event.message,
        "path": "",
        "origin": "",
        "key": "",
    });
    value.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn bad_settings_say_which_one() {
        for (value, part) in [
            (json!({"target_path": "https://x"}), "https"),
            (
                json!({"target_path": "http://x", "method": "A B"}),
                "method",
            ),
            (
                json!({"target_path": "http://x", "header_map": {"a b": "c"}}),
                "header_map",
            ),
            (
                json!({"target_path": "http://x", "template_path": "t"}),
                "template_path",
            ),
        ] {
            let said = Webhook::new(&meta(value)).err().unwrap();
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn the_same_payload_is_sent_once_per_window() {
        let settings = meta(json!({"target_path": "http://x", "event_timeout": 60}));
        let webhook = Webhook::new(&settings).unwrap();
        assert!(webhook.remember(&Bytes::from_static(b"a")));
        assert!(!webhook.remember(&Bytes::from_static(b"a")));
        assert!(webhook.remember(&Bytes::from_static(b"b")));
    }
}
