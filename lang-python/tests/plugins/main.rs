//! What is special about Python plugins, beyond the conformance suite.

mod harness;
mod hooks;
