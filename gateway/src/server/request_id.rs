//! Identities for requests.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use coprocess_core::RequestId;

thread_local! {
    /// The state of this thread's generator: a random start that no other thread or process
    /// has, and a count.
    static STATE: Cell<(u64, u64)> = {
        let random = RandomState::new();
        Cell::new((random.hash_one("request id"), random.hash_one("count")))
    };
}

/// An identity that no other request has. It is unique, not secret.
pub(super) fn next() -> RequestId {
    STATE.with(|state| {
        let (start, count) = state.get();
        state.set((start, count.wrapping_add(1)));
        RequestId(u128::from(start) << 64 | u128::from(mix(count)))
    })
}

/// Spreads neighbouring counts over all digits (the finaliser of `SplitMix64`, which is one
/// to one), so that ids sort and sample evenly.
fn mix(count: u64) -> u64 {
    let count = (count ^ (count >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let count = (count ^ (count >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    count ^ (count >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_of_all_threads_differ() {
        let some = || (0..1000).map(|_| next()).collect::<Vec<_>>();
        let mut all: HashSet<_> = some().into_iter().collect();
        let other = std::thread::spawn(some).join().expect("no panic");
        all.extend(other);
        assert_eq!(all.len(), 2000);
    }
}
