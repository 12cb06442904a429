//! Responses that are kept for a while, by one process, within bounds.
//!
//! A response belongs to everything that may have made it what it is: API, version, target,
//! method, URL, caller, credentials, and the headers that definition and response name. It is
//! found by the whole of that, not by a hash of it.

mod keep;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::config::LocalResponseCache;
use crate::upstream::body::ResponseBody;
pub use keep::Keeping;

/// Says that an answer is a kept one.
const CACHED: HeaderName = HeaderName::from_static("x-tyk-cached-response");

/// About what an entry takes beside its bytes.
const OVERHEAD: usize = 512;

/// The kept responses of a process; cheap to clone.
#[derive(Clone)]
pub struct Responses {
    entries: Arc<Cache<Key, Arc<Kept>, Weight>>,
    max_entry_bytes: usize,
}

/// How many there is room for at first.
const ENTRIES_AT_FIRST: usize = 64;

/// What an entry counts against the bounds.
#[derive(Clone)]
struct Weight;

impl Weighter<Key, Arc<Kept>> for Weight {
    fn weight(&self, key: &Key, kept: &Arc<Kept>) -> u64 {
        (key.rest.len() + kept.size()) as u64
    }
}

/// What a response belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The API.
    pub api: Arc<str>,
    /// Everything else, each part with its length.
    pub rest: Box<[u8]>,
}

/// A response that is kept.
struct Kept {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    since: Instant,
    until: Instant,
    /// The request headers that it depends on, with the values that they had.
    vary: Vec<(HeaderName, Vec<HeaderValue>)>,
}

/// What it takes to keep the response that is on its way.
pub struct Ticket {
    responses: Responses,
    key: Key,
    rules: Arc<Rules>,
    time: Duration,
    /// The request's headers as the upstream saw them.
    asked: HeaderMap,
}

/// Which responses an API keeps.
pub struct Rules {
    /// Statuses; empty is those that can be kept without being told so.
    pub statuses: Vec<StatusCode>,
    /// The header with which the upstream says for how long, where it has to say so.
    pub upstream_control: Option<HeaderName>,
}

/// Says that the upstream wants its response kept.
const WANTED: HeaderName = HeaderName::from_static("x-tyk-cache-action-set");

impl Responses {
    /// Keeps as much as the configuration allows.
    pub fn new(limits: &LocalResponseCache) -> Self {
        let entries = Cache::with_weighter(ENTRIES_AT_FIRST, limits.max_bytes, Weight);
        Self {
            entries: Arc::new(entries),
            max_entry_bytes: usize::try_from(limits.max_entry_bytes).unwrap_or(usize::MAX),
        }
    }

    /// Forgets the responses of an API.
    pub fn forget(&self, api: &str) {
        self.entries.retain(|key, _| *key.api != *api);
    }

    /// The kept response for a request with these headers.
    pub fn find(&self, key: &Key, asked: &HeaderMap) -> Option<Response<ResponseBody>> {
        let kept = self.entries.get(key)?;
        let now = Instant::now();
        if kept.until <= now {
            self.entries.remove(key);
            return None;
        }
        let is_same = |(name, values): &(HeaderName, Vec<HeaderValue>)| {
            asked.get_all(name).iter().eq(values.iter())
        };
        if !kept.vary.iter().all(is_same) {
            return None;
        }
        let mut response = Response::new(ResponseBody::full(kept.body.clone()));
        *response.status_mut() = kept.status;
        let headers = response.headers_mut();
        headers.clone_from(&kept.headers);
        headers.insert(CACHED, HeaderValue::from_static("1"));
        let age = now.duration_since(kept.since).as_secs();
        headers.insert(header::AGE, age.into());
        Some(response)
    }
}

impl Kept {
    fn size(&self) -> usize {
        let fields = self.headers.iter();
        let fields = fields.map(|(name, value)| name.as_str().len() + value.len() + 32);
        OVERHEAD + self.body.len() + fields.sum::<usize>()
    }
}

impl Ticket {
    /// A ticket for the response to a request.
    pub fn new(
        responses: Responses,
        key: Key,
        rules: Arc<Rules>,
        time: Duration,
        asked: HeaderMap,
    ) -> Self {
        Self {
            responses,
            key,
            rules,
            time,
            asked,
        }
    }

    /// Keeps the response, if it may be kept: at once, or when its body has passed.
    pub fn keep(self, response: Response<ResponseBody>) -> Response<ResponseBody> {
        let (head, body) = response.into_parts();
        let Some(kept) = self.kept(head.status, &head.headers) else {
            return Response::from_parts(head, body);
        };
        Response::from_parts(head, Keeping::begin(self.responses, self.key, kept, body))
    }

