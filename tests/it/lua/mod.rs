//! Lua: every common scenario, and what only Lua can do.

scenarios!("lua");

mod c_abi;
mod faults;
mod sandbox;

#[test]
fn the_language_is_listed() {
    let linked = crate::gateway().linked_languages();
    assert!(linked.iter().any(|name| name == "lua"), "{linked:?}");
}
