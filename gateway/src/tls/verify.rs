//! How the certificate of the other side is judged where the library's own way is not meant:
//! a client's, a server's that must have a certain key, and a server's that nobody checks.
//!
//! What holds in all cases is that the other side has the key of its certificate.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore, SignatureScheme,
};

use super::{TlsError, public_key_of};
use crate::session::key::hex;

/// Asks a client for its certificate and takes every one, and none.
///
/// Which ones an API accepts is the API's own business and decided when its requests come
/// (`middleware::client_certificate`): one port serves APIs that want different ones, and
/// the handshake does not know which API is meant.
#[derive(Debug)]
pub(super) struct AnyClient(pub(super) Arc<CryptoProvider>);

/// Judges the certificate of a server.
#[derive(Debug)]
pub struct Server {
    provider: Arc<CryptoProvider>,
    /// Whether authorities vouch for it; not asked where the operator said so.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    /// The SHA-256 of the public keys that it may have; any where there are none.
    pins: Option<Arc<[String]>>,
}

/// A server has another key than it should.
#[derive(Debug, thiserror::Error)]
#[error("certificate public key pinning error. Public keys do not match. It is {0}")]
struct OtherKey(String);

// === impl Server ===

impl Server {
    /// Takes every certificate of a server: only where the operator asked for it.
    pub fn unverified(provider: Arc<CryptoProvider>) -> Self {
        Self {
            provider,
            authorities: None,
            pins: None,
        }
    }

    /// The same, where authorities have to vouch for it.
    pub(super) fn trusting(mut self, authorities: Arc<RootCertStore>) -> Result<Self, TlsError> {
        let provider = Arc::clone(&self.provider);
        let built = WebPkiServerVerifier::builder_with_provider(authorities, provider).build();
        self.authorities = Some(built.map_err(|error| TlsError(error.to_string()))?);
        Ok(self)
    }

    /// The same, where it has to have one of these keys.
    pub(super) fn pinned(mut self, pins: Arc<[String]>) -> Self {
        self.pins = Some(pins);
        self
    }

    /// Only the key of the certificate itself counts: that a server has the keys of what it
    /// shows behind it, nobody knows.
    fn check_pins(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let Some(pins) = &self.pins else {
            return Ok(());
        };
        let key = public_key_of(certificate).unwrap_or_default();
        let found = hex(digest(&SHA256, &key).as_ref());
        if pins.contains(&found) {
            return Ok(());
        }
        Err(Error::Other(OtherError(Arc::new(OtherKey(found)))))
    }
}

/// What both traits ask for in the same words.
macro_rules! with_signatures_of {
    ($provider:ident) => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let known = &$provider(self).signature_verification_algorithms;
            verify_tls12_signature(message, certificate, signature, known)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let known = &$provider(self).signature_verification_algorithms;
            verify_tls13_signature(message, certificate, signature, known)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            let known = &$provider(self).signature_verification_algorithms;
            known.supported_schemes()
        }
    };
}

fn of_client(client: &AnyClient) -> &CryptoProvider {
    &client.0
}

fn of_server(server: &Server) -> &CryptoProvider {
    &server.provider
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    with_signatures_of!(of_client);
}

impl ServerCertVerifier for Server {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(authorities) = &self.authorities {
            authorities.verify_server_cert(end_entity, between, name, ocsp_response, now)?;
        }
        self.check_pins(end_entity)?;
        Ok(ServerCertVerified::assertion())
    }

    with_signatures_of!(of_server);
}
