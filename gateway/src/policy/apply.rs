//! What policies make of a session.
//!
//! What a policy governs is taken from the session first, and then filled from all its
//! policies: of limits the most permissive one counts, of rights all of them together.

use std::collections::{BTreeMap, BTreeSet};

use coprocess_core::{AccessDefinition, ApiLimit, EndpointLimit, Session};
use tracing::warn;

use super::{Policies, Policy, PolicyError, ids, inline};
use crate::session::text_of;

/// Rights in the making, and for which APIs policies have said what.
#[derive(Default)]
struct Made {
    rights: BTreeMap<String, Right>,
    rates: BTreeSet<String>,
    quotas: BTreeSet<String>,
    depths: BTreeSet<String>,
    /// APIs with limits of their own.
    apart: BTreeSet<String>,
    /// Some policy governs the access rights.
    governs_rights: bool,
}

#[derive(Default)]
struct Right {
    access: AccessDefinition,
    /// It is a right, and not only limits of one.
    is_right: bool,
    /// Which policy or API has given it.
    given_by: String,
}

/// What of a session a policy governs.
#[derive(Clone, Copy)]
struct Governs {
    rate: bool,
    quota: bool,
    depth: bool,
    rights: bool,
}

impl Policies {
    /// Applies the policies that a session brings, or else those that it names; nothing
    /// happens where it has none.
    /// `org_id` is the organisation whose policies may be applied; none allows all. After an
    /// error the session must not be used.
    pub fn apply(&self, session: &mut Session, org_id: Option<&str>) -> Result<(), PolicyError> {
        let (own, named) = (inline::of(session)?, ids(session).to_vec());
        let policies = match &own {
            Some(own) => {
                let usable = own.iter().map(|policy| usable(policy, org_id));
                usable.collect::<Result<Vec<_>, _>>()?
            }
            None if named.is_empty() => return Ok(()),
            None => self.valid(&named, org_id)?,
        };
        for policy in &policies {
            clear(session, governs(policy));
        }
        let mut made = Made::default();
        for policy in &policies {
            if policy.definition.partitions.per_api {
                made.add_apart(policy, session)?;
            } else {
                made.add(policy, session)?;
            }
        }
        say_the_rest(session, &policies);
        made.finish(session)
    }

    fn valid<'a>(
        &'a self,
        named: &[String],
        org_id: Option<&str>,
    ) -> Result<Vec<&'a Policy>, PolicyError> {
        let mut policies = Vec::with_capacity(named.len());
        for id in named {
            let Some(policy) = self.get(id) else {
                if named.len() == 1 {
                    return Err(PolicyError::Missing(id.clone()));
                }
                warn!(policy = id, "Policy of a key is not found, and left out.");
                continue;
            };
            policies.push(usable(policy, org_id)?);
        }
        if policies.is_empty() {
            return Err(PolicyError::NoneValid);
        }
        Ok(policies)
    }
}

/// The policy, where it may be applied at all.
fn usable<'a>(policy: &'a Policy, org_id: Option<&str>) -> Result<&'a Policy, PolicyError> {
    let definition = &policy.definition;
    if org_id.is_some_and(|org_id| org_id != definition.org_id) {
        return Err(PolicyError::Foreign(definition.id.clone()));
    }
    if definition.partitions.per_api && definition.partitions.is_partial() {
        return Err(PolicyError::Mixed(definition.id.clone()));
    }
    Ok(policy)
}

fn governs(policy: &Policy) -> Governs {
    let partitions = policy.definition.partitions;
    let all = !partitions.is_partial();
    Governs {
        rate: all || partitions.rate_limit,
        quota: all || partitions.quota,
        depth: all || partitions.complexity,
        rights: all || partitions.acl,
    }
}

/// Takes limits from a session. How far its quota is used up is no limit, and stays.
fn clear(session: &mut Session, governs: Governs) {
    if governs.rate {
        (session.rate, session.per) = (0.0, 0.0);
        (session.throttle_interval, session.throttle_retry_limit) = (0.0, 0);
    }
    if governs.quota {
        (session.quota_max, session.quota_renewal_rate) = (0, 0);
    }
    if governs.depth {
        session.max_query_depth = 0;
    }
}

/// Everything that is no limit and no right.
fn say_the_rest(session: &mut Session, policies: &[&Policy]) {
    // From here on the policies say it alone.
    session.is_inactive = false;
    for policy in policies {
        let definition = &policy.definition;
        session.is_inactive |= definition.is_inactive;
        session.hmac_enabled |= definition.hmac_enabled;
        for tag in &definition.tags {
            if !session.tags.contains(tag) {
                session.tags.push(tag.clone());
            }
        }
        for (key, value) in &definition.meta_data {
            session.metadata.insert(key.clone(), text_of(value));
        }
        let number = |text: &str| text.parse::<i64>().unwrap_or(i64::MIN);
        if number(&definition.last_updated) > number(&session.last_updated) {
            session.last_updated.clone_from(&definition.last_updated);
        }
    }
}

