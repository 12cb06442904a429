//! The answer to a dispatch: there already, or on its way.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::{DispatchError, Object};

type DispatchResult = Result<Object, DispatchError>;

/// A dispatch in progress.
///
/// It is a type of its own, not a boxed future, so that a hook which ran in place costs no
/// allocation and its caller can take the answer without arming a timer.
#[must_use = "a dispatch does nothing for the request until it is awaited"]
pub struct DispatchFuture<'a>(State<'a>);

enum State<'a> {
    // Boxing the object would cost the in-place path the allocation that this type avoids.
    #[expect(
        clippy::large_enum_variant,
        reason = "the large variant is the hot one"
    )]
    Ready(Option<DispatchResult>),
    Pending(Pin<Box<dyn Future<Output = DispatchResult> + 'a>>),
}

impl<'a> DispatchFuture<'a> {
    /// The hook ran in place; this is its outcome.
    pub fn ready(result: DispatchResult) -> Self {
        Self(State::Ready(Some(result)))
    }

    /// The hook runs elsewhere; `future` completes with its outcome.
    pub fn pending(future: impl Future<Output = DispatchResult> + 'a) -> Self {
        Self(State::Pending(Box::pin(future)))
    }

    /// Takes the outcome of a hook that ran in place, or gives the future back.
    pub fn try_into_ready(self) -> Result<DispatchResult, Self> {
        match self.0 {
            State::Ready(Some(result)) => Ok(result),
            state => Err(Self(state)),
        }
    }
}

impl Future for DispatchFuture<'_> {
    type Output = DispatchResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(result) => Poll::Ready(result.take().expect("polled after completion")),
            State::Pending(future) => future.as_mut().poll(cx),
        }
    }
}
