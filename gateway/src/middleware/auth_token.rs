//! Standard key authentication, for an API that is neither keyless nor has a plugin for it.
//!
//! There is no key store yet, so no key is known: with a key or without one, nobody passes.

use http::HeaderName;

use crate::chain::{Middleware, Step};
use crate::error::ProxyError;
use crate::exchange::Exchange;

/// Asks for a key.
pub struct AuthToken {
    /// The header that carries it.
    pub header: HeaderName,
}

impl Middleware for AuthToken {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let value = exchange.head.headers.get(&self.header);
        Step::Done(Err(if value.is_none_or(http::HeaderValue::is_empty) {
            ProxyError::KeyMissing
        } else {
            ProxyError::KeyUnknown
        }))
    }
}
