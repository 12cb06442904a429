//! One request in flight: the only mutable thing that travels through the chain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use coprocess_core::{RequestId, Session};
use http::request::Parts;
use http::{HeaderValue, Uri};
use hyper::upgrade::OnUpgrade;
use rustls::ServerConnection;
use rustls::pki_types::CertificateDer;

use crate::api::Api;
use crate::edge::Policy;
use crate::error::ErrorStyle;
use crate::limits::headers::LimitValues;
use crate::phase::Phase;
use crate::session::Unsaved;
use crate::tls::fingerprint;
use crate::upstream::body::RequestBody;

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
