//! Recognizes the session that a plugin makes for the same caller each time, by a digest.
//!
//! A plugin that authenticates makes a whole session per request, nearly always the one that is
//! stored. To see that by comparing them takes the stored one out of memory, all of it; the
//! digest of what was made lies where the look-up has been already.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ahash::RandomState;
use coprocess_core::{AccessDefinition, Session};

use super::lifetime::Lifetime;
use super::{Kept, unix_now};
use crate::policy;

/// Nobody outside of this process can look for sessions with the same digest.
static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Which session, as its plugin made it, became the one that this belongs to.
#[derive(Debug, Default)]
pub(super) struct Memo(AtomicU64);

/// Stands for a session as its plugin made it. 0 stands for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest(u64);

impl Digest {
    /// Digests a session of this id and organisation, which count for those that it has itself.
    ///
    /// The same digest leads to the same session as long as the stored one is the same. So those
    /// have none whose policies may change meanwhile, and those with parts that few plugins set.
    pub fn of(session: &Session, id: &str, org_id: &str) -> Option<Self> {
        if policy::has_some(session) {
            return None;
        }
        let mut hasher = KEYS.build_hasher();
        (id, org_id).hash(&mut hasher);
        put_session(session, &mut hasher)?;
        Some(Self(hasher.finish().max(1)))
    }
}

impl Kept {
    /// Whether it is what a session with this digest becomes, and need not be saved for it.
    /// `made` is that session.
    pub fn stands_for(&self, digest: Digest, made: &Session, lifetime: Lifetime) -> bool {
        let rests = |ttl: Option<_>| ttl.is_none() || !self.wants_refresh(ttl, Instant::now());
        self.is_owner_known
            && self.made_from.0.load(Ordering::Relaxed) == digest.0
            && rests(lifetime.of(made, unix_now))
    }

    /// Remembers that a session with this digest has become what this is.
    pub fn remember(&self, digest: Digest) {
        self.made_from.0.store(digest.0, Ordering::Relaxed);
    }
}

impl Clone for Memo {
    fn clone(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Ordering::Relaxed)))
    }
}

/// Takes the session apart as a whole, so that no field that is added is forgotten here. Its own
/// id and organisation, and policies, which it has none of, are left out.
#[rustfmt::skip] // One line per field would hide what is done with them.
fn put_session(session: &Session, hasher: &mut impl Hasher) -> Option<()> {
    let Session {
        key_id: _, org_id: _, apply_policy_id: _, apply_policies: _,
        allowance, rate, per, throttle_interval,
        last_check, expires, quota_max, quota_renews, quota_remaining, quota_renewal_rate,
        data_expires, id_extractor_deadline, session_lifetime, max_query_depth,
        post_expiry_grace_period, throttle_retry_limit,
        hmac_enabled, enable_http_signature_validation, is_inactive, enable_detailed_recording,
        oauth_client_id, hmac_secret, rsa_certificate_id, alias, last_updated, certificate,
        post_expiry_action, tags, metadata, oauth_keys, access_rights,
        basic_auth_data, jwt_data, monitor,
    } = session;
    if basic_auth_data.is_some() || jwt_data.is_some() || monitor.is_some() {
        return None;
    }
    // Most fields are not set, and what is not set costs nothing.
    let numbers = [
        last_check, expires, data_expires, session_lifetime, quota_max, quota_renews,
        quota_remaining, quota_renewal_rate, id_extractor_deadline, max_query_depth,
        post_expiry_grace_period, throttle_retry_limit,
    ];
    let floats = [allowance, rate, per, throttle_interval].map(|number| number.to_bits());
    for (place, number) in (0_u8..).zip(numbers).filter(|(_, number)| **number != 0) {
        (place, number).hash(hasher);
    }
    for (place, number) in (50_u8..).zip(floats).filter(|(_, number)| *number != 0) {
        (place, number).hash(hasher);
    }
    let texts = [
        oauth_client_id, hmac_secret, rsa_certificate_id, alias, last_updated, certificate,
        post_expiry_action,
    ];
    for (place, text) in (100_u8..).zip(texts).filter(|(_, text)| !text.is_empty()) {
        (place, text).hash(hasher);
    }
    let flags = [
        hmac_enabled, enable_http_signature_validation, is_inactive, enable_detailed_recording,
    ];
    let flags = flags.iter().fold(0_u8, |flags, flag| flags << 1 | u8::from(**flag));
    (150_u8, flags, tags).hash(hasher);
    for map in [metadata, oauth_keys] {
        hasher.write_usize(map.len());
        map.iter().for_each(|entry| entry.hash(hasher));
    }
    hasher.write_usize(access_rights.len());
    access_rights
        .iter()
        .try_for_each(|(api_id, right)| put_right(api_id, right, hasher))
}

fn put_right(name: &str, right: &AccessDefinition, hasher: &mut impl Hasher) -> Option<()> {
    let AccessDefinition {
        api_name,
        api_id,
        versions,
        allowed_urls,
        limit,
        allowance_scope,
        endpoints,
    } = right;
    if limit.is_some() || !endpoints.is_empty() {
        return None;
    }
    (name, api_name, api_id, versions, allowance_scope).hash(hasher);
    hasher.write_usize(allowed_urls.len());
    for allowed in allowed_urls {
        (&allowed.url, &allowed.methods).hash(hasher);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use coprocess_core::{ApiLimit, JwtData};

    use super::*;

    fn made() -> Session {
        let right = AccessDefinition {
            api_id: "a".to_owned(),
            versions: vec!["v1".to_owned()],
            ..AccessDefinition::default()
        };
        Session {
            rate: 10.0,
            metadata: [("token".to_owned(), "t".to_owned())].into(),
            access_rights: [("a".to_owned(), right)].into(),
            ..Session::default()
        }
    }

    fn digest(change: impl Fn(&mut Session)) -> Option<Digest> {
        let mut session = made();
        change(&mut session);
        Digest::of(&session, "id", "org")
    }

    #[test]
    fn sessions_that_differ_have_different_digests() {
        let same = digest(|_| {}).unwrap();
        assert_eq!(
            digest(|session| session.key_id = "x".to_owned()),
            Some(same)
        );
        assert_ne!(Digest::of(&made(), "other", "org"), Some(same));
        assert_ne!(Digest::of(&made(), "ido", "rg"), Some(same));
        type Change = fn(&mut Session);
        let changes: [Change; 12] = [
            |session| session.rate = 11.0,
            |session| session.per = 10.0,
            |session| session.expires = 5,
            |session| session.quota_renews = 5,
            |session| session.is_inactive = true,
            |session| session.hmac_enabled = true,
            |session| session.alias = "t".to_owned(),
            |session| session.hmac_secret = "t".to_owned(),
            |session| session.tags.push("t".to_owned()),
            |session| drop(session.metadata.insert("b".to_owned(), String::new())),
            |session| session.access_rights["a"].versions.clear(),
            |session| session.access_rights.clear(),
        ];
        for (place, change) in changes.into_iter().enumerate() {
            let other = digest(change).unwrap();
            assert_ne!(other, same, "change {place}");
        }
    }

    #[test]
    fn what_may_become_something_else_has_no_digest() {
        type Change = fn(&mut Session);
        let changes: [Change; 3] = [
            |session| session.apply_policies.push("p".to_owned()),
            |session| session.jwt_data = Some(JwtData::default()),
            |session| session.access_rights["a"].limit = Some(ApiLimit::default()),
        ];
        for change in changes {
            assert_eq!(digest(change), None);
        }
    }
}
