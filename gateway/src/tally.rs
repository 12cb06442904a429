//! What became of an API's requests lately, for who asks `/tyk/health`.
//!
//! It is counted only where the configuration says so. Each thread counts in a part of its
//! own, by the second; who asks adds the parts up.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::HealthCheck;
use crate::error::ProxyError;

/// The tallies of all APIs, which outlive a reload.
#[derive(Debug, Default)]
pub struct Tallies {
    /// Nothing where nothing is counted.
    settings: Option<Settings>,
    known: Mutex<HashMap<String, Arc<Tally>>>,
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    /// How many seconds are looked back.
    seconds: usize,
    /// How many threads count.
    threads: usize,
}

/// What became of the requests of one API.
#[derive(Debug)]
pub struct Tally {
    began: Instant,
    parts: Box<[Part]>,
}

/// The part of one thread, on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Part(Mutex<Box<[Second]>>);

/// One second of it.
#[derive(Debug, Clone, Copy, Default)]
struct Second {
    /// Which second it is, counted from the beginning.
    number: u64,
    counts: Counts,
}

/// How many requests, by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    answered: u64,
    throttled: u64,
    over_quota: u64,
    key_failures: u64,
    /// Of all that were answered, together.
    upstream_milliseconds: u64,
}

/// What is told of an API: per second, and the latency in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Requests over a rate.
    pub throttled: f64,
    /// Requests over a quota.
    pub over_quota: f64,
    /// Requests whose key was not accepted.
    pub key_failures: f64,
    /// How long upstreams took on average.
    pub latency: f64,
    /// Requests that upstreams have answered.
    pub answered: f64,
}

// === impl Tallies ===

impl Tallies {
    /// What the configuration asks for.
    pub fn new(options: &HealthCheck, threads: usize) -> Arc<Self> {
        let settings = options.enable_health_checks.then(|| Settings {
            seconds: options.seconds(),
            threads: threads.max(1),
        });
        Arc::new(Self {
            settings,
            known: Mutex::default(),
        })
    }

    /// Whether anything is counted.
    pub fn is_on(&self) -> bool {
        self.settings.is_some()
    }

    /// The tally of an API, where there are tallies.
    pub fn of(&self, api_id: &str) -> Option<Arc<Tally>> {
        let settings = self.settings?;
        let mut known = lock(&self.known);
        let tally = known
            .entry(api_id.to_owned())
            .or_insert_with(|| Arc::new(Tally::new(settings)));
        Some(Arc::clone(tally))
    }

    /// Forgets the tallies that no API has any more.
    pub fn tidy(&self) {
        lock(&self.known).retain(|_, tally| Arc::strong_count(tally) > 1);
    }
}

// === impl Tally ===

impl Tally {
    fn new(settings: Settings) -> Self {
        // The second that runs is not over, and has a place too.
        let seconds = vec![Second::default(); settings.seconds + 1];
        let part = || Part(Mutex::new(seconds.clone().into_boxed_slice()));
        Self {
            began: Instant::now(),
            parts: (0..settings.threads).map(|_| part()).collect(),
        }
    }

    /// Counts a request that an upstream has answered.
    pub fn note_answer(&self, took: Duration) {
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.note(|counts| {
            counts.answered += 1;
            counts.upstream_milliseconds =
                counts.upstream_milliseconds.saturating_add(milliseconds);
        });
    }

    /// Counts a request that was refused, if it was for a reason that is counted.
    pub fn note_refusal(&self, error: &ProxyError) {
        match error {
            ProxyError::RateLimited(_) | ProxyError::ApiRateLimited(_) => {
                self.note(|counts| counts.throttled += 1);
            }
            ProxyError::QuotaExceeded => self.note(|counts| counts.over_quota += 1),
            ProxyError::KeyUnknown
            | ProxyError::KeyExpired
            | ProxyError::KeyInactive
            | ProxyError::AuthRejected
            | ProxyError::AuthHook(_)
            | ProxyError::Auth(_) => self.note(|counts| counts.key_failures += 1),
            _ => {}
        }
    }

