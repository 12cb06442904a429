//! Circuit breakers: an upstream that keeps failing is left alone for a while.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::chain::{Flow, Middleware, Step};
use crate::definition::{ApiDefinition, CircuitBreaker};
use crate::error::ProxyError;
use crate::events::{Meta, names};
use crate::exchange::Exchange;
use crate::traffic::PerVersion;
use crate::traffic::paths::{Meaning, Readings, Rule, Rules};

/// The window in which answers are counted.
const WINDOW: Duration = Duration::from_secs(10);

/// Keeps requests from upstreams that fail.
pub struct Breakers(PerVersion<Rules<Arc<Breaker>>>);

/// The breaker of one path.
struct Breaker {
    threshold: f64,
    samples: u64,
    pause: Duration,
    tries_first: bool,
    state: Mutex<State>,
}

enum State {
    /// Requests pass and are counted.
    Closed { since: Instant, good: u64, bad: u64 },
    /// None passes until then.
    Open { until: Instant },
    /// One passes, and what becomes of it decides.
    Trying,
}

/// What a change of a breaker is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Tripped,
    Reset,
}

/// A request that passed a breaker, which waits for its outcome.
pub struct Ticket {
    breaker: Arc<Breaker>,
    is_settled: bool,
}

impl Breakers {
    /// The step, if a version has breakers.
    pub fn new(api: &ApiDefinition, meaning: Meaning) -> Result<Option<Self>, String> {
        let made = PerVersion::make(api, |version| {
            let mut rules = Vec::new();
            let entries = version.extended().circuit_breakers.iter().enumerate();
            for (place, entry) in entries.filter(|(_, entry)| !entry.disabled) {
                let breaker = Breaker::new(entry)
                    .map_err(|wrong| format!("extended_paths.circuit_breakers[{place}].{wrong}"))?;
                rules.push(Rule {
                    path: &entry.path,
                    method: &entry.method,
                    ignore_case: false,
                    value: Arc::new(breaker),
                });
            }
            Rules::compile(rules, meaning)
                .map_err(|wrong| format!("extended_paths.circuit_breakers{wrong}"))
        });
        Ok(made?.map(Self))
    }
}

impl Middleware for Breakers {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let rules = self.0.of(exchange);
        let found = rules
            .and_then(|rules| rules.any(&Readings::below(exchange), &exchange.head.method))
            .cloned();
        if let Some(breaker) = found {
            let (ready, change) = breaker.ready(Instant::now());
            tell(change, exchange);
            if !ready {
                return Step::Done(Err(ProxyError::BreakerOpen));
            }
            exchange.notes().breaker = Some(Ticket {
                breaker,
                is_settled: false,
            });
        }
        Step::Done(Ok(Flow::Continue))
    }
}

fn tell(change: Option<Change>, exchange: &Exchange) {
    let (name, message, number) = match change {
        None => return,
        Some(Change::Tripped) => (names::BREAKER_TRIPPED, "Breaker Tripped", "0"),
        Some(Change::Reset) => (names::BREAKER_RESET, "Breaker Reset", "1"),
    };
    let meta = || {
        Meta::new(message)
            .with("Path", exchange.head.uri.path())
            .with("APIID", &exchange.api.id)
            .with("CircuitEvent", number)
    };
    exchange.api.events.fire(name, meta);
}

// === impl Ticket ===

impl Ticket {
    /// Notes how the upstream has answered.
    pub fn settle(mut self, is_good: bool, exchange: &Exchange) {
        self.is_settled = true;
        tell(self.breaker.note(is_good, Instant::now()), exchange);
    }
}

impl Drop for Ticket {
    /// The client has gone before the upstream answered: that says nothing of the upstream,
    /// and somebody else may try.
    fn drop(&mut self) {
        if !self.is_settled {
            self.breaker.release(Instant::now());
        }
    }
}

// === impl Breaker ===

