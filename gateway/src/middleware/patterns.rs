//! Patterns of paths that keys bring: compiled when they are first met, and remembered by
//! the thread.

use std::cell::RefCell;
use std::collections::HashMap;

use regex::{Regex, RegexBuilder};
use rustc_hash::FxBuildHasher;
use tracing::error;

/// Most bytes that a compiled pattern may take.
const MAX_COMPILED: usize = 1 << 20;

/// Most patterns that a thread remembers; then it begins anew.
const MAX_REMEMBERED: usize = 512;

type Patterns = HashMap<String, Option<Regex>, FxBuildHasher>;

thread_local! {
    /// Patterns that this thread has compiled; nothing where one is not a pattern.
    static PATTERNS: RefCell<Patterns> = RefCell::default();
}

/// Whether the pattern is found anywhere in a text. One that is no pattern matches nothing,
/// which the log says, with the key that it is from.
pub(super) fn matches(pattern: &str, text: &str, key: &str) -> bool {
    PATTERNS.with_borrow_mut(|patterns| {
        if let Some(known) = patterns.get(pattern) {
            return known.as_ref().is_some_and(|known| known.is_match(text));
        }
        let compiled = compile(pattern, key);
        let is_match = compiled.as_ref().is_some_and(|regex| regex.is_match(text));
        if patterns.len() >= MAX_REMEMBERED {
            patterns.clear();
        }
        patterns.insert(pattern.to_owned(), compiled);
        is_match
    })
}

fn compile(pattern: &str, key: &str) -> Option<Regex> {
    let compiled = RegexBuilder::new(pattern).size_limit(MAX_COMPILED).build();
    compiled
        .inspect_err(|reason| {
            error!(pattern, key, %reason, "An entry of a key is not a usable pattern, it matches nothing.");
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_not_remembered_for_ever() {
        for number in 0..2 * MAX_REMEMBERED {
            assert!(matches(
                &format!("^/{number}$"),
                &format!("/{number}"),
                "key"
            ));
        }
        let remembered = PATTERNS.with_borrow(HashMap::len);
        assert!(remembered <= MAX_REMEMBERED, "{remembered}");
    }
}
