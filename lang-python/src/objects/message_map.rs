//! Maps from text to messages.

use indexmap::IndexMap;
use pyo3::exceptions::{PyKeyError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::convert::Key;
use super::map::{Keys, view};
use super::message::{self, Message};
use super::record::{Class, Record};
use super::{classes, convert, gone};

/// `map<string, message>`: reading a key that is missing makes an empty message there.
#[pyclass(module = "_tyk_native", mapping)]
pub(crate) struct MessageMap {
    class: Class,
    entries: Option<IndexMap<String, Py<PyAny>>>,
    /// How often keys came or went.
    reshaped: u32,
}

impl MessageMap {
    pub(crate) fn wrap(
        py: Python<'_>,
        class: Class,
        records: Vec<(String, Record)>,
    ) -> PyResult<Self> {
        let entries: PyResult<_> = records
            .into_iter()
            .map(|(key, record)| Ok((key, classes::wrap(py, record)?)))
            .collect();
        Ok(Self {
            class,
            entries: Some(entries?),
            reshaped: 0,
        })
    }

    /// The entries: copies when `keep`, else taken out, and the map is empty afterwards.
    pub(crate) fn content(map: &Bound<'_, Self>, keep: bool) -> PyResult<Vec<(String, Record)>> {
        let py = map.py();
        let entries: Vec<(String, Py<PyAny>)> = {
            let mut this = map.try_borrow_mut()?;
            if keep {
                let entries = this.entries()?.iter();
                entries
                    .map(|(key, value)| (key.clone(), value.clone_ref(py)))
                    .collect()
            } else {
                this.entries.take().ok_or_else(gone)?.into_iter().collect()
            }
        };
        let mut records = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let value = value.bind(py).cast::<Message>()?;
            let record = if keep {
                Some(message::snapshot(value)?)
            } else {
                message::reclaim(value)?
            };
            records.extend(record.map(|record| (key, record)));
        }
        Ok(records)
    }

    /// Puts entries in; each replaces what is under its key.
    pub(crate) fn replace_entries(
        map: &Bound<'_, Self>,
        records: Vec<(String, Record)>,
    ) -> PyResult<()> {
        for (key, record) in records {
            let value = classes::wrap(map.py(), record)?;
            map.try_borrow_mut()?.reshape()?.insert(key, value);
        }
        Ok(())
    }

    fn entries(&mut self) -> PyResult<&mut IndexMap<String, Py<PyAny>>> {
        self.entries.as_mut().ok_or_else(gone)
    }

    /// The entries, whose keys are not the same from now on.
    fn reshape(&mut self) -> PyResult<&mut IndexMap<String, Py<PyAny>>> {
        self.reshaped = self.reshaped.wrapping_add(1);
        self.entries()
    }

    pub(super) fn reshaped(&self) -> u32 {
        self.reshaped
    }
}

#[pymethods]
impl MessageMap {
    fn __getitem__(&mut self, py: Python<'_>, key: Key) -> PyResult<Py<PyAny>> {
        let class = self.class;
        if let Some(found) = self.entries()?.get(&*key) {
            return Ok(found.clone_ref(py));
        }
        let made = classes::wrap(py, class.empty())?;
        self.reshape()?.insert(key.to_string(), made.clone_ref(py));
        Ok(made)
    }

    fn get_or_create(&mut self, py: Python<'_>, key: Key) -> PyResult<Py<PyAny>> {
        self.__getitem__(py, key)
    }

