//! Which of several upstreams a request goes to, or which API takes over for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use http::Uri;
use tracing::warn;

use crate::chain::{Flow, Middleware, Step};
use crate::definition::ApiDefinition;
use crate::edge;
use crate::error::ProxyError;
use crate::exchange::Exchange;
use crate::traffic::Loop;
use crate::upstream::target::Target;
use crate::uptime::{Host, Uptime};

/// How long an upstream that failed is passed over.
const PAUSE: Duration = Duration::from_secs(10);

/// Chooses among the upstreams of an API, one after the other.
pub struct Balance(Arc<Balancer>);

/// The upstreams of an API.
struct Balancer {
    upstreams: Vec<Candidate>,
    next: AtomicUsize,
    began: Instant,
}

struct Candidate {
    target: Arc<Target>,
    /// Milliseconds after the beginning until which it is passed over.
    away_until: AtomicU64,
    /// What its uptime tests say, where they count.
    host: Option<Arc<Host>>,
}

/// The upstream that was chosen.
pub struct Chosen {
    balancer: Arc<Balancer>,
    place: usize,
}

impl Balance {
    /// The step, if the definition has several upstreams.
    pub fn new(api: &ApiDefinition, uptime: &Uptime) -> Result<Option<Self>, String> {
        let is_tested = api.proxy.check_host_against_uptime_tests;
        if !api.proxy.enable_load_balancing {
            if is_tested {
                warn!(
                    api = api.api_id,
                    "proxy.check_host_against_uptime_tests has no effect without \
                     enable_load_balancing."
                );
            }
            return Ok(None);
        }
        let wrong = |what: String| format!("API `{}`: proxy.target_list{what}", api.api_id);
        if api.proxy.target_list.is_empty() {
            return Err(wrong(": is empty, but enable_load_balancing is on".into()));
        }
        let list = api.proxy.target_list.iter().enumerate();
        let upstreams = list.map(|(place, url)| {
            let target =
                Target::parse(url).map_err(|error| wrong(format!("[{place}]: {error}")))?;
            Ok(Candidate {
                host: is_tested.then(|| uptime.host(&api.api_id, &target.authority)),
                target: Arc::new(target),
                away_until: AtomicU64::new(0),
            })
        });
        Ok(Some(Self(Arc::new(Balancer {
            upstreams: upstreams.collect::<Result<_, String>>()?,
            next: AtomicUsize::new(0),
            began: Instant::now(),
        }))))
    }
}

impl Middleware for Balance {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let notes = exchange.notes();
        if notes.target.is_none() && notes.loop_to.is_none() {
            let Some(chosen) = self.0.choose() else {
                return Step::Done(Err(ProxyError::HostsDown));
            };
            notes.target = Some(Arc::clone(&self.0.upstreams[chosen].target));
            notes.chosen = Some(Chosen {
                balancer: Arc::clone(&self.0),
                place: chosen,
            });
        }
        Step::Done(Ok(Flow::Continue))
    }
}

impl Balancer {
    /// The next one that has not failed lately, or simply the next: of those that are not
    /// down by their uptime tests.
    fn choose(&self) -> Option<usize> {
        let now = self.now();
        let first = self.next.fetch_add(1, Relaxed);
        let count = self.upstreams.len();
        let is_up = |&place: &usize| {
            let host = self.upstreams[place].host.as_ref();
            host.is_none_or(|host| !host.is_down())
        };
        let places = (0..count).map(|step| first.wrapping_add(step) % count);
        let mut places = places.filter(is_up);
        let is_there = |&place: &usize| self.upstreams[place].away_until.load(Relaxed) <= now;
        let next = places.clone().next();
        places.find(is_there).or(next)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Chosen {
    /// Notes whether the upstream could be reached.
    pub fn settle(self, is_there: bool) {
        let now = self.balancer.now();
        let pause = u64::try_from(PAUSE.as_millis()).unwrap_or(u64::MAX);
        let until = if is_there {
            0
        } else {
            now.saturating_add(pause)
        };
        let known = &self.balancer.upstreams[self.place].away_until;
        // Nothing is written where nothing changes: all threads look at it.
        if known.load(Relaxed) != until {
            known.store(until, Relaxed);
        }
    }
}

/// Hands every request over to another API, which is the target of this one.
pub struct HandOver {
    to: Loop,
    /// What stands in for an upstream, to join paths.
    target: Target,
}

impl HandOver {
    /// The step for a target URL like `tyk://api/path`.
    pub fn new(url: &str) -> Option<Result<Self, String>> {
        let parsed = Loop::parse(url)?;
        Some(parsed.and_then(|(to, uri)| {
            let target = Target::parse(&format!("http://localhost{uri}"));
            let target = target.map_err(|error| error.to_string())?;
            Ok(Self { to, target })
        }))
    }

    fn take(&self, exchange: &mut Exchange) -> Result<Flow, ProxyError> {
        if exchange.notes().loop_to.is_some() || exchange.notes().target.is_some() {
            return Ok(Flow::Continue);
        }
        let strip = if exchange.api.strip_listen_path {
            exchange.listen_length
        } else {
            0
        };
        let uri: Uri = self
            .target
            .join(&exchange.head.uri, strip)
            .map_err(|error| ProxyError::Internal(error.to_string()))?;
        edge::target::check(&uri, exchange.policy).map_err(ProxyError::Malformed)?;
        exchange.head.uri = uri;
        exchange.notes().loop_to = Some(self.to.clone());
        Ok(Flow::Continue)
    }
}

impl Middleware for HandOver {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        Step::Done(self.take(exchange))
    }
}