impl Breaker {
    fn new(written: &CircuitBreaker) -> Result<Self, String> {
        let threshold = written.threshold_percent;
        if !(threshold > 0.0 && threshold <= 1.0) {
            return Err(format!(
                "threshold_percent: {threshold} is not above 0 and at most 1"
            ));
        }
        if written.samples == 0 {
            return Err("samples: 0 would trip it before the first answer".into());
        }
        Ok(Self {
            threshold,
            samples: written.samples,
            pause: Duration::from_secs(written.return_to_service_after),
            tries_first: !written.disable_half_open_state,
            state: Mutex::new(closed(Instant::now())),
        })
    }

    /// Whether a request may pass.
    fn ready(&self, now: Instant) -> (bool, Option<Change>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match *state {
            State::Closed { .. } => (true, None),
            State::Trying => (false, None),
            State::Open { until } if now < until => (false, None),
            State::Open { .. } if self.tries_first => {
                *state = State::Trying;
                (true, None)
            }
            State::Open { .. } => {
                *state = closed(now);
                (true, Some(Change::Reset))
            }
        }
    }

    fn note(&self, is_good: bool, now: Instant) -> Option<Change> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            State::Closed { since, good, bad } => {
                if now.duration_since(*since) > WINDOW {
                    (*since, *good, *bad) = (now, 0, 0);
                }
                *good += u64::from(is_good);
                *bad += u64::from(!is_good);
                let all = *good + *bad;
                #[allow(clippy::cast_precision_loss, reason = "counts of ten seconds")]
                let share = *bad as f64 / all as f64;
                if is_good || all < self.samples || share < self.threshold {
                    return None;
                }
            }
            State::Trying if is_good => {
                *state = closed(now);
                return Some(Change::Reset);
            }
            State::Trying => {}
            // Of a request that passed before it tripped.
            State::Open { .. } => return None,
        }
        *state = State::Open {
            until: now + self.pause,
        };
        Some(Change::Tripped)
    }

    fn release(&self, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Trying) {
            *state = State::Open { until: now };
        }
    }
}

fn closed(since: Instant) -> State {
    let (good, bad) = (0, 0);
    State::Closed { since, good, bad }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker(disable_half_open_state: bool) -> Breaker {
        Breaker::new(&CircuitBreaker {
            threshold_percent: 0.5,
            samples: 4,
            return_to_service_after: 60,
            disable_half_open_state,
            ..CircuitBreaker::default()
        })
        .unwrap()
    }

    fn trip(breaker: &Breaker, now: Instant) {
        for (is_good, expected) in [
            (true, None),
            (false, None),
            (true, None),
            (false, Some(Change::Tripped)),
        ] {
            assert_eq!(breaker.ready(now), (true, None));
            assert_eq!(breaker.note(is_good, now), expected);
        }
        assert_eq!(breaker.ready(now + Duration::from_secs(59)), (false, None));
    }

    #[test]
    fn one_request_tries_before_the_others_pass() {
        let (breaker, now) = (breaker(false), Instant::now());
        trip(&breaker, now);
        let later = now + Duration::from_secs(61);
        assert_eq!(breaker.ready(later), (true, None));
        assert_eq!(breaker.ready(later), (false, None));
        assert_eq!(breaker.note(false, later), Some(Change::Tripped));
        assert_eq!(breaker.ready(later), (false, None));
        let later = later + Duration::from_secs(61);
        assert_eq!(breaker.ready(later), (true, None));
        breaker.release(later);
        assert_eq!(breaker.ready(later), (true, None));
        assert_eq!(breaker.note(true, later), Some(Change::Reset));
        assert_eq!(breaker.ready(later), (true, None));
    }

    #[test]
    fn without_the_half_open_state_all_pass_again() {
        let (breaker, now) = (breaker(true), Instant::now());
        trip(&breaker, now);
        let later = now + Duration::from_secs(61);
        assert_eq!(breaker.ready(later), (true, Some(Change::Reset)));
        assert_eq!(breaker.ready(later), (true, None));
    }

    #[test]
    fn old_failures_are_forgotten() {
        let (breaker, now) = (breaker(false), Instant::now());
        for _ in 0..3 {
            assert_eq!(breaker.note(false, now), None);
        }
        assert_eq!(breaker.note(false, now + WINDOW * 2), None);
    }
}
