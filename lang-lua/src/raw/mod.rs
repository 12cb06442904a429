//! All of the crate that the compiler cannot check: signals, hooks, and tables and JSON built
//! through Lua's own API.
#![allow(
    unsafe_code,
    reason = "signals and hooks have no safe interface; the safe one for tables enters a protected call per value"
)]

pub(crate) mod current;
pub(crate) mod entry;
pub(crate) mod fast;
pub(crate) mod interrupt;
pub(crate) mod json;
pub(crate) mod tables;
