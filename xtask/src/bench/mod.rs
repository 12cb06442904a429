//! Measures the gateway in a release build.

mod harness;

pub(crate) use harness::Harness;
