//! What the requests of benchmarks have, the same in all of them.

use std::fmt;

/// What a request has.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) headers: usize,
    pub(crate) body: usize,
}

pub(crate) const CASES: [Case; 5] = [
    Case::new(0, 0),
    Case::new(8, 0),
    Case::new(30, 0),
    Case::new(8, 4 << 10),
    Case::new(8, 1 << 20),
];

impl Case {
    const fn new(headers: usize, body: usize) -> Self {
        Self { headers, body }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:2} headers, body of {:7}", self.headers, self.body)
    }
}
