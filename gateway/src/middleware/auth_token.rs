//! Standard key authentication, for an API that is neither keyless nor has a plugin for it.
//!
//! Keys are not looked up yet, so none is known: with a key or without one, nobody passes.

use http::HeaderName;

use crate::chain::{Middleware, Step};
use crate::error::ProxyError;
use crate::events::{Meta, names};
use crate::exchange::Exchange;

/// Asks for a key.
pub struct AuthToken {
    /// The header that carries it.
    pub header: HeaderName,
}

impl Middleware for AuthToken {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let value = exchange.head.headers.get(&self.header);
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return Step::Done(Err(ProxyError::KeyMissing));
        };
        let key = without_scheme(value.to_str().unwrap_or_default());
        let meta = || Meta::of_key("Auth Failure", exchange, key);
        exchange.api.events.fire(names::AUTH_FAILURE, meta);
        Step::Done(Err(ProxyError::KeyUnknown))
    }
}

/// The key without the `Bearer ` that may stand before it.
fn without_scheme(value: &str) -> &str {
    const SCHEME: &str = "bearer ";
    match value.get(..SCHEME.len()) {
        Some(scheme) if scheme.eq_ignore_ascii_case(SCHEME) => &value[SCHEME.len()..],
        _ => value,
    }
}