// === impl Made ===

impl Made {
    /// A policy whose APIs have limits of their own.
    fn add_apart(&mut self, policy: &Policy, session: &Session) -> Result<(), PolicyError> {
        self.governs_rights = true;
        for (api_id, right) in &policy.rights {
            if self.is_touched(api_id) {
                return Err(PolicyError::MixedKinds);
            }
            let mut access = right.clone();
            let scope = if access.limit.is_some() {
                api_id
            } else {
                access.limit = Some(policy.definition.limit().into());
                &policy.definition.id
            };
            access.allowance_scope.clone_from(scope);
            keep_renewal(&mut access, session, api_id);
            let right = Right {
                access,
                is_right: true,
                given_by: scope.clone(),
            };
            self.rights.insert(api_id.clone(), right);
            self.apart.insert(api_id.clone());
            for said in [&mut self.rates, &mut self.quotas, &mut self.depths] {
                said.insert(api_id.clone());
            }
        }
        Ok(())
    }

    fn is_touched(&self, api_id: &str) -> bool {
        self.rights.contains_key(api_id)
    }

    /// A policy whose limits are for all its APIs together.
    fn add(&mut self, policy: &Policy, session: &mut Session) -> Result<(), PolicyError> {
        let governs = governs(policy);
        self.governs_rights |= governs.rights;
        let limit = ApiLimit::from(policy.definition.limit());
        merge_into_session(session, &limit, governs);
        for (api_id, right) in &policy.rights {
            if self.apart.contains(api_id) {
                return Err(PolicyError::MixedKinds);
            }
            let made = self.rights.entry(api_id.clone()).or_default();
            if governs.rights {
                made.widen(right, &policy.definition.id, governs.rate);
            }
            let merged = made.access.limit.get_or_insert_default();
            merge(merged, &limit, governs);
            keep_renewal(&mut made.access, session, api_id);
            for (is_said, said) in [
                (governs.rate, &mut self.rates),
                (governs.quota, &mut self.quotas),
                (governs.depth, &mut self.depths),
            ] {
                if is_said {
                    said.insert(api_id.clone());
                }
            }
        }
        Ok(())
    }

    /// Gives the session its rights.
    fn finish(mut self, session: &mut Session) -> Result<(), PolicyError> {
        self.inherit(session);
        self.tell_limits_of_the_only_api(session);
        if !self.governs_rights {
            return Ok(());
        }
        self.rights.retain(|_, right| right.is_right);
        // No rights at all would be rights to everything.
        if self.rights.is_empty() {
            return Err(PolicyError::NoneValid);
        }
        let givers: BTreeSet<_> = self.rights.values().map(|right| &right.given_by).collect();
        let several = givers.len() > 1;
        let rights = self.rights.into_iter().map(|(api_id, right)| {
            let mut access = right.access;
            if several && access.allowance_scope.is_empty() {
                access.allowance_scope = right.given_by;
            }
            (api_id, access)
        });
        session.access_rights = rights.collect();
        Ok(())
    }

    /// What no policy says of an API is what the session says of all.
    fn inherit(&mut self, session: &Session) {
        for (api_id, right) in &mut self.rights {
            let limit = right.access.limit.get_or_insert_default();
            if !self.rates.contains(api_id) {
                (limit.rate, limit.per) = (session.rate, session.per);
                limit.throttle_interval = session.throttle_interval;
                limit.throttle_retry_limit = session.throttle_retry_limit;
            }
            if !self.quotas.contains(api_id) {
                limit.quota_max = session.quota_max;
                limit.quota_renewal_rate = session.quota_renewal_rate;
                limit.quota_renews = session.quota_renews;
            }
            if !self.depths.contains(api_id) {
                limit.max_query_depth = session.max_query_depth;
            }
            if *limit == ApiLimit::default() {
                right.access.limit = None;
            }
        }
    }

    /// Where all is said about one API, the session shows its limits too.
    fn tell_limits_of_the_only_api(&self, session: &mut Session) {
        let is_one = |said: &BTreeSet<String>| said.len() == 1;
        if ![&self.rates, &self.quotas, &self.depths]
            .into_iter()
            .all(is_one)
        {
            return;
        }
        let only = self.rates.first().and_then(|id| self.rights.get(id));
        if let Some(limit) = only.and_then(|right| right.access.limit.as_ref()) {
            (session.rate, session.per) = (limit.rate, limit.per);
            session.quota_max = limit.quota_max;
            session.quota_renewal_rate = limit.quota_renewal_rate;
            session.max_query_depth = limit.max_query_depth;
        }
    }
}

// === impl Right ===

