//! A binary without `python`: APIs that ask for it are refused, with the build that would help.

use crate::languages;

#[test]
fn the_language_is_not_listed() {
    assert!(!languages::linked().iter().any(|name| name == "python"));
}

#[test]
fn its_hooks_are_refused_and_the_log_tells_the_build() {
    languages::refuses("python", "--features coprocess,python");
}
