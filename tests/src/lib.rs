//! Builders that start a gateway, upstreams and clients, so that a test reads like its scenario.
//!
//! The harness drives the shipped binary as a child process and imports nothing of it: what it
//! knows about HTTP is written here a second time, on plain sockets, because a test that shares
//! its parser with the program under test cannot see that parser's mistakes.
//!
//! Rules that everything here follows: no port is one that was free a moment ago (it is 0, or
//! comes from [`ports`]), every file lies in a temporary folder, nothing sleeps (a test waits
//! for a condition and has a deadline), and nothing is skipped (a missing tool fails the test
//! and says what to install).

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    reason = "the harness runs in tests only: a failed unwrap is a failed test with a backtrace"
)]

pub mod bundle;
pub mod client;
pub mod connection;
pub mod definition;
pub mod gateway;
pub mod http2;
pub mod log;
pub mod message;
pub mod native;
pub mod plugin_server;
pub mod ports;
pub mod probe;
pub mod receiver;
pub mod redis;
pub mod redis_group;
pub mod upstream;
pub mod wait;

pub use bundle::{Bundle, BundleServer};
pub use client::{Client, Failure};
pub use connection::Connection;
pub use definition::Definition;
pub use gateway::{Gateway, GatewayBuilder};
pub use message::{Request, Response};
pub use receiver::Receiver;
pub use redis::Redis;
pub use redis_group::{RedisCluster, RedisSentinel};
pub use upstream::{Received, Upstream};

/// The folder of one plugin scenario in one language.
#[must_use]
pub fn plugin_fixture(scenario: &str, driver: &str) -> std::path::PathBuf {
    // Servers that speak gRPC serve the functions that are there in their language.
    let language = if driver == "grpc" { "python" } else { driver };
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/plugins")
        .join(scenario)
        .join(language)
}

#[cfg(test)]
mod tests;
