//! The answer to a dispatch: there already, or on its way.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::{DispatchError, Object};

type DispatchResult = Result<Object, DispatchError>;

/// A dispatch in progress.
///
/// It is a type of its own, not a boxed future, so that a hook which ran in place costs no
/// allocation. The first poll of such a dispatch is its last, so a caller that polls once
/// before it arms a timer pays for timers only where something is waited for.
#[must_use = "a dispatch does nothing for the request until it is awaited"]
pub struct DispatchFuture<'a>(State<'a>);

enum State<'a> {
    Ready(Option<DispatchResult>),
    Pending(Pin<Box<dyn Future<Output = DispatchResult> + 'a>>),
}

impl<'a> DispatchFuture<'a> {
    /// The hook ran in place; this is its outcome.
    #[inline]
    pub fn ready(result: DispatchResult) -> Self {
        Self(State::Ready(Some(result)))
    }

    /// The hook runs elsewhere; `future` completes with its outcome.
    pub fn pending(future: impl Future<Output = DispatchResult> + 'a) -> Self {
        Self(State::Pending(Box::pin(future)))
    }
}

impl Future for DispatchFuture<'_> {
    type Output = DispatchResult;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Ready(result) => Poll::Ready(result.take().expect("polled after completion")),
            State::Pending(future) => future.as_mut().poll(cx),
        }
    }
}
