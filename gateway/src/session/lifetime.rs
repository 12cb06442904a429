//! How long a session is kept in the store.

use std::time::Duration;

use coprocess_core::Session;

/// What the configuration and an API's definition say of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lifetime {
    /// `global_session_lifetime`, where `force_global_session_lifetime` is set.
    pub forced: Option<i64>,
    /// The definition's `session_lifetime` in seconds.
    pub of_api: i64,
    /// The definition's `session_lifetime_respects_key_expiration`.
    pub respects_expiry: bool,
}

impl Lifetime {
    /// How long to keep `session` from `now` on, in Unix seconds; `None` is for good.
    pub fn of(&self, session: &Session, now: impl Fn() -> i64) -> Option<Duration> {
        let seconds = match self.forced {
            Some(forced) => forced,
            None => after_expiry(session, &now).unwrap_or_else(|| self.legacy(session, now)),
        };
        u64::try_from(seconds)
            .ok()
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs)
    }

    fn legacy(&self, session: &Session, now: impl Fn() -> i64) -> i64 {
        let said = [session.session_lifetime, self.of_api];
        let Some(lifetime) = said.into_iter().find(|seconds| *seconds > 0) else {
            return 0;
        };
        if !self.respects_expiry {
            return lifetime;
        }
        match expiry(session) {
            Some(expires) => lifetime.max(expires.saturating_sub(now())),
            None => 0,
        }
    }
}

/// What `post_expiry_action` asks for, where it asks for something. A session that should
/// be gone already is kept for one second, because 0 would be for good.
fn after_expiry(session: &Session, now: impl Fn() -> i64) -> Option<i64> {
    let grace = match session.post_expiry_action.as_str() {
        "delete" => 0,
        "retain" => session.post_expiry_grace_period,
        _ => return None,
    };
    match grace {
        0 if session.post_expiry_action == "retain" => return None,
        ..0 => return Some(0),
        0.. => {}
    }
    let until = |expires: i64| expires.saturating_add(grace).saturating_sub(now()).max(1);
    Some(expiry(session).map_or(0, until))
}

/// When the key expires, if it does: 0, 1 and negative numbers mean never.
fn expiry(session: &Session) -> Option<i64> {
    Some(session.expires).filter(|expires| *expires > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1000;

    #[track_caller]
    fn check(rules: Lifetime, change: impl Fn(&mut Session), expected: u64) {
        let mut session = Session::default();
        change(&mut session);
        let expected = (expected > 0).then(|| Duration::from_secs(expected));
        assert_eq!(rules.of(&session, || NOW), expected);
    }

    #[test]
    fn a_lifetime_comes_from_the_session_then_from_the_api() {
        let api = Lifetime {
            of_api: 20,
            ..Lifetime::default()
        };
        check(Lifetime::default(), |_| {}, 0);
        check(api, |_| {}, 20);
        check(api, |s| s.session_lifetime = 40, 40);
        check(api, |s| s.session_lifetime = -1, 20);
        check(api, |s| s.expires = NOW + 100, 20);
    }

    #[test]
    fn a_forced_lifetime_wins_over_all_others() {
        let forced = |seconds| Lifetime {
            forced: Some(seconds),
            of_api: 20,
            respects_expiry: true,
        };
        let change = |s: &mut Session| {
            s.session_lifetime = 40;
            s.post_expiry_action = "delete".into();
            s.expires = NOW + 7;
        };
        check(forced(5), change, 5);
        check(forced(0), change, 0);
    }

    #[test]
    fn a_later_expiry_is_respected_where_that_is_asked_for() {
        let rules = Lifetime {
            of_api: 20,
            respects_expiry: true,
            ..Lifetime::default()
        };
        check(rules, |s| s.expires = NOW + 100, 100);
        check(rules, |s| s.expires = NOW + 10, 20);
        check(rules, |s| s.expires = NOW - 10, 20);
        check(rules, |_| {}, 0);
        check(rules, |s| s.expires = -1, 0);
    }

    #[test]
    fn a_post_expiry_action_counts_from_the_expiry() {
        let rules = Lifetime {
            of_api: 20,
            respects_expiry: true,
            ..Lifetime::default()
        };
        let with = |action: &'static str, grace, expires| {
            move |s: &mut Session| {
                s.post_expiry_action = action.into();
                s.post_expiry_grace_period = grace;
                s.expires = expires;
            }
        };
        check(rules, with("delete", 0, NOW + 100), 100);
        check(rules, with("delete", 50, NOW + 100), 100);
        check(rules, with("delete", 0, NOW - 100), 1);
        check(rules, with("delete", 0, 0), 0);
        check(rules, with("retain", 10, NOW + 100), 110);
        check(rules, with("retain", 10, NOW - 50), 1);
        check(rules, with("retain", -1, NOW + 100), 0);
        check(rules, with("retain", 10, i64::MAX), i64::MAX as u64 - 1000);
        // Without a grace period there is nothing to count.
        check(rules, with("retain", 0, NOW + 100), 100);
    }
}
