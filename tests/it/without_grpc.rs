//! A binary without `grpc`: APIs that ask for it are refused, with the build that would help.

use crate::languages;

#[test]
fn the_language_is_not_listed() {
    assert!(!languages::linked().iter().any(|name| name == "grpc"));
}

#[test]
fn its_hooks_are_refused_and_the_log_tells_the_build() {
    languages::refuses("grpc", "--features coprocess,grpc");
}
