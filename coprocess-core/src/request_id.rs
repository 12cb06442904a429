//! What tells one request from all others.

use std::fmt;

/// The identity of a request: the same in every hook that sees it and in the log.
///
/// Kept as a number, because most plugins never look at it; its text is 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct RequestId(pub u128);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_all_its_digits() {
        assert_eq!(RequestId(0xab).to_string(), format!("{}ab", "0".repeat(30)));
    }
}