    /// What it comes to.
    pub fn summary(&self) -> Summary {
        let now = self.now();
        let (mut sum, mut seconds) = (Counts::default(), 0);
        for part in &self.parts {
            let part = lock(&part.0);
            seconds = part.len() - 1;
            let oldest = (now + 1).saturating_sub(seconds as u64);
            for second in part.iter().filter(|second| second.number >= oldest) {
                sum.add(second.counts);
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "two digits are told")]
        let ratio = |count: u64, of: u64| match of {
            0 => 0.0,
            of => (count as f64 / of as f64 * 100.0).trunc() / 100.0,
        };
        let rate = |count| ratio(count, seconds as u64);
        Summary {
            throttled: rate(sum.throttled),
            over_quota: rate(sum.over_quota),
            key_failures: rate(sum.key_failures),
            latency: ratio(sum.upstream_milliseconds, sum.answered),
            answered: rate(sum.answered),
        }
    }

    fn note(&self, count: impl FnOnce(&mut Counts)) {
        let now = self.now();
        let mut part = lock(&self.parts[place() % self.parts.len()].0);
        let length = part.len() as u64;
        #[expect(clippy::cast_possible_truncation, reason = "it is below the length")]
        let second = &mut part[(now % length) as usize];
        if second.number != now {
            *second = Second {
                number: now,
                counts: Counts::default(),
            };
        }
        count(&mut second.counts);
    }

    /// The second that runs.
    fn now(&self) -> u64 {
        self.began.elapsed().as_secs()
    }
}

// === impl Counts ===

impl Counts {
    fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.throttled += other.throttled;
        self.over_quota += other.over_quota;
        self.key_failures += other.key_failures;
        self.upstream_milliseconds = self
            .upstream_milliseconds
            .saturating_add(other.upstream_milliseconds);
    }
}

/// Which part is this thread's. Two threads may share one; it is only slower then.
fn place() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PLACE: usize = NEXT.fetch_add(1, Relaxed);
    }
    PLACE.with(|place| *place)
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ago(tally: &mut Tally, seconds: u64) {
        tally.began -= Duration::from_secs(seconds);
    }

    #[test]
    fn what_became_of_requests_is_told_per_second() {
        let mut tally = Tally::new(Settings {
            seconds: 10,
            threads: 2,
        });
        ago(&mut tally, 100);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    tally.note_answer(Duration::from_millis(30));
                    tally.note_answer(Duration::from_millis(11));
                    tally.note_refusal(&ProxyError::QuotaExceeded);
                    tally.note_refusal(&ProxyError::RouteNotFound);
                });
            }
        });
        tally.note_refusal(&ProxyError::RateLimited(None));
        tally.note_refusal(&ProxyError::KeyExpired);
        let expected = Summary {
            throttled: 0.1,
            over_quota: 0.2,
            key_failures: 0.1,
            latency: 20.5,
            answered: 0.4,
        };
        assert_eq!(tally.summary(), expected);
        ago(&mut tally, 8);
        assert_eq!(tally.summary(), expected);
        ago(&mut tally, 10);
        assert_eq!(tally.summary().answered, 0.0);
        tally.note_answer(Duration::ZERO);
        assert_eq!(tally.summary().answered, 0.1);
    }

    #[test]
    fn a_tally_lives_as_long_as_its_api() {
        let on = HealthCheck {
            enable_health_checks: true,
            ..HealthCheck::default()
        };
        let tallies = Tallies::new(&on, 2);
        let tally = tallies.of("a").unwrap();
        drop(tallies.of("b"));
        tallies.tidy();
        assert!(Arc::ptr_eq(&tally, &tallies.of("a").unwrap()));
        assert_eq!(lock(&tallies.known).len(), 1);
        assert!(Tallies::new(&HealthCheck::default(), 2).of("a").is_none());
    }
}
