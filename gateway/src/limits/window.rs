//! A sliding window: so many requests in any stretch of so much time.
//!
//! Admitted requests are noted with their time, and a request is admitted when fewer than
//! the limit were in the window that ends now. Requests that are refused leave no trace, so
//! a client that keeps knocking gets in as soon as the window allows. Requests close to each
//! other share a note, which bounds the memory; it counts as its last one, so that no window
//! ever has more than the limit.

use std::collections::VecDeque;

/// Most notes of one window. Beyond this many requests per window, one that follows another
/// within 1/256 of the window shares its note, and is forgotten later by at most that much.
pub const NOTES: u32 = 256;

/// A limit: so many requests in any stretch of so many microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many requests.
    pub count: u32,
    /// How many microseconds.
    pub window: u64,
}

/// What a window tells about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateState {
    /// How many requests it admits.
    pub limit: u32,
    /// How many more of them now.
    pub remaining: u32,
    /// Microseconds until the oldest of those that it counts is forgotten.
    pub reset: u64,
}

/// The requests that were admitted.
#[derive(Debug, Default)]
pub struct Window {
    notes: VecDeque<Note>,
    sum: u32,
    /// When the newest note was begun.
    begun: u64,
}

#[derive(Debug, Clone, Copy)]
struct Note {
    /// When the last of them came.
    last: u64,
    count: u32,
}

// === impl Rate ===

impl Rate {
    /// The limit of a session or a definition, where that is one: `rate` requests per `per`
    /// seconds.
    ///
    /// Less than one request per `per` is one in a longer stretch, and 2.5 in a second are
    /// 2 in 0.8 seconds.
    pub fn new(rate: f64, per: f64) -> Option<Self> {
        if rate.is_nan() || per.is_nan() {
            // Nobody writes this on purpose, and nobody means "no limit" by it.
            return Some(Self {
                count: 0,
                window: u64::MAX,
            });
        }
        if rate <= 0.0 || per <= 0.0 {
            return None;
        }
        let count = rate.floor().clamp(1.0, f64::from(u32::MAX));
        let window = (per * 1e6 * (count / rate)).max(1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "both are positive, and what is too large becomes the largest"
        )]
        Some(Self {
            count: count as u32,
            window: window as u64,
        })
    }

    /// How far apart requests have notes of their own.
    pub fn width(self) -> u64 {
        if self.count > NOTES {
            self.window / u64::from(NOTES)
        } else {
            0
        }
    }
}

// === impl Window ===

impl Window {
    /// Whether one more is admitted at `now`; it is noted by [`note`](Self::note).
    pub fn admits(&mut self, rate: Rate, now: u64) -> bool {
        while let Some(oldest) = self.notes.front()
            && oldest.last.saturating_add(rate.window) <= now
        {
            self.sum -= oldest.count;
            self.notes.pop_front();
        }
        self.sum < rate.count
    }

    /// Notes one that was admitted.
    pub fn note(&mut self, rate: Rate, now: u64) {
        self.sum += 1;
        let shares = now.saturating_sub(self.begun) < rate.width();
        match self.notes.back_mut() {
            Some(newest) if shares => {
                newest.last = now;
                newest.count += 1;
            }
            _ => {
                self.begun = now;
                self.notes.push_back(Note {
                    last: now,
                    count: 1,
                });
            }
        }
    }

    /// Takes the newest one back, because something else has refused it.
    pub fn take_back(&mut self) {
        let Some(newest) = self.notes.back_mut() else {
            return;
        };
        self.sum -= 1;
        newest.count -= 1;
        if newest.count == 0 {
            self.notes.pop_back();
            // What comes next gets a note of its own.
            self.begun = 0;
        }
    }

    /// What it tells at `now`.
    pub fn state(&self, rate: Rate, now: u64) -> RateState {
        let oldest = self.notes.front();
        RateState {
            limit: rate.count,
            remaining: rate.count.saturating_sub(self.sum),
            reset: oldest.map_or(0, |note| {
                note.last.saturating_add(rate.window).saturating_sub(now)
            }),
        }
    }

    /// When the newest of them came; nothing where there is none.
    pub fn newest(&self) -> Option<u64> {
        self.notes.back().map(|note| note.last)
    }