    fn kept(&self, status: StatusCode, headers: &HeaderMap) -> Option<Kept> {
        let statuses = &self.rules.statuses;
        let known = if statuses.is_empty() {
            matches!(
                status.as_u16(),
                200 | 203 | 204 | 300 | 301 | 308 | 404 | 410
            )
        } else {
            // These answer one request only.
            let never = [StatusCode::PARTIAL_CONTENT, StatusCode::NOT_MODIFIED];
            statuses.contains(&status) && !never.contains(&status)
        };
        if !known || headers.contains_key(header::SET_COOKIE) || forbids(headers) {
            return None;
        }
        let mut time = self.time;
        if let Some(name) = &self.rules.upstream_control {
            headers.get(WANTED).filter(|value| !value.is_empty())?;
            let said = headers.get(name).and_then(|value| value.to_str().ok());
            if let Some(said) = said {
                time = Duration::from_secs(said.trim().parse().ok()?);
            }
        }
        let since = Instant::now();
        Some(Kept {
            status,
            headers: headers.clone(),
            body: Bytes::new(),
            since,
            until: since.checked_add(time).filter(|_| !time.is_zero())?,
            vary: self.vary(headers)?,
        })
    }

    /// The headers that the response depends on. `None` when that is more than headers.
    fn vary(&self, headers: &HeaderMap) -> Option<Vec<(HeaderName, Vec<HeaderValue>)>> {
        let mut vary = Vec::new();
        for value in headers.get_all(header::VARY) {
            for name in value.to_str().ok()?.split(',').map(str::trim) {
                if name.is_empty() {
                    continue;
                }
                let name = HeaderName::from_bytes(name.as_bytes()).ok();
                let name = name.filter(|name| name != "*")?;
                let values = self.asked.get_all(&name).iter().cloned().collect();
                vary.push((name, values));
            }
        }
        Some(vary)
    }
}

/// Whether a response says that a cache for many must not keep it.
fn forbids(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::CACHE_CONTROL).iter();
    values.map(|value| value.to_str()).any(|value| {
        let Ok(value) = value else { return true };
        let mut directives = value.split(',').map(|directive| {
            let name = directive.split('=').next().unwrap_or_default();
            name.trim().to_ascii_lowercase()
        });
        directives.any(|name| matches!(&*name, "no-store" | "private" | "no-cache"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(statuses: &[u16], upstream_control: bool) -> Ticket {
        let rules = Rules {
            statuses: statuses
                .iter()
                .map(|status| StatusCode::from_u16(*status).unwrap())
                .collect(),
            upstream_control: upstream_control.then(|| HeaderName::from_static("x-ttl")),
        };
        let key = Key {
            api: "a".into(),
            rest: Box::default(),
        };
        let time = Duration::from_secs(10);
        Ticket::new(
            Responses::new(&LocalResponseCache {
                max_bytes: 1 << 20,
                max_entry_bytes: 1 << 10,
            }),
            key,
            Arc::new(rules),
            time,
            HeaderMap::new(),
        )
    }

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let fields = fields.iter();
        let fields =
            fields.map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        fields.collect()
    }

    #[test]
    fn only_what_may_be_kept_is_kept() {
        for (statuses, status, fields, expected) in [
            (&[][..], 200, &[][..], true),
            (&[], 404, &[], true),
            (&[], 500, &[], false),
            (&[], 206, &[], false),
            (&[], 302, &[], false),
            (&[500], 500, &[], true),
            (&[500], 200, &[], false),
            (&[206], 206, &[], false),
            (&[304], 304, &[], false),
            (&[], 200, &[("set-cookie", "a=1")], false),
            (&[], 200, &[("cache-control", "max-age=1, PRIVATE")], false),
            (&[], 200, &[("cache-control", "no-store")], false),
            (&[], 200, &[("cache-control", "no-cache=\"x\"")], false),
            (&[], 200, &[("cache-control", "public, max-age=1")], true),
            (&[], 200, &[("vary", "*")], false),
            (&[], 200, &[("vary", "Accept, X-B")], true),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let kept = ticket(statuses, false).kept(status, &headers(fields));
            assert_eq!(kept.is_some(), expected, "{statuses:?} {status} {fields:?}");
        }
    }

    #[test]
    fn the_upstream_may_have_the_say() {
        let time = |fields| {
            let kept = ticket(&[], true).kept(StatusCode::OK, &headers(fields))?;
            Some(kept.until.duration_since(kept.since).as_secs())
        };
        assert_eq!(time(&[]), None);
        assert_eq!(time(&[("x-tyk-cache-action-set", "1")]), Some(10));
        assert_eq!(
            time(&[("x-tyk-cache-action-set", "1"), ("x-ttl", "3")]),
            Some(3)
        );
        assert_eq!(
            time(&[("x-tyk-cache-action-set", "1"), ("x-ttl", "0")]),
            None
        );
        assert_eq!(
            time(&[("x-tyk-cache-action-set", "1"), ("x-ttl", "soon")]),
            None
        );
    }
}
