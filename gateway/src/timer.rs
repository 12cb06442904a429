//! Time limits that cost next to nothing while they hold.
//!
//! The limits of a connection's head and of an upstream's answer are armed and disarmed for
//! every request and nearly never pass. Here, arming is an entry in a table of the thread,
//! without a look at the clock; a tick looks through the table a few times a second. A limit
//! may pass one tick early or late, which limits of seconds can bear.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use slab::Slab;

/// How often limits are looked at.
const TICK: Duration = Duration::from_millis(100);

thread_local! {
    static WAITING: RefCell<Slab<Entry>> = const { RefCell::new(Slab::new()) };
    static NOW: Cell<Option<Instant>> = const { Cell::new(None) };
}

struct Entry {
    deadline: Instant,
    waker: Waker,
}

/// The time as of the last tick.
fn now() -> Instant {
    NOW.get().unwrap_or_else(Instant::now)
}

/// Wakes what has waited long enough. Runs on every thread that uses these limits, for as
/// long as the thread serves.
pub async fn tick() {
    let mut interval = tokio::time::interval(TICK);
    loop {
        interval.tick().await;
        let now = Instant::now();
        NOW.set(Some(now));
        WAITING.with_borrow(|waiting| {
            for (_, entry) in waiting.iter().filter(|(_, entry)| entry.deadline <= now) {
                entry.waker.wake_by_ref();
            }
        });
    }
}

/// Completes at a deadline, give or take a tick. Belongs to the thread that polls it.
#[derive(Debug)]
pub struct CoarseSleep {
    deadline: Instant,
    entry: Option<usize>,
}

impl CoarseSleep {
    /// Completes when `limit` has passed from now on.
    pub fn after(limit: Duration) -> Self {
        Self::until(now() + limit)
    }

    fn until(deadline: Instant) -> Self {
        Self {
            deadline,
            entry: None,
        }
    }
}

impl Future for CoarseSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if now() >= self.deadline {
            return Poll::Ready(());
        }
        let deadline = self.deadline;
        WAITING.with_borrow_mut(|waiting| match self.entry {
            Some(entry) => waiting[entry].waker.clone_from(cx.waker()),
            None => {
                self.entry = Some(waiting.insert(Entry {
                    deadline,
                    waker: cx.waker().clone(),
                }));
            }
        });
        Poll::Pending
    }
}

impl Drop for CoarseSleep {
    fn drop(&mut self) {
        if let Some(entry) = self.entry {
            // The table is gone when the thread is ending.
            let removed = WAITING.try_with(|waiting| waiting.borrow_mut().try_remove(entry));
            drop(removed);
        }
    }
}

/// hyper's view of these limits.
#[derive(Debug, Clone, Copy)]
pub struct CoarseTimer;

impl hyper::rt::Sleep for CoarseSleep {}

impl hyper::rt::Timer for CoarseTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(CoarseSleep::after(duration))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(CoarseSleep::until(deadline))
    }

    fn now(&self) -> Instant {
        now()
    }
}

/// The limit passed before the future completed.
#[derive(Debug, PartialEq, Eq)]
pub struct Elapsed;

/// Waits for `future`, but no longer than `limit`, give or take a tick.
pub async fn within<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = std::pin::pin!(future);
    let mut sleep = std::pin::pin!(CoarseSleep::after(limit));
    std::future::poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        sleep.as_mut().poll(cx).map(|()| Err(Elapsed))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(test: impl Future<Output = ()> + 'static) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async move {
            tokio::task::spawn_local(tick());
            test.await;
        });
    }

    #[test]
    fn a_limit_that_passes_is_told() {
        run(async {
            let began = Instant::now();
            let outcome = within(TICK * 3, std::future::pending::<()>()).await;
            assert_eq!(outcome, Err(Elapsed));
            assert!(began.elapsed() >= TICK * 2, "{:?}", began.elapsed());
            assert_eq!(WAITING.with_borrow(Slab::len), 0);
        });
    }

    #[test]
    fn a_limit_that_holds_leaves_nothing_behind() {
        run(async {
            for _ in 0..100 {
                let outcome = within(Duration::from_secs(60), tokio::task::yield_now()).await;
                assert_eq!(outcome, Ok(()));
            }
            assert_eq!(WAITING.with_borrow(Slab::len), 0);
        });
    }
}
