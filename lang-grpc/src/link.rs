//! One connection of one thread: made when it is needed, made again when it broke, and not
//! tried again at once when that failed.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::connect::{Address, Sender, connect};
use crate::server::Server;

/// How long calls fail without another try, after the first try that failed.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The same after many.
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// A connection, or the way to one.
pub(crate) struct Link {
    pub(crate) address: Address,
    state: RefCell<State>,
}

enum State {
    /// Nobody needed it, or it broke.
    Idle,
    /// On its way.
    Connecting { outcome: Pending, failures: u32 },
    /// There.
    Up(Sender),
    /// The last tries failed.
    Down {
        until: Instant,
        reason: Arc<str>,
        failures: u32,
    },
}

/// The outcome of an attempt and when it was there, once it is.
type Pending = watch::Receiver<Option<(Instant, Result<Sender, Arc<str>>)>>;

/// What a link has for a call.
pub(crate) enum Ready {
    /// A connection.
    Sender(Sender),
    /// One on its way.
    Wait(Pending),
    /// None, for a while.
    Down(Arc<str>),
}

impl Link {
    pub(crate) fn new(address: Address) -> Self {
        Self {
            address,
            state: RefCell::new(State::Idle),
        }
    }

    /// What there is now. A connection is begun where there is none.
    pub(crate) fn ready(&self, server: &Arc<Server>) -> Ready {
        let mut state = self.state.borrow_mut();
        state.settle();
        match &*state {
            State::Up(sender) => Ready::Sender(sender.clone()),
            State::Connecting { outcome, .. } => Ready::Wait(outcome.clone()),
            State::Down { until, reason, .. } if Instant::now() < *until => {
                Ready::Down(Arc::clone(reason))
            }
            State::Down { failures, .. } => {
                let failures = *failures;
                state.begin(server, self.address, failures)
            }
            State::Idle => state.begin(server, self.address, 0),
        }
    }
}

impl State {
    /// Takes note of what became of an attempt or a connection.
    fn settle(&mut self) {
        let next = match self {
            Self::Up(sender) if sender.is_closed() => Self::Idle,
            Self::Connecting { outcome, failures } => {
                let outcome = outcome.borrow();
                match &*outcome {
                    None => return,
                    Some((_, Ok(sender))) if sender.is_closed() => Self::Idle,
                    Some((_, Ok(sender))) => Self::Up(sender.clone()),
                    Some((when, Err(reason))) => Self::Down {
                        until: *when + pause(*failures),
                        reason: Arc::clone(reason),
                        failures: failures.saturating_add(1),
                    },
                }
            }
            _ => return,
        };
        *self = next;
    }

    /// Connects in a task of its own: who asked first may go away before it is done.
    fn begin(&mut self, server: &Arc<Server>, address: Address, failures: u32) -> Ready {
        let (done, outcome) = watch::channel(None);
        let server = Arc::clone(server);
        tokio::spawn(async move {
            let connected = connect(&server, address).await.map_err(Arc::from);
            // Nobody waits where the link is gone with its server.
            let _ = done.send(Some((Instant::now(), connected)));
        });
        *self = Self::Connecting {
            outcome: outcome.clone(),
            failures,
        };
        Ready::Wait(outcome)
    }
}

/// Waits for an attempt.
pub(crate) async fn outcome(mut pending: Pending) -> Result<Sender, Arc<str>> {
    let ended = pending.wait_for(Option::is_some).await;
    match ended.ok().as_deref() {
        Some(Some((_, outcome))) => outcome.clone(),
        _ => Err("the attempt to connect was given up".into()),
    }
}

/// The pause after a failure that followed this many others.
fn pause(failures: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures));
    doubled.min(LAST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit() {
        let pauses: Vec<_> = (0..8).map(|failures| pause(failures).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(pause(u32::MAX), LAST_PAUSE);
    }
}
