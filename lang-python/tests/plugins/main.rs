//! What is special about Python plugins, beyond the conformance suite.

mod faults;
mod harness;
mod hooks;
mod loading;
mod objects;
mod threads;
