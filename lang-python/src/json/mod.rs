//! Faster `json.loads` and `json.dumps` for plugins, with nothing that a plugin could tell.
//!
//! Most of what a plugin does with a body is to read it as JSON and to write it again, and the
//! standard library takes its time for both. The two functions are replaced in the module
//! `json` when the interpreter starts. What replaces them does only what is usual, and hands
//! everything else to the original with the same arguments, which begins anew: errors, and all
//! that is seldom, are the original's own.
//!
//! Nothing here raises, and nothing fails half-way in a manner that shows: reading makes new
//! objects that are dropped, writing makes text that is dropped.

mod float;
mod read;
mod scan;
mod write;

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

/// How deep lists and objects may be in each other here. Circular ones end at it; what is
/// deeper is for the original, which knows the interpreter's limit.
const MAX_DEPTH: usize = 128;

/// The quick way; nothing where it is for the original to say what comes out.
type Quick =
    for<'py> fn(&Bound<'py, PyTuple>, Option<&Bound<'py, PyDict>>) -> Option<Bound<'py, PyAny>>;

/// What stands in the place of one of the functions.
///
/// It is an object and no function of C, because those cannot have `__wrapped__`, which is what
/// `inspect` goes by.
#[pyclass(frozen, dict, weakref, name = "json_function", module = "_tyk_native")]
struct Replacement {
    quick: Quick,
    original: Py<PyAny>,
    /// The names in `json`.
    names: Py<PyDict>,
    /// The names that the original would use, and what they stood for at the start: a plugin
    /// that puts a decoder of its own there means it.
    relied_on: Vec<(Py<PyString>, Py<PyAny>)>,
}

#[pymethods]
impl Replacement {
    #[pyo3(signature = (*args, **keywords))]
    fn __call__<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = args.py();
        if self.is_as_found(py)
            && let Some(found) = (self.quick)(args, keywords)
        {
            return Ok(found);
        }
        self.original.bind(py).call(args, keywords)
    }

    /// What it has not of its own is the original's: `__code__`, `__defaults__` and the like.
    fn __getattr__<'py>(&self, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        match self.original.bind(name.py()).getattr(name) {
            Ok(value) => Ok(value),
            Err(_) => Err(PyAttributeError::new_err(name.clone().unbind())),
        }
    }

    fn __repr__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        self.original.bind(py).repr()
    }

    /// As functions are, it is copied and pickled by its name.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.original.bind(py).getattr("__qualname__")
    }
}

impl Replacement {
    fn is_as_found(&self, py: Python<'_>) -> bool {
        let names = self.names.bind(py);
        self.relied_on.iter().all(
            |(name, expected)| matches!(names.get_item(name), Ok(Some(now)) if now.is(expected)),
        )
    }
}

/// Replaces the functions in the module `json`.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    if !has_lock(py)? {
        return Ok(());
    }
    let json = py.import("json")?;
    let functions: [(&str, Quick, &[&str]); 2] = [
        ("loads", read::loads, &["_default_decoder"]),
        ("dumps", write::dumps, &["_default_encoder", "JSONEncoder"]),
    ];
    for (name, quick, relied_on) in functions {
        replace(&json, name, quick, relied_on)?;
    }
    Ok(())
}

/// Whether one thread at a time has the interpreter, which writing relies on: nobody changes a
/// dictionary meanwhile.
fn has_lock(py: Python<'_>) -> PyResult<bool> {
    match py.import("sys")?.getattr_opt("_is_gil_enabled")? {
        Some(asked) => asked.call0()?.is_truthy(),
        None => Ok(true),
    }
}

fn replace(
    json: &Bound<'_, PyModule>,
    name: &str,
    quick: Quick,
    relied_on: &[&str],
) -> PyResult<()> {
    let py = json.py();
    let Some(original) = json.getattr_opt(name)? else {
        return Ok(());
    };
    // An installation may have put another function there, for all its programs.
    let globals = original.getattr_opt("__globals__")?;
    if !globals.is_some_and(|globals| globals.is(json.dict())) {
        return Ok(());
    }
    let mut expected = Vec::new();
    for name in relied_on {
        let Some(found) = json.getattr_opt(*name)? else {
            return Ok(());
        };
        expected.push((PyString::intern(py, name).unbind(), found.unbind()));
    }
    let replacement = Replacement {
        quick,
        original: original.clone().unbind(),
        names: json.dict().unbind(),
        relied_on: expected,
    };
    let replacement = Bound::new(py, replacement)?;
    // Name, documentation and `__wrapped__`.
    let functools = py.import("functools")?;
    functools.call_method1("update_wrapper", (&replacement, original))?;
    json.setattr(name, replacement)
}
