//! What an HTTP/1 connection does at the moment, as far as its own end must know.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// The phase of one connection, shared by all that move it on. They are on one thread; the
/// atomic is there because hyper asks that a connection which may be upgraded can be sent.
#[derive(Debug, Clone, Default)]
pub struct Phase(Arc<AtomicU8>);

/// No request is being served: what is written now is hyper's own.
const IDLE: u8 = 0;
/// A request is being served.
const SERVING: u8 = 1;
/// A request is being served, and all of it has been read.
const WAITING: u8 = 2;
/// The answer is complete, but may not be written yet.
const ENDING: u8 = 3;
/// The connection is a tunnel; nothing written is HTTP.
const TUNNEL: u8 = 4;
/// An answer was given up in the middle.
const TORN: u8 = 5;

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All of it is there.
    Complete,
    /// The connection is a tunnel from here.
    Tunnel,
    /// Something is missing.
    Torn,
}

impl Phase {
    /// A request has come in, with a body still to be read or without.
    pub fn serving(&self, has_body: bool) {
        self.set(if has_body { SERVING } else { WAITING });
    }

    /// The request's body has been read to its end.
    pub fn body_read(&self) {
        if self.is(SERVING) {
            self.set(WAITING);
        }
    }

    /// The answer has ended.
    pub fn answered(&self, end: End) {
        self.set(match end {
            End::Complete => ENDING,
            End::Tunnel => TUNNEL,
            End::Torn => TORN,
        });
    }

    /// Whether an answer was given up in the middle. The client must not take it for whole.
    pub fn is_torn(&self) -> bool {
        self.is(TORN)
    }

    /// Everything has been written.
    pub fn flushed(&self) {
        if self.is(ENDING) {
            self.set(IDLE);
        }
    }

    /// Whether no request is being served.
    pub fn is_idle(&self) -> bool {
        self.is(IDLE)
    }

    /// Whether a request has been read and its answer is not complete.
    pub fn is_waiting(&self) -> bool {
        self.is(WAITING)
    }

    fn set(&self, phase: u8) {
        self.0.store(phase, Ordering::Relaxed);
    }

    fn is(&self, phase: u8) -> bool {
        self.0.load(Ordering::Relaxed) == phase
    }
}
