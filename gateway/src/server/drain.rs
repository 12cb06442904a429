//! Tells the connections of one thread that the gateway drains.
//!
//! A connection looks at this each time that it is polled, so a look costs no more than a
//! comparison while nothing happens.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::task::{Context, Waker};

use slab::Slab;

/// Whether a thread's connections are to end, and who waits to be told.
#[derive(Default)]
pub(super) struct Drain {
    has_begun: Cell<bool>,
    waiting: RefCell<Slab<Waker>>,
}

/// One connection's view of it.
pub(super) struct Notice<'a> {
    drain: &'a Drain,
    entry: Option<usize>,
    is_told: bool,
}

// === impl Drain ===

impl Drain {
    /// Tells all connections, and those that come later.
    pub(super) fn begin(&self) {
        self.has_begun.set(true);
        for (_, waker) in &*self.waiting.borrow() {
            waker.wake_by_ref();
        }
    }

    /// A view for a new connection.
    pub(super) fn notice(&self) -> Notice<'_> {
        Notice {
            drain: self,
            entry: None,
            is_told: false,
        }
    }
}

// === impl Notice ===

impl Notice<'_> {
    /// Serves `connection` until it ends; `shut_down` is called once when the gateway
    /// drains. A request that is there already is still served.
    pub(super) async fn serve<C: Future>(
        &mut self,
        mut connection: Pin<&mut C>,
        mut shut_down: impl FnMut(Pin<&mut C>),
    ) -> C::Output {
        std::future::poll_fn(|cx| {
            let mut outcome = connection.as_mut().poll(cx);
            if outcome.is_pending() && self.is_time(cx) {
                shut_down(connection.as_mut());
                outcome = connection.as_mut().poll(cx);
            }
            outcome
        })
        .await
    }

    /// Says once that the gateway drains; until then whoever polls is woken for it.
    fn is_time(&mut self, cx: &Context<'_>) -> bool {
        if self.is_told {
            return false;
        }
        if self.drain.has_begun.get() {
            self.is_told = true;
            return true;
        }
        let mut waiting = self.drain.waiting.borrow_mut();
        match self.entry {
            Some(entry) => waiting[entry].clone_from(cx.waker()),
            None => self.entry = Some(waiting.insert(cx.waker().clone())),
        }
        false
    }
}

impl Drop for Notice<'_> {
    fn drop(&mut self) {
        if let Some(entry) = self.entry {
            self.drain.waiting.borrow_mut().remove(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Poll;

    /// Ends when it was shut down.
    struct Endless(bool);

    impl Future for Endless {
        type Output = ();

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            if self.0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }
    }

    async fn serve(drain: &Drain) {
        let mut endless = Endless(false);
        let mut notice = drain.notice();
        let ended = notice.serve(Pin::new(&mut endless), |mut it| it.0 = true);
        ended.await;
    }

    #[test]
    fn connections_of_before_and_after_are_told() {
        let drain = Drain::default();
        let mut first = std::pin::pin!(serve(&drain));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut cx).is_pending());
        assert_eq!(drain.waiting.borrow().len(), 1);
        drain.begin();
        assert!(first.as_mut().poll(&mut cx).is_ready());
        assert!(std::pin::pin!(serve(&drain)).poll(&mut cx).is_ready());
        assert_eq!(drain.waiting.borrow().len(), 0);
    }
}
