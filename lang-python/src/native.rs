//! The module `_tyk_native`: what the Python half of the host calls in Rust.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use coprocess_core::{Host, LogLevel};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::deadline;
use crate::objects::{classes, convert};

/// The name under which Python's log lines are known.
pub(crate) const SOURCE: &str = "python";

// One interpreter per process, so its plugins have one gateway: the last that started.
static HOST: RwLock<Option<Arc<dyn Host>>> = RwLock::new(None);

/// Makes `host` the one that plugins talk to.
pub(crate) fn install_host(host: Arc<dyn Host>) {
    *HOST.write().unwrap_or_else(PoisonError::into_inner) = Some(host);
}

fn host() -> Option<Arc<dyn Host>> {
    HOST.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Makes the module.
pub(crate) fn module(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    let module = PyModule::new(py, "_tyk_native")?;
    module.add_function(wrap_pyfunction!(log, &module)?)?;
    module.add_function(wrap_pyfunction!(store_data, &module)?)?;
    module.add_function(wrap_pyfunction!(get_data, &module)?)?;
    module.add_function(wrap_pyfunction!(trigger_event, &module)?)?;
    module.add_function(wrap_pyfunction!(cut_arrived, &module)?)?;
    module.add_function(wrap_pyfunction!(time_left, &module)?)?;
    module.add_function(wrap_pyfunction!(spare, &module)?)?;
    classes::register(&module)?;
    Ok(module)
}

// Each of these may wait for the gateway, so others may use the interpreter meanwhile.

#[pyfunction]
fn log(py: Python<'_>, message: &Bound<'_, PyAny>, level: &str) -> PyResult<()> {
    let message = lossy(message)?;
    if let Some(host) = host() {
        py.detach(|| host.log(LogLevel::from_name(level), SOURCE, &message));
    }
    Ok(())
}

#[pyfunction]
fn store_data(py: Python<'_>, key: &str, value: &Bound<'_, PyAny>, ttl: i64) -> PyResult<()> {
    let value = match value.cast::<PyBytes>() {
        Ok(bytes) => bytes.as_bytes().to_vec(),
        Err(_) => convert::text(value)?.into_bytes(),
    };
    let Some(host) = host() else { return Ok(()) };
    py.detach(|| {
        if let Err(error) = host.store_data(key, &value, ttl) {
            let line = format!("cannot store `{key}`: {error}");
            host.log(LogLevel::Error, SOURCE, &line);
        }
    });
    Ok(())
}

#[pyfunction]
fn get_data<'py>(py: Python<'py>, key: &str) -> Bound<'py, PyBytes> {
    let found = py.detach(|| {
        let host = host()?;
        let line = match host.get_data(key) {
            Ok(Some(value)) => return Some(value),
            Ok(None) => format!("no data under `{key}`"),
            Err(error) => format!("cannot read `{key}`: {error}"),
        };
        host.log(LogLevel::Error, SOURCE, &line);
        None
    });
    PyBytes::new(py, found.as_deref().unwrap_or_default())
}

#[pyfunction]
fn trigger_event(py: Python<'_>, name: &str, payload: &str) {
    if let Some(host) = host() {
        py.detach(|| host.emit_event(name, payload));
    }
}

/// Called when a cut has become an exception in the running hook; how many have by now.
#[pyfunction]
fn cut_arrived() -> u32 {
    deadline::cut_arrived()
}

/// The seconds that the running hook has left.
#[pyfunction]
fn time_left() -> f64 {
    deadline::time_left().as_secs_f64()
}

/// Keeps cuts away from what follows, for some seconds.
#[pyfunction]
fn spare(py: Python<'_>, seconds: f64) {
    deadline::spare(py, Duration::try_from_secs_f64(seconds).unwrap_or_default());
}

/// Text as it can be logged: lone surrogates must not lose the line.
fn lossy(text: &Bound<'_, PyAny>) -> PyResult<String> {
    match text.extract::<&str>() {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => {
            let bytes = text.call_method1("encode", ("utf-8", "backslashreplace"))?;
            Ok(String::from_utf8_lossy(bytes.extract::<&[u8]>()?).into_owned())
        }
    }
}
