//! The Python half of the host: installed from memory, and called from here.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule, PyType};

use crate::{json, native};

/// How long a thread may keep the interpreter while another wants it, in seconds. Python's
/// own 5 ms would be added to every hook that waits behind one which computes.
const SWITCH_INTERVAL: f64 = 0.0005;

/// The modules in the order of their imports, by name.
const MODULES: &[(&str, &str)] = &[
    ("_tyk_wire", include_str!("../python/_tyk_wire.py")),
    ("tyk", include_str!("../python/tyk/__init__.py")),
    (
        "tyk.decorators",
        include_str!("../python/tyk/decorators.py"),
    ),
    ("tyk._messages", include_str!("../python/tyk/_messages.py")),
    ("tyk.request", include_str!("../python/tyk/request.py")),
    ("tyk.session", include_str!("../python/tyk/session.py")),
    ("tyk.object", include_str!("../python/tyk/object.py")),
    ("tyk.event", include_str!("../python/tyk/event.py")),
    (
        "tyk.middleware",
        include_str!("../python/tyk/middleware.py"),
    ),
    ("gateway", include_str!("../python/gateway/__init__.py")),
    ("_tyk_waits", include_str!("../python/_tyk_waits.py")),
    ("_tyk_loader", include_str!("../python/_tyk_loader.py")),
    ("_tyk_async", include_str!("../python/_tyk_async.py")),
    ("_tyk_support", include_str!("../python/_tyk_support.py")),
];

/// What the Rust half calls in the Python half.
pub(crate) struct Support {
    pub(crate) timeout: Py<PyType>,
    /// What arrives in the place of a cut that was taken back.
    pub(crate) taken_back: Py<PyType>,
    let_arrive: Py<PyAny>,
    pub(crate) generation: Py<PyAny>,
    pub(crate) handlers: Py<PyAny>,
    pub(crate) run_event: Py<PyAny>,
    pub(crate) run_async: Py<PyAny>,
    pub(crate) drive: Py<PyAny>,
    error_line: Py<PyAny>,
    describe: Py<PyAny>,
    stop: Py<PyAny>,
    relent: Py<PyAny>,
    /// Version, executable and prefix, for the log.
    pub(crate) about: String,
}

impl Support {
    /// Installs the modules. To be called once, on Python's main thread.
    pub(crate) fn install(
        py: Python<'_>,
        path_prefix: Option<&str>,
        fast_json: bool,
    ) -> PyResult<Self> {
        let modules = py.import("sys")?.getattr("modules")?;
        modules.set_item("_tyk_native", native::module(py)?)?;
        for (name, source) in MODULES {
            install_module(py, &modules, name, source)?;
        }
        let support = modules.get_item("_tyk_support")?;
        let about = support.call_method1("start", (path_prefix, SWITCH_INTERVAL))?;
        if fast_json {
            json::install(py)?;
        }
        let part = |name: &str| Ok::<_, PyErr>(support.getattr(name)?.unbind());
        let class = |name: &str| Ok::<_, PyErr>(support.getattr(name)?.cast_into()?.unbind());
        Ok(Self {
            timeout: class("HookTimeout")?,
            taken_back: class("TakenBack")?,
            let_arrive: part("let_arrive")?,
            generation: part("Generation")?,
            handlers: part("handlers")?,
            run_event: part("run_event")?,
            run_async: part("run_async")?,
            drive: part("drive")?,
            error_line: part("error_line")?,
            describe: part("describe")?,
            stop: part("stop")?,
            relent: part("relent")?,
            about: about.extract()?,
        })
    }

    /// An exception as text: its own line first, the traceback after it.
    pub(crate) fn describe(&self, py: Python<'_>, error: &PyErr) -> String {
        self.describe
            .call1(py, (traced(py, error),))
            .and_then(|text| text.extract(py))
            .unwrap_or_else(|_| format!("{} (its text cannot be shown)", error.get_type(py)))
    }

    /// Where in a file an import error comes from: `path:line`, or the path alone.
    pub(crate) fn error_line(&self, py: Python<'_>, error: &PyErr, path: &str) -> String {
        self.error_line
            .call1(py, (traced(py, error), path))
            .and_then(|text| text.extract(py))
            .unwrap_or_else(|_| path.to_owned())
    }

    /// Runs code of ours on this thread for long enough that what was injected into it arrives,
    /// and gives that back; nothing where a trace function of the plugin's has swallowed it.
    pub(crate) fn let_arrive(&self, py: Python<'_>) -> Option<PyErr> {
        self.let_arrive.call0(py).err()
    }

    /// Takes back what makes a cut hard to swallow and what it may have left locked, on the
    /// thread that was cut.
    pub(crate) fn relent(&self, py: Python<'_>) {
        if let Err(error) = self.relent.call0(py) {
            error.print(py);
        }
    }

    /// Runs what plugins registered with `atexit`, and flushes the standard streams.
    pub(crate) fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.stop.call0(py).map(drop)
    }
}

/// The exception with its traceback, which PyO3 keeps beside it for older Pythons.
fn traced<'py>(py: Python<'py>, error: &PyErr) -> Bound<'py, PyAny> {
    let value = error.value(py);
    if let Some(traceback) = error.traceback(py) {
        // An exception class may refuse; its text is shown without a traceback then.
        let _ = value.setattr(pyo3::intern!(py, "__traceback__"), traceback);
    }
    value.clone().into_any()
}

fn install_module(
    py: Python<'_>,
    modules: &Bound<'_, PyAny>,
    name: &str,
    source: &str,
) -> PyResult<()> {
    let module = PyModule::new(py, name)?;
    let file = format!("<gateway>/{}.py", name.replace('.', "/"));
    if name == "tyk" {
        module.setattr("__path__", pyo3::types::PyList::empty(py))?;
    }
    module.setattr("__file__", &file)?;
    modules.set_item(name, &module)?;
    let builtins = py.import("builtins")?;
    let code = builtins.call_method1("compile", (source, file, "exec"))?;
    let globals: Bound<'_, PyDict> = module.dict();
    builtins.call_method1("exec", (code, globals))?;
    if let Some((parent, own)) = name.split_once('.') {
        modules.get_item(parent)?.setattr(own, &module)?;
    }
    Ok(())
}
