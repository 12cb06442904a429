//! What a binary is by the features that it was built with: which languages it lists, and how it
//! treats APIs that ask for one that is missing.
//!
//! A program of its own, because every feature set runs it, and the rest of the suite takes much
//! longer to build.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    reason = "a failed unwrap is a failed test with a backtrace, helpers outside of test functions included"
)]

#[macro_use]
mod refusal;

#[cfg(not(feature = "coprocess"))]
mod plain;
#[cfg(not(all(feature = "coprocess", feature = "grpc")))]
mod without_grpc;
#[cfg(not(all(feature = "coprocess", feature = "lua")))]
mod without_lua;
#[cfg(not(all(feature = "coprocess", feature = "python")))]
mod without_python;

use test_harness::GatewayBuilder;

/// A gateway of the executable that this was built with, not started yet.
fn gateway() -> GatewayBuilder {
    GatewayBuilder::new(env!("CARGO_BIN_EXE_gateway"))
}
