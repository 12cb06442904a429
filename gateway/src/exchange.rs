//! One request in flight: the only mutable thing that travels through the chain.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use coprocess_core::{RequestId, Session, StringMap};
use http::request::Parts;
use http::{HeaderValue, Response, Uri};
use hyper::upgrade::OnUpgrade;
use percent_encoding::percent_decode_str;
use rustls::ServerConnection;
use rustls::pki_types::CertificateDer;

use crate::api::{Api, ApiTable};
use crate::edge::Policy;
use crate::error::{ErrorStyle, ProxyError};
use crate::limits::headers::LimitValues;
use crate::phase::Phase;
use crate::session::Unsaved;
use crate::tls::fields::fields_of;
use crate::tls::fingerprint;
use crate::traffic::{MAX_DEPTH, Traffic};
use crate::upstream::body::{RequestBody, ResponseBody};

/// A request on its way, and what was found out about it.
pub struct Exchange {
    /// The API that it belongs to.
    pub api: Arc<Api>,
    /// Method, target and headers, as the chain has left them so far.
    pub head: Parts,
    /// The body.
    pub body: RequestBody,
    /// How many bytes of the path the listen path covers.
    pub listen_length: usize,
    /// Who sent it.
    pub client: Peer,
    /// What tells it from all others.
    pub id: RequestId,
    /// When its head had come in.
    pub received: SystemTime,
    /// How its errors look.
    pub error_style: ErrorStyle,
    /// Which paths are let through, also where a plugin sets one.
    pub policy: Policy,
    /// `http` or `https`, by how the client reached the gateway.
    pub scheme: &'static str,
    /// The caller's session, after authentication.
    pub session: Option<Arc<Session>>,
    /// The session that the end of the request saves, if it has to be saved.
    pub unsaved: Option<Box<Unsaved>>,
    /// What `X-RateLimit-*` tell, where a limit has decided it; else the session does.
    pub limits: Option<LimitValues>,
    /// The client's side of an upgrade that the gateway lets through.
    pub upgrade: Option<OnUpgrade>,
    /// The name of the API's version that the request is for, where there are several.
    pub version: Option<Arc<str>>,
    /// What steps have noted, for APIs that have such steps.
    pub traffic: Option<Box<Traffic>>,
}

/// The client's end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Address and port.
    pub address: SocketAddr,
    /// The address as text, made once per connection: every request upstream carries it.
    pub text: HeaderValue,
    /// What its connection does.
    pub phase: Phase,
    /// What the handshake has shown, on a connection with TLS.
    pub tls: Option<Arc<TlsPeer>>,
}

/// What the TLS handshake has shown of a client.
#[derive(Debug)]
pub struct TlsPeer {
    /// Its certificate and those between it and its authority; empty where it has none. It
    /// has the key, and nothing else of it was checked.
    pub chain: Vec<CertificateDer<'static>>,
    /// The SHA-256 of its certificate in lower-case hex, by which certificates are named;
    /// empty where it has none.
    pub fingerprint: String,
    /// What plugins are shown of it, made for the first that may look.
    shown: OnceLock<Option<Arc<StringMap>>>,
}

// === impl TlsPeer ===

impl TlsPeer {
    /// What a connection whose handshake has ended knows of its client.
    pub fn of(connection: &ServerConnection) -> Self {
        let chain = connection.peer_certificates().unwrap_or_default();
        let chain: Vec<_> = chain
            .iter()
            .map(|certificate| certificate.clone().into_owned())
            .collect();
        let fingerprint = chain.first().map(|certificate| fingerprint(certificate));
        Self {
            fingerprint: fingerprint.unwrap_or_default(),
            chain,
            shown: OnceLock::new(),
        }
    }
}

// === impl Peer ===

impl Peer {
    /// The peer at `address`. IPv4 reached through an IPv6 socket is IPv4.
    pub fn new(address: SocketAddr) -> Self {
        let text = address.ip().to_canonical().to_string();
        Self {
            address,
            text: HeaderValue::try_from(text).expect("an IP address is ASCII"),
            phase: Phase::default(),
            tls: None,
        }
    }

    /// The same, reached through TLS.
    pub fn with_tls(mut self, tls: Arc<TlsPeer>) -> Self {
        self.tls = Some(tls);
        self
    }

    /// What plugins are shown of the client's certificate.
    pub fn certificate(&self) -> Option<Arc<StringMap>> {
        let tls = self.tls.as_ref()?;
        let first = tls.chain.first()?;
        let shown = || fields_of(first).map(Arc::new);
        tls.shown.get_or_init(shown).clone()
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        match self.tls {
            None => "http",
            Some(_) => "https",
        }
    }
}

// === impl Exchange ===

impl Exchange {
    /// Which of the API's versions the request is for.
    pub fn version_index(&self) -> usize {
        self.traffic.as_ref().map_or(0, |traffic| traffic.version)
    }

