//! HTTP requests of the control plane's own: bundle downloads and web hooks.
//!
//! Traffic of clients does not go through here, but through [`crate::upstream`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use tracing::warn;

use crate::tls::verify::Server;

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(30);

/// Whether the certificates of HTTPS servers are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// Against the system's trusted authorities.
    Full,
    /// Not at all: the operator asked for it.
    None,
}

/// How much an answer may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// From connecting to the last byte.
    pub time: Duration,
    /// Longest body.
    pub bytes: usize,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The server cannot be reached or does not speak HTTP.
    #[error("{0}")]
    Failed(String),
    /// It took too long.
    #[error("no complete answer in {0:?}")]
    TimedOut(Duration),
    /// The answer's body is too long.
    #[error("answer is longer than {0} bytes")]
    TooLong(usize),
    /// TLS cannot be set up on this machine.
    #[error("TLS: {0}")]
    Tls(String),
}

/// An HTTP/1.1 client for `http` and `https`. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Outbound(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Outbound {
    /// A client that checks certificates as told.
    pub fn new(verification: Verification) -> Result<Self, OutboundError> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(verification)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Ok(Self(client))
    }

    /// Sends a request to its absolute URI and reads the whole answer. Redirections are not
    /// followed.
    pub async fn send(
        &self,
        request: Request<Bytes>,
        bounds: Bounds,
    ) -> Result<Response<Bytes>, OutboundError> {
        let exchange = self.exchange(request.map(Full::new), bounds.bytes);
        match tokio::time::timeout(bounds.time, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(OutboundError::TimedOut(bounds.time)),
        }
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        most: usize,
    ) -> Result<Response<Bytes>, OutboundError> {
        let response = self.0.request(request).await;
        let (head, body) = response.map_err(|error| failed(&error))?.into_parts();
        match Limited::new(body, most).collect().await {
            Ok(body) => Ok(Response::from_parts(head, body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => Err(OutboundError::TooLong(most)),
            Err(error) => Err(failed(&*error)),
        }
    }
}

/// An error with its causes: the first one alone only says that a connection failed.
fn failed(error: &dyn std::error::Error) -> OutboundError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    OutboundError::Failed(text)
}

fn tls(verification: Verification) -> Result<ClientConfig, OutboundError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| OutboundError::Tls(error.to_string()))?;
    Ok(match verification {
        Verification::Full => match builder.clone().with_native_roots() {
            Ok(builder) => builder.with_no_client_auth(),
            // Plain HTTP needs none of them.
            Err(error) => {
                warn!(
                    %error,
                    "This machine trusts no certificate authority, so requests to HTTPS servers \
                     will fail; install its ca-certificates."
                );
                let nobody = RootCertStore::empty();
                builder.with_root_certificates(nobody).with_no_client_auth()
            }
        },
        Verification::None => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Server::unverified(provider)))
            .with_no_client_auth(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
    }

    fn get(url: &str) -> Result<Response<Bytes>, OutboundError> {
        let request = Request::get(url).body(Bytes::new()).expect("a request");
        let bounds = Bounds {
            time: Duration::from_secs(10),
            bytes: 10,
        };
        let client = Outbound::new(Verification::None)?;
        runtime().block_on(client.send(request, bounds))
    }

    fn serve(answer: &'static str) -> String {
        use std::io::{Read, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut head = [0; 1024];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(answer.as_bytes());
        });
        url
    }

    #[test]
    fn answers_are_read_and_bounded() {
        let url = serve("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(get(&url).expect("an answer").body(), "hello");
        let url = serve("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world");
        assert!(matches!(get(&url), Err(OutboundError::TooLong(10))));
    }

    #[test]
    fn errors_name_their_cause() {
        let error = get("http://127.0.0.1:1/").expect_err("nobody listens");
        assert!(error.to_string().contains("refused"), "{error}");
        let error = get("ftp://127.0.0.1/").expect_err("no such scheme");
        assert!(error.to_string().contains("scheme"), "{error}");
    }
}
