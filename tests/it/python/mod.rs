//! Python: every common scenario, and what only Python can do.

scenarios!("python");

mod blocking;
mod c_abi;
mod disabled;
mod dispatch;
mod faults;
mod handlers;
mod interpreter;
mod kit;

#[test]
fn the_language_is_listed() {
    let linked = crate::gateway().linked_languages();
    assert!(linked.iter().any(|name| name == "python"), "{linked:?}");
}