    fn __setitem__(&self, _key: &Bound<'_, PyAny>, _value: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyValueError::new_err(
            "direct assignment of submessage not allowed; use map[key].CopyFrom(message)",
        ))
    }

    fn __delitem__(&mut self, key: Key) -> PyResult<()> {
        match self.reshape()?.shift_remove(&*key) {
            Some(_) => Ok(()),
            None => Err(PyKeyError::new_err(key.to_string())),
        }
    }

    fn __contains__(&mut self, key: Key) -> PyResult<bool> {
        Ok(self.entries()?.contains_key(&*key))
    }

    fn __len__(&mut self) -> PyResult<usize> {
        Ok(self.entries()?.len())
    }

    fn __iter__(slf: &Bound<'_, Self>) -> PyResult<Keys> {
        let mut this = slf.try_borrow_mut()?;
        let keys = PyList::new(slf.py(), this.entries()?.keys())?;
        Keys::new(slf.as_any(), &keys, this.reshaped)
    }

    fn keys<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.try_borrow_mut()?.entries()?;
        view(slf.as_any(), "KeysView")
    }

    fn values<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.try_borrow_mut()?.entries()?;
        view(slf.as_any(), "ValuesView")
    }

    fn items<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.try_borrow_mut()?.entries()?;
        view(slf.as_any(), "ItemsView")
    }

    #[pyo3(signature = (key, default = None))]
    fn get(
        &mut self,
        py: Python<'_>,
        key: Key,
        default: Option<Py<PyAny>>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let found = self.entries()?.get(&*key).map(|value| value.clone_ref(py));
        Ok(found.or(default))
    }

    /// Takes an entry out. One that is missing is an empty message, as everywhere.
    #[pyo3(signature = (key, _default = None))]
    fn pop(
        &mut self,
        py: Python<'_>,
        key: Key,
        _default: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let found = self.reshape()?.shift_remove(&*key);
        found.map_or_else(|| classes::wrap(py, self.class.empty()), Ok)
    }

    fn popitem(&mut self) -> PyResult<(String, Py<PyAny>)> {
        let first = self.reshape()?.shift_remove_index(0);
        first.ok_or_else(|| PyKeyError::new_err("the map is empty"))
    }

    #[pyo3(signature = (key, _default = None))]
    fn setdefault(
        &mut self,
        py: Python<'_>,
        key: Key,
        _default: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        self.__getitem__(py, key)
    }

    /// Takes nothing but what is empty: messages are not assigned.
    #[pyo3(signature = (other = None, **more))]
    fn update(
        &self,
        other: Option<&Bound<'_, PyAny>>,
        more: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        for source in [other, more.map(|more| more.as_any())]
            .into_iter()
            .flatten()
        {
            for entry in source.try_iter()? {
                let entry = entry?;
                self.__setitem__(&entry, &entry)?;
            }
        }
        Ok(())
    }

    fn clear(&mut self) -> PyResult<()> {
        self.reshape()?.clear();
        Ok(())
    }

    /// Takes over the entries of another map of messages, or of a dictionary of them.
    #[pyo3(name = "MergeFrom")]
    fn merge_from(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(other) = other.cast::<Self>() {
            return Self::replace_entries(slf, Self::content(other, true)?);
        }
        let class = slf.try_borrow()?.class;
        for (key, value) in other.cast::<PyDict>()?.iter() {
            let record = message::snapshot(value.cast::<Message>()?)?;
            if record.class() != class {
                return Err(PyTypeError::new_err(format!(
                    "expected messages of type {}, got {}",
                    class.name(),
                    record.class().name()
                )));
            }
            Self::replace_entries(slf, vec![(convert::text(&key)?, record)])?;
        }
        Ok(())
    }

    fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        match other.cast::<Self>() {
            Ok(other) => Ok(Self::content(slf, true)? == Self::content(other, true)?),
            Err(_) => Ok(false),
        }
    }

    fn __deepcopy__(slf: &Bound<'_, Self>, _memo: &Bound<'_, PyAny>) -> PyResult<Self> {
        let class = slf.try_borrow()?.class;
        Self::wrap(slf.py(), class, Self::content(slf, true)?)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        if slf.try_borrow()?.entries.is_none() {
            return Ok("<map of a hook that has ended>".to_owned());
        }
        let dict = PyDict::new(slf.py());
        for (key, value) in slf.try_borrow_mut()?.entries()?.iter() {
            dict.set_item(key, value)?;
        }
        Ok(dict.repr()?.to_string())
    }
}
