//! Maps: text by text, and messages by text.

use std::borrow::Cow;
use std::sync::Arc;

use coprocess_core::{Spec, StringMap, canonical_name};
use http::HeaderName;
use indexmap::IndexMap;
use pyo3::exceptions::{PyKeyError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList};

use super::message::{self, Message};
use super::record::{Class, Record};
use super::{classes, convert, gone};

/// `map<string, string>`: a key that is missing reads as empty text, and is there then.
#[pyclass(name = "StringMap", module = "_tyk_native", mapping)]
pub(crate) struct StringMapView {
    content: Content,
    /// The keys are names of headers: all ways to write one mean the same entry.
    is_headers: bool,
}

enum Content {
    Gone,
    Own(StringMap),
    /// The API's spec, shared by all calls until this one changes it.
    Spec(Arc<Spec>),
}

impl StringMapView {
    pub(crate) fn new(map: StringMap) -> Self {
        Self::with(Content::Own(map), false)
    }

    pub(crate) fn of_headers(map: StringMap) -> Self {
        Self::with(Content::Own(map), true)
    }

    pub(crate) fn of_spec(spec: Arc<Spec>) -> Self {
        Self::with(Content::Spec(spec), false)
    }

    fn with(content: Content, is_headers: bool) -> Self {
        Self {
            content,
            is_headers,
        }
    }

    /// The key as the map has it.
    fn key<'a>(&self, key: &'a str) -> Cow<'a, str> {
        if self.is_headers {
            header_key(key)
        } else {
            Cow::Borrowed(key)
        }
    }

    /// The map as one of its own, to be changed.
    pub(crate) fn map(&mut self) -> PyResult<&mut StringMap> {
        if let Content::Spec(spec) = &self.content {
            let entries = spec.entries();
            self.content = Content::Own(
                entries
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .collect(),
            );
        }
        match &mut self.content {
            Content::Own(map) => Ok(map),
            Content::Gone | Content::Spec(_) => Err(gone()),
        }
    }

    /// The entries: a copy when `keep`, else taken out, and the view is empty afterwards.
    pub(crate) fn content(&mut self, keep: bool) -> PyResult<StringMap> {
        let map = self.map()?;
        if keep {
            return Ok(map.clone());
        }
        let map = std::mem::take(map);
        self.content = Content::Gone;
        Ok(map)
    }

    fn find(&self, key: &str) -> PyResult<Option<&str>> {
        let key = &*self.key(key);
        match &self.content {
            Content::Gone => Err(gone()),
            Content::Own(map) => Ok(map.get(key).map(String::as_str)),
            Content::Spec(spec) => Ok(spec
                .entries()
                .find(|(name, _)| *name == key)
                .map(|(_, value)| value)),
        }
    }
}

#[pymethods]
impl StringMapView {
    fn __getitem__(&mut self, key: &str) -> PyResult<String> {
        if let Some(value) = self.find(key)? {
            return Ok(value.to_owned());
        }
        let key = self.key(key).into_owned();
        self.map()?.insert(key, String::new());
        Ok(String::new())
    }

    fn __setitem__(&mut self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let (key, value) = (convert::text(key)?, convert::text(value)?);
        let key = self.key(&key).into_owned();
        self.map()?.insert(key, value);
        Ok(())
    }

    fn __delitem__(&mut self, key: &str) -> PyResult<()> {
        let own = self.key(key);
        match self.map()?.shift_remove(&*own) {
            Some(_) => Ok(()),
            None => Err(PyKeyError::new_err(key.to_owned())),
        }
    }

    fn __contains__(&self, key: &str) -> PyResult<bool> {
        Ok(self.find(key)?.is_some())
    }

    fn __len__(&mut self) -> PyResult<usize> {
        Ok(self.map()?.len())
    }

