//! Web hooks to HTTPS servers: sent to those that are trusted, and to no others.
//!
//! The certificate of `tests/fixtures/tls` is its own authority, for `localhost`, made by:
//!
//! ```text
//! openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 \
//!   -subj /CN=localhost -addext subjectAltName=DNS:localhost \
//!   -addext basicConstraints=critical,CA:FALSE -keyout localhost.key -out localhost.pem
//! ```

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, mpsc};
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;
use test_harness::{Receiver, wait};

use super::{guarded, knock, web_hook, with_api};
use crate::gateway;

const CERTIFICATE: &str = include_str!("../../fixtures/tls/localhost.pem");
const KEY: &str = include_str!("../../fixtures/tls/localhost.key");

/// An HTTPS server that answers every request and tells what it was sent.
struct Server {
    url: String,
    requests: mpsc::Receiver<String>,
}

fn serve() -> Server {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "https://localhost:{}/hook",
        listener.local_addr().unwrap().port()
    );
    let (sender, requests) = mpsc::channel();
    let config = Arc::new(config);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            let mut request = Vec::new();
            let mut part = [0; 4096];
            while !request.ends_with(b"}") {
                match stream.read(&mut part) {
                    Ok(read @ 1..) => request.extend_from_slice(&part[..read]),
                    _ => break,
                }
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            if !request.is_empty() {
                let _ = sender.send(String::from_utf8(request).unwrap());
            }
        }
    });
    Server { url, requests }
}

#[test]
fn a_trusted_https_server_is_told() {
    let server = serve();
    let builder = with_api(web_hook(&server.url, json!({}))).file("ca.pem", CERTIFICATE);
    let trusted = builder.folder().join("ca.pem");
    let gateway = builder
        .env("SSL_CERT_FILE", trusted.to_str().unwrap())
        .start();
    knock(&gateway, "/api/");
    let request = server.requests.recv_timeout(wait::DEADLINE).unwrap();
    assert!(request.starts_with("POST /hook HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\"event\":\"AuthFailure\""), "{request}");
}

#[test]
fn an_https_server_that_nobody_vouches_for_is_sent_nothing() {
    let server = serve();
    let gateway = with_api(web_hook(&server.url, json!({}))).start();
    knock(&gateway, "/api/");
    gateway.wait_for_log_with(&["WARN", "Web hook failed", "certificate"]);
    assert!(server.requests.try_recv().is_err());
}

#[test]
fn a_machine_that_trusts_nobody_says_so_and_still_reaches_plain_servers() {
    let (server, receiver) = (serve(), Receiver::start());
    let hooks = json!([
        web_hook(&server.url, json!({})),
        web_hook(&receiver.url(), json!({}))
    ]);
    let builder = gateway().api(guarded("api", &hooks)).file("ca.pem", "");
    let nobody = builder.folder().join("ca.pem");
    let gateway = builder
        .env("SSL_CERT_FILE", nobody.to_str().unwrap())
        .env("SSL_CERT_DIR", "")
        .start();
    gateway.wait_for_log_with(&["WARN", "trusts no certificate authority", "ca-certificates"]);
    knock(&gateway, "/api/");
    receiver.wait_for_message("Auth Failure");
    gateway.wait_for_log_with(&["WARN", "Web hook failed", "certificate"]);
    assert!(server.requests.try_recv().is_err());
}