    /// Whether authentication lets the request pass.
    pub fn is_ignored(&self) -> bool {
        self.traffic.as_ref().is_some_and(|traffic| traffic.ignored)
    }

    /// The notes about the request, to add to them.
    pub fn notes(&mut self) -> &mut Traffic {
        self.traffic.get_or_insert_default()
    }

    /// Makes the request one of the API that takes over, if its own has come to that. That
    /// API knows nothing of the caller yet.
    pub fn hand_over(&mut self, table: &ApiTable) -> Result<bool, ProxyError> {
        let notes = self.notes();
        let Some(to) = notes.loop_to.take() else {
            return Ok(false);
        };
        let depth = notes.depth + 1;
        if depth > MAX_DEPTH {
            return Err(ProxyError::LoopTooDeep);
        }
        let answer_headers = std::mem::take(&mut notes.answer_headers);
        let own = (to.0 == "self").then_some(&self.api);
        let api = own.or_else(|| to.find(table));
        let api = Arc::clone(api.ok_or_else(|| ProxyError::LoopTarget(to.0.clone()))?);
        let path = self.head.uri.path();
        self.listen_length = if path.starts_with(&api.listen_path) {
            api.listen_path.len()
        } else {
            0
        };
        self.api = api;
        self.version = None;
        self.session = None;
        self.limits = None;
        *self.notes() = Traffic {
            depth,
            answer_headers,
            ..Traffic::default()
        };
        Ok(true)
    }

    /// Tells the breaker and the choice of the upstream how it has answered.
    pub fn note_outcome(&mut self, outcome: &Result<Response<ResponseBody>, ProxyError>) {
        let notes = self.notes();
        let (breaker, chosen) = (notes.breaker.take(), notes.chosen.take());
        // A client that breaks off says nothing of the upstream.
        let is_clients = |error: &ProxyError| {
            matches!(
                error,
                ProxyError::DownstreamBody(_) | ProxyError::DownstreamStalled
            )
        };
        if outcome.as_ref().err().is_some_and(is_clients) {
            return;
        }
        if let Some(chosen) = chosen {
            chosen.settle(outcome.is_ok());
        }
        if let Some(breaker) = breaker {
            let is_good = outcome
                .as_ref()
                .is_ok_and(|response| !response.status().is_server_error());
            breaker.settle(is_good, self);
        }
    }

    /// The path below the listen path, and below the version where that stands there; it
    /// begins with a slash.
    pub fn path_below(&self) -> &str {
        let asked = self.traffic.as_ref();
        if let Some(asked) = asked.and_then(|traffic| traffic.asked_path.as_deref()) {
            return asked;
        }
        let mut below = below(self.head.uri.path(), self.listen_length);
        if let (Some(version), Some(traffic)) = (&self.version, &self.traffic)
            && traffic.version_in_path
            && let Some((first, rest)) = first_segment(below)
            && percent_decode_str(first).decode_utf8_lossy() == **version
        {
            below = if rest.is_empty() { "/" } else { rest };
        }
        below
    }

    /// Sends the request elsewhere within its API: later steps and the upstream see `uri`.
    pub fn retarget(&mut self, uri: Uri) {
        let listened = self
            .head
            .uri
            .path()
            .get(..self.listen_length)
            .unwrap_or_default();
        // The listen path comes off the new path only where the new path still has it.
        if !uri.path().starts_with(listened) {
            self.listen_length = 0;
        }
        self.head.uri = uri;
    }
}

/// What is left of a path without the first `length` bytes, with a slash in front.
fn below(path: &str, length: usize) -> &str {
    let rest = path.get(length..).unwrap_or_default();
    if rest.starts_with('/') {
        return rest;
    }
    // Most listen paths end with the slash that is needed here.
    let with_slash = length.checked_sub(1).and_then(|start| path.get(start..));
    match with_slash {
        Some(path) if path.starts_with('/') => path,
        _ => rest,
    }
}

/// The first segment of a path that is not empty, and what follows it.
pub fn first_segment(path: &str) -> Option<(&str, &str)> {
    let path = path.trim_start_matches('/');
    let end = path.find('/').unwrap_or(path.len());
    (end > 0).then(|| path.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_seen_below_the_listen_path() {
        for (path, length, expected) in [
            ("/app/x", 4, "/x"),
            ("/app/x", 5, "/x"),
            ("/app/", 5, "/"),
            ("/app//x", 5, "/x"),
            ("/x", 1, "/x"),
            ("/x", 0, "/x"),
        ] {
            assert_eq!(below(path, length), expected, "{path} {length}");
        }
    }

    #[test]
    fn the_first_segment_is_the_first_that_is_not_empty() {
        assert_eq!(first_segment("/v1/x"), Some(("v1", "/x")));
        assert_eq!(first_segment("//v1"), Some(("v1", "")));
        assert_eq!(first_segment("/"), None);
    }
}