    /// How many bytes it holds on to.
    pub fn bytes(&self) -> usize {
        self.notes.capacity() * size_of::<Note>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn rate(rate: f64, per: f64) -> Rate {
        Rate::new(rate, per).unwrap()
    }

    /// How many of `times` are admitted.
    fn admitted(rate: Rate, times: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut window = Window::default();
        let admits = |now: &u64| {
            let admits = window.admits(rate, *now);
            if admits {
                window.note(rate, *now);
            }
            admits
        };
        times.into_iter().filter(admits).collect()
    }

    #[test]
    fn rates_are_read_from_what_sessions_say() {
        for (requests, per, expected) in [
            (5.0, 1.0, Some((5, SECOND))),
            (1.0, 60.0, Some((1, 60 * SECOND))),
            (0.5, 1.0, Some((1, 2 * SECOND))),
            (2.5, 1.0, Some((2, 800_000))),
            (3.0, 0.5, Some((3, 500_000))),
            (0.0, 1.0, None),
            (-1.0, 1.0, None),
            (5.0, 0.0, None),
            (5.0, -1.0, None),
            (1e300, 1.0, Some((u32::MAX, 1))),
            (5.0, 1e300, Some((5, u64::MAX))),
            (f64::INFINITY, 1.0, Some((u32::MAX, 1))),
            (f64::NAN, 1.0, Some((0, u64::MAX))),
            (1.0, f64::NAN, Some((0, u64::MAX))),
        ] {
            let read = Rate::new(requests, per).map(|rate| (rate.count, rate.window));
            assert_eq!(read, expected, "{requests} per {per}");
        }
    }

    #[test]
    fn a_client_that_keeps_knocking_gets_in_when_the_window_allows() {
        let knocks = (0..4000).map(|tick| tick * 1000);
        let times = admitted(rate(2.0, 1.0), knocks);
        assert_eq!(
            times,
            [0, 1, 1000, 1001, 2000, 2001, 3000, 3001].map(|tick| tick * 1000)
        );
    }

    /// No window of the length has more than the limit, and a steady client gets nearly all
    /// of it, with few and with many requests per window.
    #[test]
    fn no_stretch_has_more_than_the_limit() {
        for count in [1_u32, 3, 256, 257, 1000, 20_000] {
            let limit = rate(count.into(), 1.0);
            let step = u64::from((SECOND as u32 / count / 3).clamp(1, 1000));
            let times = admitted(limit, (0..5 * SECOND).step_by(step as usize));
            for (place, first) in times.iter().enumerate() {
                let after = times.get(place + count as usize);
                assert!(
                    after.is_none_or(|after| after - first >= SECOND),
                    "{count}: {first} and {after:?}"
                );
            }
            let least = f64::from(count) * 4.9;
            assert!(times.len() as f64 >= least, "{count}: {}", times.len());
        }
    }

    #[test]
    fn memory_is_bounded_however_large_the_limit_is() {
        let limit = rate(1e9, 1.0);
        let mut window = Window::default();
        for now in (0..20 * SECOND).step_by(7) {
            assert!(window.admits(limit, now));
            window.note(limit, now);
        }
        assert!(window.bytes() <= 16 * 1024, "{}", window.bytes());
    }

    #[test]
    fn one_that_is_taken_back_does_not_count() {
        for count in [2.0, 1000.0] {
            let limit = rate(count, 1.0);
            let mut window = Window::default();
            for now in 0..10_000 {
                assert!(window.admits(limit, now), "{count} at {now}");
                window.note(limit, now);
                window.take_back();
            }
            assert_eq!(window.state(limit, 0).remaining, limit.count);
            window.take_back();
        }
    }

    #[test]
    fn a_limit_that_shrinks_holds_at_once_and_one_that_grows_too() {
        let (small, large) = (rate(2.0, 1.0), rate(5.0, 1.0));
        let mut window = Window::default();
        for now in 0..5 {
            assert!(window.admits(large, now));
            window.note(large, now);
        }
        assert!(!window.admits(large, 5));
        assert!(!window.admits(small, SECOND + 2));
        assert_eq!(window.state(small, SECOND + 2).remaining, 0);
        assert!(window.admits(small, SECOND + 3));
    }

    #[test]
    fn a_window_tells_what_is_left_and_when_the_oldest_goes() {
        let limit = rate(2.0, 1.0);
        let mut window = Window::default();
        assert_eq!(
            window.state(limit, 7),
            RateState {
                limit: 2,
                remaining: 2,
                reset: 0
            }
        );
        assert!(window.admits(limit, 7));
        window.note(limit, 7);
        assert_eq!(
            window.state(limit, 100_007),
            RateState {
                limit: 2,
                remaining: 1,
                reset: 900_000
            }
        );
    }
}
