//! The functions that a module of a plugin has for the gateway.

use std::sync::Arc;

use coprocess_core::LoadError;
use pyo3::prelude::*;

use crate::stats::Stats;

/// A decorated function.
pub(crate) struct Function {
    pub(crate) name: Arc<str>,
    pub(crate) callable: Py<PyAny>,
    /// Positional parameters.
    pub(crate) arity: usize,
    pub(crate) is_event: bool,
    pub(crate) is_async: bool,
    /// By its text: it uses what may wait for something.
    pub(crate) may_wait: bool,
    /// `file:line`.
    pub(crate) location: String,
    /// Why it cannot be called at all.
    pub(crate) problem: Option<String>,
    pub(crate) stats: Stats,
}

impl Function {
    /// Refuses what cannot be called as it is to be.
    pub(super) fn check_arity(&self) -> Result<(), LoadError> {
        if let Some(problem) = &self.problem {
            return Err(LoadError::BadHook {
                name: self.name.to_string(),
                reason: format!("{problem}, at {}", self.location),
            });
        }
        let expected = match (self.is_event, self.arity) {
            (true, 2) | (false, 3..=5) => return Ok(()),
            (true, _) => "an event handler takes 2 (event, spec)",
            (false, _) => {
                "a hook takes 3 (request, session, spec), 4 (request, session, metadata, spec) \
                 or 5 (request, response, session, metadata, spec)"
            }
        };
        Err(LoadError::BadHook {
            name: self.name.to_string(),
            reason: format!(
                "it has {} positional parameters at {}; {expected}",
                self.arity, self.location
            ),
        })
    }
}

type Described = (
    String,
    Py<PyAny>,
    usize,
    bool,
    bool,
    bool,
    String,
    Option<String>,
);

/// The decorated functions of a module.
pub(super) fn functions(
    py: Python<'_>,
    handlers: &Py<PyAny>,
    module: &Bound<'_, PyAny>,
) -> PyResult<Vec<Function>> {
    let found: Vec<Described> = handlers.call1(py, (module,))?.extract(py)?;
    let functions = found.into_iter().map(
        |(name, callable, arity, is_event, is_async, may_wait, location, problem)| Function {
            name: name.into(),
            callable,
            arity,
            is_event,
            is_async,
            may_wait,
            location,
            problem,
            stats: Stats::default(),
        },
    );
    Ok(functions.collect())
}
