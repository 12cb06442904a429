#![allow(
    unsafe_code,
    reason = "PyConfig, kept thread states, injected exceptions, reference counts"
)]
//! What can be said to CPython in C only. Everything unsafe in this crate is here.

use std::ffi::{CString, c_long};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;
use pyo3::types::string::PyStringData;

/// Starts the interpreter on the calling thread, which becomes Python's main thread and
/// must live as long as the process. The thread is detached afterwards.
///
/// Environment variables such as `PYTHONPATH` count as for `python3`. No signal handler is
/// installed. `program` tells the interpreter which installation or virtual environment
/// its library folders are those of.
pub(crate) fn start(program: &Path) -> Result<(), String> {
    let program = CString::new(program.as_os_str().as_bytes())
        .map_err(|_| "path of the interpreter has a NUL byte".to_owned())?;
    // SAFETY: nothing has initialised the interpreter, since `main_thread` calls this once
    // in the process. Both structs are filled by their `Init` function before any other
    // use. `config` is cleared on every path after it was filled.
    unsafe {
        let mut preconfig = std::mem::zeroed::<ffi::PyPreConfig>();
        ffi::PyPreConfig_InitPythonConfig(&raw mut preconfig);
        // Would set variables in the environment of this process.
        preconfig.coerce_c_locale = 0;
        check(ffi::Py_PreInitialize(&raw const preconfig))?;
        let mut config = std::mem::zeroed::<ffi::PyConfig>();
        ffi::PyConfig_InitPythonConfig(&raw mut config);
        let started = initialize(&mut config, &program);
        ffi::PyConfig_Clear(&raw mut config);
        started?;
        // SAFETY of the rest: initialising leaves the thread attached; the state stays
        // with the thread, where PyO3 finds it again.
        ffi::PyEval_SaveThread();
    }
    Ok(())
}

/// # Safety
/// `config` must have been filled by `PyConfig_InitPythonConfig`, and the interpreter must
/// not run yet.
unsafe fn initialize(config: &mut ffi::PyConfig, program: &CString) -> Result<(), String> {
    config.install_signal_handlers = 0;
    config.parse_argv = 0;
    if !program.is_empty() {
        let name = &raw mut config.program_name;
        let executable = &raw mut config.executable;
        // SAFETY: `config` is filled (contract of this function), both targets are fields
        // of it, and `program` is a NUL-terminated string.
        unsafe {
            check(ffi::PyConfig_SetBytesString(config, name, program.as_ptr()))?;
            check(ffi::PyConfig_SetBytesString(
                config,
                executable,
                program.as_ptr(),
            ))?;
        }
    }
    // SAFETY: `config` is filled, and this is the first initialisation.
    check(unsafe { ffi::Py_InitializeFromConfig(config) })
}

fn check(status: ffi::PyStatus) -> Result<(), String> {
    // SAFETY: `status` is a value that CPython returned; its texts are static.
    unsafe {
        if ffi::PyStatus_Exception(status) == 0 {
            return Ok(());
        }
        if status.err_msg.is_null() {
            return Err(format!("exit status {}", status.exitcode));
        }
        let text = std::ffi::CStr::from_ptr(status.err_msg);
        Err(text.to_string_lossy().into_owned())
    }
}

/// Gives the calling thread a Python thread state for its life, so that attaching costs
/// tens of nanoseconds and not microseconds. To be called once on a thread, detached.
///
/// The state is never given back: such threads live as long as the process.
pub(crate) fn keep_thread_state() {
    // SAFETY: the interpreter runs (a plugin was loaded before a hook can be called) and
    // is never finalised. `Ensure` attaches the thread and counts one use, which is not
    // returned; `SaveThread` detaches it again.
    unsafe {
        ffi::PyGILState_Ensure();
        ffi::PyEval_SaveThread();
    }
}

/// Sets or clears the exception that the Python thread `ident` raises at its next bytecode.
pub(crate) fn set_async_exception(
    _py: Python<'_>,
    ident: c_long,
    exception: Option<&Bound<'_, PyAny>>,
) {
    let pointer = exception.map_or(std::ptr::null_mut(), Bound::as_ptr);
    // SAFETY: needs the interpreter's lock, which the token proves. CPython takes a
    // reference of its own. An `ident` that is unknown does nothing.
    unsafe {
        ffi::PyThreadState_SetAsyncExc(ident, pointer);
    }
}

/// Whether anybody but the caller has the object.
pub(crate) fn is_shared(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: the pointer is to an object that lives, and reading its count needs the
    // interpreter's lock, which the reference proves.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) != 1 }
}

/// The characters of a text as the interpreter keeps them; nothing when memory is missing.
#[inline]
pub(crate) fn characters<'a>(text: &'a Bound<'_, PyString>) -> Option<PyStringData<'a>> {
    // SAFETY: the object is a `str`, whose characters never change, and which lives as long as
    // what is returned. PyO3 reads how wide they are from a field of bits, which lies as it
    // assumes on x86-64 and AArch64; `tests/json.rs` writes texts of all widths.
    unsafe { text.data() }.ok()
}

/// The size of the calling thread's stack in bytes; nothing when the system does not tell.
pub(crate) fn stack_size() -> Option<usize> {
    // SAFETY: `attributes` is filled by `pthread_getattr_np` before it is read, and
    // destroyed once. The other pointers are to locals.
    unsafe {
        let mut attributes = std::mem::zeroed::<libc::pthread_attr_t>();
        if libc::pthread_getattr_np(libc::pthread_self(), &raw mut attributes) != 0 {
            return None;
        }
        let (mut low, mut size) = (std::ptr::null_mut(), 0);
        let told = libc::pthread_attr_getstack(&raw const attributes, &raw mut low, &raw mut size);
        libc::pthread_attr_destroy(&raw mut attributes);
        (told == 0).then_some(size)
    }
}

/// What the system has counted of the calling thread so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ThreadUsage {
    /// Processor time, in the program and in the system.
    pub(crate) busy: Duration,
    /// How often it gave the processor away to wait for something.
    pub(crate) waits: c_long,
    /// How often the processor was taken from it.
    pub(crate) preemptions: c_long,
}

/// The usage of the calling thread; nothing when the system does not tell.
pub(crate) fn thread_usage() -> Option<ThreadUsage> {
    // SAFETY: both are plain C structs, for which zeros are valid, and which the calls fill
    // before they are read.
    let (usage, busy) = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        // The times in there are as of the last tick of the system's clock, this is now.
        let mut busy = std::mem::zeroed::<libc::timespec>();
        if libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) != 0
            || libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut busy) != 0
        {
            return None;
        }
        (usage, busy)
    };
    let nanoseconds = u32::try_from(busy.tv_nsec).unwrap_or_default();
    Some(ThreadUsage {
        busy: Duration::new(busy.tv_sec.unsigned_abs(), nanoseconds),
        waits: usage.ru_nvcsw,
        preemptions: usage.ru_nivcsw,
    })
}
