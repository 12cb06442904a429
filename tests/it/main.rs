//! The black-box suite: the shipped binary, driven over real sockets.
//!
//! `proxy`, `edge`, `upgrade` and `reload` need no plugin. The scenarios below `coprocess` know
//! no language; each language module runs all of them and adds what only it can do.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    reason = "a failed unwrap is a failed test with a backtrace, helpers outside of test functions included"
)]

mod admin;
mod auth;
mod bundle;
mod check;
mod edge;
mod events;
mod keys;
mod limits;
mod oas;
mod proxy;
mod reload;
mod storage;
mod tls;
mod traffic;
mod upgrade;

#[cfg(feature = "coprocess")]
#[macro_use]
mod coprocess;
#[cfg(all(feature = "coprocess", feature = "grpc"))]
mod grpc;
#[cfg(all(feature = "coprocess", feature = "lua"))]
mod lua;
#[cfg(all(feature = "coprocess", feature = "python", feature = "lua"))]
mod mixed;
#[cfg(all(feature = "coprocess", feature = "python"))]
mod python;

use test_harness::GatewayBuilder;

/// The executable that this suite was built with.
const BINARY: &str = env!("CARGO_BIN_EXE_gateway");

/// A gateway of the binary under test, not started yet.
fn gateway() -> GatewayBuilder {
    GatewayBuilder::new(BINARY)
}
