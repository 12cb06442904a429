//! A binary without `lua`: APIs that ask for it are refused, with the build that would help.

use crate::{gateway, refusal};

#[test]
fn the_language_is_not_listed() {
    let linked = gateway().linked_languages();
    assert!(!linked.iter().any(|name| name == "lua"), "{linked:?}");
}

#[test]
fn its_hooks_are_refused_and_the_log_tells_the_build() {
    refusal::refuses("lua", "--features coprocess,lua");
}
