//! The descriptor that each field of a message class is.

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;

use super::message::{Message, get, set};
use super::record::FieldInfo;

/// A field of a message class.
#[pyclass(frozen, module = "_tyk_native")]
pub(crate) struct Field {
    pub(crate) info: &'static FieldInfo,
}

#[pymethods]
impl Field {
    #[getter]
    fn name(&self) -> &'static str {
        self.info.name
    }

    #[getter]
    fn number(&self) -> u8 {
        self.info.number
    }

    fn __get__(
        slf: &Bound<'_, Self>,
        message: &Bound<'_, PyAny>,
        _owner: &Bound<'_, PyAny>,
    ) -> PyResult<Py<PyAny>> {
        match message.cast::<Message>() {
            Ok(message) => get(message, slf.get().info),
            // Read from the class.
            Err(_) => Ok(slf.clone().into_any().unbind()),
        }
    }

    fn __set__(&self, message: &Bound<'_, Message>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        set(message, self.info, value)
    }

    fn __delete__(&self, _message: &Bound<'_, Message>) -> PyResult<()> {
        Err(PyAttributeError::new_err(format!(
            "field \"{}\" cannot be deleted; use ClearField(\"{0}\")",
            self.info.name
        )))
    }
}
