//! The client against servers that behave, and servers that do not.
#![cfg(feature = "embed")]
#![allow(
    clippy::unwrap_used,
    reason = "a failed unwrap is a failed test with a backtrace, helpers outside of test functions included"
)]

mod calls;
mod connections;
mod harness;
mod replies;
mod server;
