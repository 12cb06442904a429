//! Waits for the store from code that cannot be asynchronous: a plugin's call.

use std::sync::Arc;
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
    // Most calls are answered at once and need no waker.
    if let Poll::Ready(outcome) = call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
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
}
