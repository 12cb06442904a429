//! TLS and HTTP/2, towards upstreams and towards clients.
//!
//! Certificates are made for each test. TLS itself is put in front of the harness's upstreams
//! and behind its clients by small relays, so that both go on to read and write plain bytes.

mod certificate_files;
mod certificates;
mod client_certificates;
mod grpc;
mod http2_upstream;
mod relay;
mod store;
mod termination;
mod upstream;

use certificates::{Authority, Identity};
use relay::{ClientSide, Front, ServerSide};

/// The versions of who is behind the times.
const ONLY_1_2: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
