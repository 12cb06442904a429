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
    assert!(
        crate::languages::linked()
            .iter()
            .any(|name| name == "python")
    );
}
