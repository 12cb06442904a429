//! The plain proxy: where requests go, what they carry, how failures look.

mod config;
mod connections;
mod failures;
mod forwarding;
mod routing;
mod streaming;
