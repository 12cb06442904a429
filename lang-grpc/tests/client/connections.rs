//! How servers are reached, and reached again.

use std::sync::Arc;

use lang_grpc::proto;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio_rustls::TlsAcceptor;

use crate::harness::{Gateway, until};
use crate::server::{Answer, Server};

fn echo(object: &proto::Object) -> Answer {
    Answer::Object(Box::new(object.clone()))
}

#[test]
fn all_forms_of_urls_reach_the_server() {
    let server = Server::start(echo);
    let port = server.address().port();
    for url in [
        format!("tcp://127.0.0.1:{port}"),
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("dns:///localhost:{port}"),
    ] {
        let gateway = Gateway::new(json!({"coprocess_grpc_server": url}));
        gateway.dispatch(gateway.object()).unwrap();
    }
    let six = Server::at("[::1]:0", echo);
    let url = six.url.replace("tcp://", "");
    let gateway = Gateway::new(json!({"coprocess_grpc_server": url}));
    gateway.dispatch(gateway.object()).unwrap();
    assert_eq!(six.seen()[0].authority, url);

    let folder = tempfile::tempdir().unwrap();
    let unix = Server::on_unix(&folder.path().join("s"), echo);
    let gateway = Gateway::of(&unix);
    gateway.dispatch(gateway.object()).unwrap();
    assert_eq!(unix.seen()[0].authority, "localhost");
}

#[test]
fn an_api_may_have_a_server_and_an_authority_of_its_own() {
    let (common, own) = (Server::start(echo), Server::start(echo));
    let options = json!({"coprocess_grpc_server": common.url});
    let gateway = Gateway::with(
        options.clone(),
        json!({"coprocess_grpc_server": own.url, "grpc_authority": "mine.example"}),
    );
    let gateway = gateway.unwrap();
    gateway.dispatch(gateway.object()).unwrap();
    assert_eq!((common.seen().len(), own.seen().len()), (0, 1));
    assert_eq!(own.seen()[0].authority, "mine.example");
    let error = Gateway::with(options, json!({"server": "x"}))
        .err()
        .unwrap();
    let text = error.to_string();
    assert!(text.contains("driver_options.grpc.server"), "{text}");
    let error = Gateway::with(json!({}), json!({})).err().unwrap();
    assert!(
        error.to_string().contains("coprocess_grpc_server"),
        "{error}"
    );
}

#[test]
fn calls_share_a_connection() {
    let server = Server::start(echo);
    let gateway = Gateway::of(&server);
    for _ in 0..10 {
        gateway.dispatch(gateway.object()).unwrap();
    }
    assert_eq!((server.seen().len(), server.connections()), (10, 1));
}

#[test]
fn a_server_that_comes_late_or_again_is_found() {
    let server = Server::start(echo);
    let address = server.address().to_string();
    let gateway = Gateway::of(&server);
    gateway.dispatch(gateway.object()).unwrap();
    drop(server);
    let text = gateway.failure(gateway.object());
    assert!(text.contains("language is not available"), "{text}");
    let began = std::time::Instant::now();
    for _ in 0..100 {
        gateway.failure(gateway.object());
    }
    assert!(began.elapsed().as_secs() < 5, "calls fail at once");
    let server = Server::at(&address, echo);
    until("the server is found again", || {
        gateway.dispatch(gateway.object()).is_ok()
    });
    drop(server);
}

#[test]
fn tls_is_checked_against_the_file_or_the_system() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let server = Server::with_tls(TlsAcceptor::from(Arc::new(config)), echo);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, made.cert.pem()).unwrap();
    let gateway = Gateway::new(json!({
        "coprocess_grpc_server": server.url,
        "grpc_ca_file": file,
    }));
    gateway.dispatch(gateway.object()).unwrap();
    assert_eq!(server.seen().len(), 1);
    let gateway = Gateway::of(&server);
    let text = gateway.failure(gateway.object());
    assert!(text.contains("certificate"), "{text}");
}