impl Right {
    /// Adds what another policy allows.
    fn widen(&mut self, right: &AccessDefinition, policy: &str, with_rates: bool) {
        self.given_by = policy.to_owned();
        let mut endpoints = std::mem::take(&mut self.access.endpoints);
        if with_rates {
            widen_endpoints(&mut endpoints, &right.endpoints);
        }
        self.widen_paths(right);
        self.access.endpoints = endpoints;
    }

    fn widen_paths(&mut self, right: &AccessDefinition) {
        if !self.is_right {
            self.is_right = true;
            let merged = self.access.limit.take();
            self.access = right.clone();
            if let Some(merged) = merged {
                let all = Governs {
                    rate: true,
                    quota: true,
                    depth: true,
                    rights: true,
                };
                merge(self.access.limit.get_or_insert_default(), &merged, all);
            }
            return;
        }
        for version in &right.versions {
            if !self.access.versions.contains(version) {
                self.access.versions.push(version.clone());
            }
        }
        let own = &mut self.access.allowed_urls;
        for allowed in &right.allowed_urls {
            match own.iter_mut().find(|known| known.url == allowed.url) {
                Some(known) => {
                    for method in &allowed.methods {
                        if !known.methods.contains(method) {
                            known.methods.push(method.clone());
                        }
                    }
                }
                None => own.push(allowed.clone()),
            }
        }
    }
}

/// Adds rates of single paths; of two for the same the more permissive one counts.
fn widen_endpoints(endpoints: &mut Vec<EndpointLimit>, others: &[EndpointLimit]) {
    for other in others {
        let known = endpoints
            .iter_mut()
            .find(|known| known.path == other.path && known.method == other.method);
        match known {
            Some(known) => {
                let is_limit = |limit: &EndpointLimit| limit.rate > 0.0 && limit.per > 0.0;
                let pause = |limit: &EndpointLimit| limit.per / limit.rate;
                if is_limit(known) && (!is_limit(other) || pause(known) > pause(other)) {
                    known.clone_from(other);
                }
            }
            None => endpoints.push(other.clone()),
        }
    }
}

/// A quota that is being used up goes on.
fn keep_renewal(access: &mut AccessDefinition, session: &Session, api_id: &str) {
    let before = session.access_rights.get(api_id);
    if let Some(before) = before.and_then(|right| right.limit.as_ref())
        && let Some(limit) = &mut access.limit
    {
        limit.quota_renews = before.quota_renews;
        limit.quota_remaining = before.quota_remaining;
    }
}

fn merge_into_session(session: &mut Session, limit: &ApiLimit, governs: Governs) {
    let mut merged = ApiLimit {
        rate: session.rate,
        per: session.per,
        quota_max: session.quota_max,
        quota_renewal_rate: session.quota_renewal_rate,
        max_query_depth: session.max_query_depth,
        throttle_interval: session.throttle_interval,
        throttle_retry_limit: session.throttle_retry_limit,
        ..ApiLimit::default()
    };
    merge(&mut merged, limit, governs);
    (session.rate, session.per) = (merged.rate, merged.per);
    session.quota_max = merged.quota_max;
    session.quota_renewal_rate = merged.quota_renewal_rate;
    session.max_query_depth = merged.max_query_depth;
    session.throttle_interval = merged.throttle_interval;
    session.throttle_retry_limit = merged.throttle_retry_limit;
}

/// Of two limits the more permissive one.
fn merge(limit: &mut ApiLimit, other: &ApiLimit, governs: Governs) {
    let is_limited = |limit: &ApiLimit| limit.rate != 0.0 && limit.per != 0.0;
    let pause = |limit: &ApiLimit| {
        if limit.rate > 0.0 {
            limit.per / limit.rate
        } else {
            0.0
        }
    };
    if governs.rate {
        if is_limited(other) && (!is_limited(limit) || pause(limit) > pause(other)) {
            (limit.rate, limit.per) = (other.rate, other.per);
        }
        if is_more(other.throttle_retry_limit, limit.throttle_retry_limit) {
            limit.throttle_retry_limit = other.throttle_retry_limit;
        }
        limit.throttle_interval = limit.throttle_interval.max(other.throttle_interval);
    }
    if governs.quota {
        if is_more(other.quota_max, limit.quota_max) {
            limit.quota_max = other.quota_max;
        }
        limit.quota_renewal_rate = limit.quota_renewal_rate.max(other.quota_renewal_rate);
    }
    if governs.depth && is_more(other.max_query_depth, limit.max_query_depth) {
        limit.max_query_depth = other.max_query_depth;
    }
}

/// Whether a limit allows more than another; -1 is without limit.
fn is_more(one: i64, other: i64) -> bool {
    other != -1 && (one == -1 || one > other)
}

#[cfg(test)]
mod tests;
