//! How much may wait: a number of events and of bytes, counted without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The limits of one queue, and what it holds.
#[derive(Debug)]
pub(super) struct Bounds {
    events: usize,
    bytes: usize,
    held: Arc<Held>,
    under_way: UnderWay,
}

#[derive(Debug, Default)]
struct Held {
    events: AtomicUsize,
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

/// A place in a queue; free again when this is dropped.
#[derive(Debug)]
pub(super) struct Reserved {
    held: Arc<Held>,
    bytes: usize,
    _under_way: Counted,
}

/// How many places are taken in all queues together.
#[derive(Debug, Clone, Default)]
pub(super) struct UnderWay(Arc<AtomicUsize>);

#[derive(Debug)]
struct Counted(UnderWay);

impl Bounds {
    pub(super) fn new((events, bytes): (usize, usize), under_way: &UnderWay) -> Self {
        Self {
            events,
            bytes,
            held: Arc::default(),
            under_way: under_way.clone(),
        }
    }

    /// A place for an event of this size, if there is one. When there is none, `say` is
    /// called with the number of events dropped so far, once per power of two: a flood of
    /// events must not become a flood of lines.
    pub(super) fn reserve(&self, bytes: usize, say: impl FnOnce(u64)) -> Option<Reserved> {
        let held = &self.held;
        let events = held.events.fetch_add(1, Ordering::Relaxed);
        let in_use = held.bytes.fetch_add(bytes, Ordering::Relaxed);
        let place = Reserved {
            held: Arc::clone(held),
            bytes,
            _under_way: self.under_way.one_more(),
        };
        if events < self.events && in_use.saturating_add(bytes) <= self.bytes {
            return Some(place);
        }
        let dropped = held.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        if dropped.is_power_of_two() {
            say(dropped);
        }
        None
    }
}

impl UnderWay {
    /// How many there are now.
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    fn one_more(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Release);
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.held.events.fetch_sub(1, Ordering::Relaxed);
        self.held.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_until_a_place_is_free() {
        let bounds = Bounds::new((2, 100), &UnderWay::default());
        let first = bounds.reserve(60, |_| panic!("it fits"));
        assert!(first.is_some());
        assert!(bounds.reserve(41, |_| {}).is_none(), "too many bytes");
        let second = bounds.reserve(40, |_| panic!("it fits"));
        assert!(bounds.reserve(0, |_| {}).is_none(), "too many events");
        drop(first);
        assert!(bounds.reserve(60, |_| panic!("it fits")).is_some());
        drop(second);
        assert_eq!(bounds.under_way.count(), 0);
    }

    #[test]
    fn drops_are_said_once_per_power_of_two() {
        let bounds = Bounds::new((0, 100), &UnderWay::default());
        let mut said = Vec::new();
        for _ in 0..10 {
            assert!(bounds.reserve(1, |dropped| said.push(dropped)).is_none());
        }
        assert_eq!(said, [1, 2, 4, 8]);
    }
}
