//! What is special about Python plugins, beyond the conformance suite.
#![allow(
    clippy::unwrap_used,
    reason = "a failed unwrap in a helper is a failed test with a backtrace"
)]

mod bad;
mod faults;
mod harness;
mod hooks;
mod loading;
mod objects;
mod threads;
mod waiting;
