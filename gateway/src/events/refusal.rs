//! Which refusals of a request are events.

use super::{Meta, names};
use crate::error::ProxyError;
use crate::exchange::Exchange;

/// Fires the event that belongs to a refusal, if one does.
///
/// Hooks that fail have told already what failed; hooks that answer the client themselves,
/// and what looks for a key and finds none, fire where they do so.
pub fn tell_refusal(error: &ProxyError, exchange: &Exchange) {
    let session = exchange.session.as_deref();
    if let Some((name, message)) = event(error, session.is_some()) {
        let key = session.map_or("", |session| &session.key_id);
        let meta = || {
            let meta = Meta::of_key(message, exchange, key);
            match name {
                names::VERSION_FAILURE => meta.with("Reason", error.message()),
                _ => meta,
            }
        };
        exchange.api.events.fire(name, meta);
    }
}

/// Name and message.
fn event(error: &ProxyError, has_session: bool) -> Option<(&'static str, &'static str)> {
    Some(match error {
        ProxyError::AuthRejected => (names::AUTH_FAILURE, "Auth Failure"),
        // A key that is known, and not for this API.
        ProxyError::KeyUnknown if has_session => (names::AUTH_FAILURE, "Auth Failure"),
        ProxyError::KeyExpired => (names::KEY_EXPIRED, "Attempted access from expired key."),
        ProxyError::KeyInactive => (names::KEY_EXPIRED, "Attempted access from inactive key."),
        ProxyError::PathNotAllowed => (names::AUTH_FAILURE, "Auth Failure"),
        ProxyError::RateLimited(_) => (names::RATE_LIMIT_EXCEEDED, "Rate Limit Exceeded"),
        ProxyError::ApiRateLimited(_) => (names::RATE_LIMIT_EXCEEDED, "API Rate Limit Exceeded"),
        ProxyError::OrgQuotaExceeded => (
            names::ORG_QUOTA_EXCEEDED,
            "Organisation quota has been exceeded",
        ),
        ProxyError::OrgRateLimited => (
            names::ORG_RATE_LIMIT_EXCEEDED,
            "Organisation rate limit has been exceeded",
        ),
        ProxyError::QuotaExceeded => (names::QUOTA_EXCEEDED, "Key Quota Limit Exceeded"),
        ProxyError::VersionMissing
        | ProxyError::VersionUnknown
        | ProxyError::VersionExpired
        | ProxyError::ApiExpired
        | ProxyError::PathForbidden => (
            names::VERSION_FAILURE,
            "Attempted access to disallowed version / path.",
        ),
        _ => return None,
    })
}
