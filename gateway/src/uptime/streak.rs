//! When failures in a row take a host down, and successes bring it back.

/// The outcomes of one test so far.
#[derive(Debug)]
pub(super) struct Streak {
    /// How many in a row it takes.
    needed: u32,
    is_down: bool,
    /// How many in a row say the opposite of what is held to be so.
    against: u32,
}

impl Streak {
    /// A host that is held to be up.
    pub(super) fn new(needed: u32) -> Self {
        Self {
            needed: needed.max(1),
            is_down: false,
            against: 0,
        }
    }

    /// Notes an outcome; tells whether the host has come up (`true`) or gone down (`false`)
    /// with it.
    pub(super) fn note(&mut self, is_good: bool) -> Option<bool> {
        if is_good != self.is_down {
            self.against = 0;
            return None;
        }
        self.against += 1;
        if self.against < self.needed {
            return None;
        }
        self.against = 0;
        self.is_down = !is_good;
        Some(is_good)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(needed: u32, outcomes: &str, expected: &str) {
        let mut streak = Streak::new(needed);
        let told: String = outcomes
            .chars()
            .map(|outcome| match streak.note(outcome == '+') {
                None => '.',
                Some(true) => '^',
                Some(false) => 'v',
            })
            .collect();
        assert_eq!(told, expected, "{needed} {outcomes}");
    }

    #[test]
    fn only_so_many_in_a_row_change_something() {
        check(3, "++--+--+---", "..........v");
        check(3, "------", "..v...");
        check(3, "---++-+++", "..v.....^");
        check(2, "--++--", ".v.^.v");
        check(1, "-+-", "v^v");
        check(0, "-+-", "v^v");
    }
}
