//! What every exported function does before and after its own work.

use std::borrow::Cow;
use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `body`; a panic ends here and the caller gets `default`. Unwinding into C would
/// end the process.
pub(super) fn guarded<T>(default: T, body: impl FnOnce() -> T) -> T {
    // The closures only read their arguments and call the host, whose own state is behind
    // locks that recover from poisoning.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(default)
}

/// The string behind `pointer`, or `None` for NULL.
///
/// # Safety
/// `pointer` must be NULL or point to a NUL-terminated string that stays unchanged for `'a`.
pub(super) unsafe fn text<'a>(pointer: *const c_char) -> Option<Cow<'a, str>> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: not NULL, and NUL-terminated by this function's contract.
    Some(unsafe { CStr::from_ptr(pointer) }.to_string_lossy())
}

/// The string behind `pointer`, empty for NULL.
///
/// # Safety
/// As for [`text`].
pub(super) unsafe fn text_or_empty<'a>(pointer: *const c_char) -> Cow<'a, str> {
    // SAFETY: the same contract.
    unsafe { text(pointer) }.unwrap_or_default()
}

/// Copies `value` up to its first NUL byte into a block from `malloc`. NULL when memory is
/// out.
pub(super) fn malloc_string(value: &[u8]) -> *mut c_char {
    let length = value
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(value.len());
    // SAFETY: `malloc` may be called with any size; the result is checked before use.
    let block = unsafe { libc::malloc(length + 1) }.cast::<u8>();
    if !block.is_null() {
        // SAFETY: the block holds `length + 1` bytes and cannot overlap a Rust slice.
        unsafe {
            std::ptr::copy_nonoverlapping(value.as_ptr(), block, length);
            block.add(length).write(0);
        }
    }
    block.cast()
}
