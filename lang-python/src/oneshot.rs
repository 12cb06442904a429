//! One answer from a Python thread to a waiting future, without an async runtime.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use coprocess_core::{DispatchError, Object};

/// What a call came to. The object stays where it is on its way between threads.
pub(crate) type Outcome = Result<Box<Object>, DispatchError>;

/// Makes the two ends.
pub(crate) fn oneshot() -> (Reply, Answer) {
    let shared = Arc::new(Mutex::new(State::Waiting(None)));
    (Reply(Arc::clone(&shared)), Answer(shared))
}

enum State {
    Waiting(Option<Waker>),
    Answered(Outcome),
    /// The answer was taken, or nobody waits for it any more.
    Closed,
}

/// The end that answers. It may be cloned: the first answer counts.
#[derive(Clone)]
pub(crate) struct Reply(Arc<Mutex<State>>);

/// The end that waits. Dropping it abandons the call.
pub(crate) struct Answer(Arc<Mutex<State>>);

impl Reply {
    /// Answers, unless that was done already or nobody waits.
    pub(crate) fn send(&self, outcome: Outcome) {
        let mut state = lock(&self.0);
        if !matches!(*state, State::Waiting(_)) {
            return;
        }
        let before = mem::replace(&mut *state, State::Answered(outcome));
        drop(state);
        if let State::Waiting(Some(waker)) = before {
            waker.wake();
        }
    }

    /// Whether an answer is still of use.
    pub(crate) fn is_awaited(&self) -> bool {
        matches!(*lock(&self.0), State::Waiting(_))
    }
}

impl Future for Answer {
    type Output = Result<Object, DispatchError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = lock(&self.0);
        match &mut *state {
            State::Waiting(waker) => {
                match waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    None => *waker = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
            State::Answered(_) => match mem::replace(&mut *state, State::Closed) {
                State::Answered(outcome) => Poll::Ready(outcome.map(|object| *object)),
                _ => unreachable!("matched above"),
            },
            State::Closed => Poll::Ready(Err(DispatchError::Unavailable(
                "the answer was taken already".to_owned(),
            ))),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        *lock(&self.0) = State::Closed;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> Outcome {
        Err(DispatchError::Unavailable(text.to_owned()))
    }

    fn poll(answer: &mut Answer) -> Poll<Result<Object, DispatchError>> {
        Pin::new(answer).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn the_first_answer_counts() {
        let (reply, mut answer) = oneshot();
        assert!(poll(&mut answer).is_pending());
        reply.send(error("first"));
        reply.send(error("second"));
        match poll(&mut answer) {
            Poll::Ready(Err(DispatchError::Unavailable(text))) => assert_eq!(text, "first"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_abandoned_call_is_seen() {
        let (reply, answer) = oneshot();
        assert!(reply.is_awaited());
        drop(answer);
        assert!(!reply.is_awaited());
        reply.send(error("to nobody"));
    }
}
