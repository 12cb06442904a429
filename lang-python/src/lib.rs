#![cfg(feature = "embed")]
//! Placeholder.
