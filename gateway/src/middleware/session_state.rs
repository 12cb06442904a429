//! What a session says of its key: that it is valid.

use coprocess_core::Session;

use crate::chain::{Flow, Middleware, Step};
use crate::error::ProxyError;
use crate::exchange::Exchange;
use crate::session::unix_now;

/// Checks the session that authentication left.
pub struct SessionState;

impl Middleware for SessionState {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let now = u64::try_from(unix_now()).unwrap_or(0);
        Step::Done(match &exchange.session {
            Some(session) => check(session, now).map(|()| Flow::Continue),
            None => Err(ProxyError::SessionMissing),
        })
    }
}

fn check(session: &Session, now: u64) -> Result<(), ProxyError> {
    if session.is_inactive {
        return Err(ProxyError::KeyInactive);
    }
    // 0, -1 and 1 mean never.
    if u64::try_from(session.expires).is_ok_and(|expires| expires > 1 && expires < now) {
        return Err(ProxyError::KeyExpired);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_checked() {
        let session = |change: fn(&mut Session)| {
            let mut session = Session::default();
            change(&mut session);
            check(&session, 1000)
        };
        assert!(session(|_| {}).is_ok());
        assert!(session(|s| s.expires = -1).is_ok());
        assert!(session(|s| s.expires = 1001).is_ok());
        assert!(matches!(
            session(|s| s.expires = 999),
            Err(ProxyError::KeyExpired)
        ));
        assert!(matches!(
            session(|s| s.is_inactive = true),
            Err(ProxyError::KeyInactive)
        ));
    }
}
