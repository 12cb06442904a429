//! Lua: every common scenario, and what only Lua can do.

scenarios!("lua");

mod c_abi;
mod faults;
mod sandbox;

#[test]
fn the_language_is_listed() {
    assert!(crate::languages::linked().iter().any(|name| name == "lua"));
}
