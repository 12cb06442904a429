//! The object that the call of this thread is about.
//!
//! It stays where the dispatch has it, and is found by its address: a move of it costs more
//! than most of what hooks do to it.

use std::cell::Cell;
use std::ptr;

use coprocess_core::Object;

thread_local! {
    static CURRENT: Cell<*mut Object> = const { Cell::new(ptr::null_mut()) };
}

/// Makes an object that of the call while `work` goes on.
pub(crate) fn bind<T>(object: &mut Object, work: impl FnOnce() -> T) -> T {
    let _before = Exchanged::new(ptr::from_mut(object));
    work()
}

/// Hands the object to `work`; none outside of calls, and none from within `work`.
pub(crate) fn with<T>(work: impl FnOnce(&mut Object) -> T) -> Option<T> {
    let current = Exchanged::new(ptr::null_mut());
    // SAFETY: `bind` set the address of an object that is lent to it, and takes it away again
    // before that ends, in this thread. While the reference is in use the address is not
    // there to be found.
    unsafe { current.0.as_mut() }.map(work)
}

/// The object for a function that LuaJIT called, or null. While it is in use, no Lua code may
/// be called.
pub(super) fn get() -> *mut Object {
    CURRENT.get()
}

/// Puts back what was there before, also when there is a panic.
struct Exchanged(*mut Object);

impl Exchanged {
    fn new(object: *mut Object) -> Self {
        Self(CURRENT.replace(object))
    }
}

impl Drop for Exchanged {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}
