//! One hook call, on a thread that is attached to the interpreter.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use coprocess_core::DispatchError;
use pyo3::prelude::*;

use crate::deadline;
use crate::options::Mode;
use crate::plugin::{Function, PluginCode, PluginState};
use crate::pool::Expected;
use crate::stats::Stats;
use crate::support::Support;
use crate::views::{Failure, Given, Views};

/// How long it may take to make a text of what was raised before cuts go on: a plugin's
/// exception has code of its own for that.
const TELLING: Duration = Duration::from_secs(1);

/// A function of loaded code, as the gateway keeps it; cheap to clone.
#[derive(Clone)]
pub(crate) struct PyHook {
    pub(crate) code: Arc<PluginCode>,
    pub(crate) function: Arc<Function>,
    /// Where it runs, if its API says so.
    pub(crate) mode: Option<Mode>,
}

impl PyHook {
    pub(crate) fn plugin(&self) -> &Arc<PluginState> {
        &self.code.state
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.function.name
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.function.stats
    }

    /// What it will do with a thread, by what it has done and by its text.
    pub(crate) fn expected(&self) -> Expected {
        Expected::new(self.stats().is_brief(), !self.function.may_wait)
    }
}

/// Runs a hook, which changes the object. After an error nothing of that is of use, as the
/// request is refused then.
pub(crate) fn run_hook(
    py: Python<'_>,
    support: &Support,
    hook: &PyHook,
    given: Given<'_>,
) -> Result<(), DispatchError> {
    // A Rust panic below Python becomes an exception there, which PyO3 turns into a panic
    // again here.
    contained(hook, || {
        call(py, support, hook, given).map_err(|failure| match failure {
            Failure::Raised(error) => told(py, support, &error),
            Failure::Shape(message) => message,
        })
    })
    .map_err(|message| DispatchError::Raised { message })
}

/// Runs an event handler; what went wrong comes back as text.
pub(crate) fn run_event(
    py: Python<'_>,
    support: &Support,
    hook: &PyHook,
    payload: &str,
) -> Result<(), String> {
    contained(hook, || {
        let callable = hook.function.callable.bind(py);
        let done = support.run_event.bind(py).call1((callable, payload));
        done.map(drop).map_err(|error| told(py, support, &error))
    })
}

/// The text of what a run raised; a cut does not get into it.
fn told(py: Python<'_>, support: &Support, error: &PyErr) -> String {
    deadline::spare(py, TELLING);
    support.describe(py, error)
}

/// Turns a panic into an error: the thread goes on, and its counts stay right.
fn contained<T>(hook: &PyHook, work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(format!("`{}`: panic in the host, see the log", hook.name())))
}

fn call(
    py: Python<'_>,
    support: &Support,
    hook: &PyHook,
    mut given: Given<'_>,
) -> Result<(), Failure> {
    let function = &*hook.function;
    let views = Views::new(py, function, &mut given)?;
    let result = awaited(support, views.invoke(function)?, hook)?;
    views.check(function, &result)?;
    views.take_back(function, &result, &mut given)?;
    Ok(())
}

/// The result of a hook that may be `async`, which is run up to its end.
fn awaited<'py>(
    support: &Support,
    result: Bound<'py, PyAny>,
    hook: &PyHook,
) -> PyResult<Bound<'py, PyAny>> {
    let function = &hook.function;
    if !function.is_async {
        return Ok(result);
    }
    // Code that imports nothing which waits cannot await anything either but itself.
    let run = match function.may_wait {
        true => &support.run_async,
        false => &support.drive,
    };
    run.bind(result.py()).call1((result,))
}
