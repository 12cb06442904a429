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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use coprocess_core::{Hook, HookType, Request, StringMap};
    use http::{HeaderMap, Method, Uri};

    use super::*;

    #[test]
    fn an_object_is_there_during_its_call_and_once_at_a_time() {
        let mut object = Object {
            hook_type: HookType::Pre,
            hook_name: "hook".into(),
            hook: Hook::by_name(),
            request: Box::new(Request::new(
                Method::GET,
                Uri::from_static("/"),
                HeaderMap::new(),
            )),
            session: None,
            metadata: StringMap::new(),
            spec: Arc::default(),
            response: None,
            time_limit: Duration::ZERO,
        };
        assert!(with(|_| ()).is_none());
        let nested = bind(&mut object, || {
            assert!(std::panic::catch_unwind(|| with(|_| panic!("a bug"))).is_err());
            with(|object| {
                object.request.delete_headers.push("X-A".to_owned());
                with(|_| ()).is_some()
            })
        });
        assert_eq!(nested, Some(false));
        assert!(with(|_| ()).is_none());
        assert_eq!(object.request.delete_headers, ["X-A"]);
    }
}
