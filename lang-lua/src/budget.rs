//! What one call may copy out of its VM.
//!
//! The VM's memory limit does not see what Rust keeps, and one string can be in a table a
//! million times over. No hook runs in Rust either, so each copy also looks at the time.

use std::cell::Cell;

use mlua::Error;

use crate::raw::interrupt;

/// What a value costs beyond its bytes: its place in a list or a map.
const PLACE: usize = 48;

const TIME: &str = "time limit";
const MEMORY: &str = "more memory than lua_memory_limit_mb lets one call copy";

thread_local! {
    /// A thread runs one call at a time. Outside of calls there is no limit.
    static LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Begins a call that may copy this many bytes.
pub(crate) fn start(bytes: usize) {
    LEFT.set(bytes);
}

/// Takes the cost of a value with this many bytes, or says why the call cannot go on.
pub(crate) fn spend(bytes: usize) -> Result<(), &'static str> {
    if interrupt::is_asked_to_end() {
        return Err(TIME);
    }
    let left = LEFT.get().checked_sub(bytes.saturating_add(PLACE));
    LEFT.set(left.ok_or(MEMORY)?);
    Ok(())
}

/// Takes the cost of what makes a value longer.
pub(crate) fn extend(bytes: usize) -> Result<(), &'static str> {
    LEFT.set(LEFT.get().checked_sub(bytes).ok_or(MEMORY)?);
    Ok(())
}

/// As [`spend`], with an error for Lua.
pub(crate) fn charge(bytes: usize) -> mlua::Result<()> {
    spend(bytes).map_err(|problem| Error::RuntimeError(problem.to_owned()))
}

/// Gives back what `work` has spent if it fails: somebody else does it again.
pub(crate) fn attempt<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let left = LEFT.get();
    work().inspect_err(|_| LEFT.set(left))
}

/// Gives back what `work` has spent, which it must not keep.
pub(crate) fn lend<T>(work: impl FnOnce() -> T) -> T {
    let left = LEFT.get();
    let value = work();
    LEFT.set(left);
    value
}
