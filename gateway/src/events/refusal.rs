//! Which refusals of a request are events.

use super::{Meta, names};
use crate::error::ProxyError;
use crate::exchange::Exchange;

/// Fires the event that belongs to a refusal, if one does.
///
/// Hooks that fail have told already what failed, and hooks that answer the client
/// themselves fire where their answer is made.
pub fn tell_refusal(error: &ProxyError, exchange: &Exchange) {
    if let Some((name, message)) = event(error) {
        let session = exchange.session.as_deref();
        let key = session.map_or("", |session| &session.key_id);
        let meta = || Meta::of_key(message, exchange, key);
        exchange.api.events.fire(name, meta);
    }
}

/// Name and message.
fn event(error: &ProxyError) -> Option<(&'static str, &'static str)> {
    Some(match error {
        ProxyError::AuthRejected | ProxyError::KeyUnknown => (names::AUTH_FAILURE, "Auth Failure"),
        ProxyError::KeyExpired => (names::KEY_EXPIRED, "Attempted access from expired key."),
        ProxyError::KeyInactive => (names::KEY_EXPIRED, "Attempted access from inactive key."),
        _ => return None,
    })
}
