//! TLS and HTTP/2, towards upstreams and towards clients.
//!
//! Certificates are made for each test. TLS itself is put in front of the harness's upstreams
//! and behind its clients by small relays, so that both go on to read and write plain bytes.

mod certificate_files;
pub(crate) mod certificates;
mod client_certificates;
mod expiry;
mod grpc;
mod http2_upstream;
mod pinning;
mod relay;
mod store;
mod termination;
mod upstream;

pub(crate) use certificates::{Authority, Identity};
pub(crate) use relay::ClientSide;
use relay::{Front, ServerSide};
pub(crate) use termination::with_certificate;

/// The versions of who is behind the times.
const ONLY_1_2: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