    fn __iter__<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.keys(py)?.try_iter()
    }

    fn keys<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.map()?.keys())
    }

    fn values<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.map()?.values())
    }

    fn items<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.map()?.iter())
    }

    #[pyo3(signature = (key, default = None))]
    fn get(
        &self,
        py: Python<'_>,
        key: &str,
        default: Option<Py<PyAny>>,
    ) -> PyResult<Option<Py<PyAny>>> {
        match self.find(key)? {
            Some(value) => Ok(Some(value.into_pyobject(py)?.into_any().unbind())),
            None => Ok(default),
        }
    }

    #[pyo3(signature = (key, *default))]
    fn pop(&mut self, py: Python<'_>, key: &str, default: Vec<Py<PyAny>>) -> PyResult<Py<PyAny>> {
        let own = self.key(key);
        match self.map()?.shift_remove(&*own) {
            Some(value) => Ok(value.into_pyobject(py)?.into_any().unbind()),
            None => default
                .into_iter()
                .next()
                .ok_or_else(|| PyKeyError::new_err(key.to_owned())),
        }
    }

    #[pyo3(signature = (key, default = ""))]
    fn setdefault(&mut self, key: &str, default: &str) -> PyResult<String> {
        let key = self.key(key).into_owned();
        let entry = self.map()?.entry(key);
        Ok(entry.or_insert_with(|| default.to_owned()).clone())
    }

    fn clear(&mut self) -> PyResult<()> {
        self.map()?.clear();
        Ok(())
    }

    #[pyo3(signature = (other = None, **more))]
    fn update(
        slf: &Bound<'_, Self>,
        other: Option<&Bound<'_, PyAny>>,
        more: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        // Reading a foreign mapping runs plugin code, so the map is not borrowed meanwhile.
        for source in [other, more.map(|more| more.as_any())]
            .into_iter()
            .flatten()
        {
            let entries = convert::string_map(source)?;
            let mut this = slf.try_borrow_mut()?;
            for (key, value) in entries {
                let key = this.key(&key).into_owned();
                this.map()?.insert(key, value);
            }
        }
        Ok(())
    }

    #[pyo3(name = "MergeFrom")]
    fn merge_from(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::update(slf, Some(other), None)
    }

    fn copy<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (key, value) in self.map()?.iter() {
            dict.set_item(key, value)?;
        }
        Ok(dict)
    }

    fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        if let Ok(other) = other.cast::<Self>() {
            return Ok(slf.is(other)
                || slf.try_borrow_mut()?.content(true)?
                    == other.try_borrow_mut()?.content(true)?);
        }
        let own = slf.try_borrow_mut()?.copy(slf.py())?;
        own.eq(other)
    }

    fn __repr__(&mut self, py: Python<'_>) -> PyResult<String> {
        match self.content {
            Content::Gone => Ok("<map of a hook that has ended>".to_owned()),
            _ => Ok(self.copy(py)?.repr()?.to_string()),
        }
    }

    fn __deepcopy__(&mut self, _memo: &Bound<'_, PyAny>) -> PyResult<StringMapView> {
        Ok(Self::with(
            Content::Own(self.content(true)?),
            self.is_headers,
        ))
    }
}

/// A header's name as plugins know it; text that is no name stays as it is.
pub(crate) fn header_key(key: &str) -> Cow<'_, str> {
    match HeaderName::from_bytes(key.as_bytes()) {
        Ok(name) => canonical_name(&name),
        Err(_) => Cow::Borrowed(key),
    }
}

/// `map<string, message>`: reading a key that is missing makes an empty message there.
#[pyclass(module = "_tyk_native", mapping)]
pub(crate) struct MessageMap {
    class: Class,
    entries: Option<IndexMap<String, Py<PyAny>>>,
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
            map.try_borrow_mut()?.entries()?.insert(key, value);
        }
        Ok(())
    }

    fn entries(&mut self) -> PyResult<&mut IndexMap<String, Py<PyAny>>> {
        self.entries.as_mut().ok_or_else(gone)
    }
}

#[pymethods]
impl MessageMap {
    fn __getitem__(&mut self, py: Python<'_>, key: &str) -> PyResult<Py<PyAny>> {
        let class = self.class;
        let entries = self.entries()?;
        if let Some(found) = entries.get(key) {
            return Ok(found.clone_ref(py));
        }
        let made = classes::wrap(py, class.empty())?;
        entries.insert(key.to_owned(), made.clone_ref(py));
        Ok(made)
    }

    fn get_or_create(&mut self, py: Python<'_>, key: &str) -> PyResult<Py<PyAny>> {
        self.__getitem__(py, key)
    }

    fn __setitem__(&self, _key: &Bound<'_, PyAny>, _value: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyValueError::new_err(
            "direct assignment of submessage not allowed; use map[key].CopyFrom(message)",
        ))
    }

    fn __delitem__(&mut self, key: &str) -> PyResult<()> {
        match self.entries()?.shift_remove(key) {
            Some(_) => Ok(()),
            None => Err(PyKeyError::new_err(key.to_owned())),
        }
    }

    fn __contains__(&mut self, key: &str) -> PyResult<bool> {
        Ok(self.entries()?.contains_key(key))
    }

    fn __len__(&mut self) -> PyResult<usize> {
        Ok(self.entries()?.len())
    }

    fn __iter__<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.keys(py)?.try_iter()
    }

    fn keys<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.entries()?.keys())
    }

    fn values<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(
            py,
            self.entries()?.values().map(|value| value.clone_ref(py)),
        )
    }

    fn items<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let entries = self.entries()?.iter();
        PyList::new(py, entries.map(|(key, value)| (key, value.clone_ref(py))))
    }

    #[pyo3(signature = (key, default = None))]
    fn get(
        &mut self,
        py: Python<'_>,
        key: &str,
        default: Option<Py<PyAny>>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let found = self.entries()?.get(key).map(|value| value.clone_ref(py));
        Ok(found.or(default))
    }

    fn clear(&mut self) -> PyResult<()> {
        self.entries()?.clear();
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
