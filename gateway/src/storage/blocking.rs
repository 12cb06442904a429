//! Waits for the store from code that cannot be asynchronous: a plugin's call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use super::{StoreError, StoreFuture};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The outcome of a call, or an error once `limit` has passed. The thread waits, so the
/// store must make progress on other threads.
pub fn wait<T>(mut call: StoreFuture<'_, T>, limit: Duration) -> Result<T, StoreError> {
    if let Some(outcome) = now(&mut call) {
        return outcome;
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let until = Instant::now() + limit;
    loop {
        if let Poll::Ready(outcome) = call.as_mut().poll(&mut Context::from_waker(&waker)) {
            return outcome;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(StoreError::Unavailable(format!("no answer in {limit:?}")));
        }
        thread::park_timeout(left);
    }
}

/// How many calls in a row have to be late before the store is in doubt. One alone may have
/// been slow by itself, with a large value for instance, and must not fail those of others.
const LATE: u32 = 3;

/// Waits for calls on threads that have more to do than this. When several in a row were
/// given up, the next ones are not waited for at once, or a store that hangs would hold up
/// a thread for each of them.
pub struct Impatient {
    limit: Duration,
    pause: Duration,
    start: Instant,
    /// Microseconds after `start` until which calls fail; 0 while all is well.
    paused_until: AtomicU64,
    /// How many calls were late since the last one that was in time.
    late: AtomicU32,
}

// === impl Impatient ===

impl Impatient {
    /// Waits for `limit` at most, and not at all for `pause` after that has passed
    /// in vain several times in a row.
    pub fn new(limit: Duration, pause: Duration) -> Self {
        Self {
            limit,
            pause,
            start: Instant::now(),
            paused_until: AtomicU64::new(0),
            late: AtomicU32::new(0),
        }
    }

    /// The outcome of the call that `make` begins.
    pub fn wait<'a, T>(&self, make: impl FnOnce() -> StoreFuture<'a, T>) -> Result<T, StoreError> {
        let paused_until = self.paused_until.load(Ordering::Relaxed);
        if paused_until != 0 {
            if self.micros() < paused_until {
                let reason = "it did not answer a moment ago";
                return Err(StoreError::Unavailable(reason.into()));
            }
            self.paused_until.store(0, Ordering::Relaxed);
        }
        let mut call = make();
        if let Some(outcome) = now(&mut call) {
            return outcome;
        }
        let began = Instant::now();
        let outcome = wait(call, self.limit);
        if outcome.is_ok() || began.elapsed() < self.limit {
            self.late.store(0, Ordering::Relaxed);
        } else if self.late.fetch_add(1, Ordering::Relaxed) + 1 >= LATE {
            let until = self.micros() + u64::try_from(self.pause.as_micros()).unwrap_or(0);
            self.paused_until.store(until, Ordering::Relaxed);
        }
        outcome
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// The outcome of a call that has it already, as most have; that needs no waker.
fn now<T>(call: &mut StoreFuture<'_, T>) -> Option<Result<T, StoreError>> {
    match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_from_another_thread_is_waited_for() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let answer = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            sender.send(7)
        });
        let call = Box::pin(async { Ok(receiver.await.expect("it is sent")) });
        assert_eq!(wait(call, Duration::from_secs(10)).expect("in time"), 7);
        answer.join().expect("no panic").expect("somebody waits");
    }

    #[test]
    fn a_store_that_does_not_answer_is_given_up() {
        let call: StoreFuture<'_, ()> = Box::pin(std::future::pending());
        assert!(wait(call, Duration::from_millis(10)).is_err());
    }

    #[test]
    fn who_waited_in_vain_several_times_does_not_wait_at_once_again() {
        let pause = Duration::from_secs(3600);
        let impatient = Impatient::new(Duration::from_millis(10), pause);
        let answered = || -> StoreFuture<'_, u8> { soon(7) };
        let pending = || -> StoreFuture<'_, u8> { Box::pin(std::future::pending()) };
        for _ in 0..2 {
            for _ in 1..LATE {
                assert!(impatient.wait(pending).is_err());
            }
            assert_eq!(impatient.wait(answered), Ok(7), "one slow call is no doubt");
        }
        for _ in 0..LATE {
            assert!(impatient.wait(pending).is_err());
        }
        let refused = impatient.wait(|| -> StoreFuture<'_, u8> { panic!("nobody is asked") });
        assert!(refused.is_err());
        let impatient = Impatient::new(Duration::from_millis(10), Duration::ZERO);
        for _ in 0..LATE {
            assert!(impatient.wait(pending).is_err());
        }
        assert_eq!(impatient.wait(answered), Ok(7), "the pause is over");
    }

    /// An answer that is there when it is asked for a second time.
    fn soon(answer: u8) -> StoreFuture<'static, u8> {
        let mut asked = false;
        Box::pin(std::future::poll_fn(move |context| {
            if std::mem::replace(&mut asked, true) {
                return Poll::Ready(Ok(answer));
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }))
    }
}
