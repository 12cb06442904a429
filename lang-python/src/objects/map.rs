//! Maps from text to text.

use std::borrow::Cow;
use std::sync::Arc;

use coprocess_core::{Spec, StringMap};
use pyo3::exceptions::{PyKeyError, PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList, PyString};

use super::convert::Key;
use super::headers::{EditedHeaders, header_key};
use super::message_map::MessageMap;
use super::record::Value;
use super::{convert, gone};

/// `map<string, string>`: a key that is missing reads as empty text, and is there then.
#[pyclass(name = "StringMap", module = "_tyk_native", mapping)]
pub(crate) struct StringMapView {
    content: Content,
    /// The keys are names of headers: all ways to write one mean the same entry.
    is_headers: bool,
    /// It was changed, if only to be as before.
    touched: bool,
    /// How often keys came or went.
    reshaped: u32,
}

enum Content {
    Gone,
    Own(StringMap),
    /// The API's spec, shared by all calls until this one changes it.
    Spec(Arc<Spec>),
    /// Headers, until somebody wants all of them.
    Edited(EditedHeaders),
}

impl StringMapView {
    pub(crate) fn new(map: StringMap) -> Self {
        Self::with(Content::Own(map), false)
    }

    pub(crate) fn of_headers(map: StringMap) -> Self {
        Self::with(Content::Own(map), true)
    }

    pub(crate) fn of_edited(headers: EditedHeaders) -> Self {
        Self::with(Content::Edited(headers), true)
    }

    pub(crate) fn of_spec(spec: Arc<Spec>) -> Self {
        Self::with(Content::Spec(spec), false)
    }

    fn with(content: Content, is_headers: bool) -> Self {
        Self {
            content,
            is_headers,
            touched: false,
            reshaped: 0,
        }
    }

    /// Holds something else, after it was emptied.
    pub(crate) fn renew(&mut self, other: Self) {
        *self = other;
    }

    /// Whether it shows that spec, as it is.
    pub(crate) fn is_spec(&self, spec: &Arc<Spec>) -> bool {
        matches!(&self.content, Content::Spec(own) if Arc::ptr_eq(own, spec)) && !self.touched
    }

    pub(crate) fn touched(&self) -> bool {
        self.touched
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
        match &self.content {
            Content::Spec(spec) => {
                let entries = spec.entries();
                let owned = entries.map(|(key, value)| (key.to_owned(), value.to_owned()));
                self.content = Content::Own(owned.collect());
            }
            Content::Edited(headers) => self.content = Content::Own(headers.to_map()),
            Content::Gone | Content::Own(_) => {}
        }
        match &mut self.content {
            Content::Own(map) => Ok(map),
            _ => Err(gone()),
        }
    }

    /// The map, which its parent has from now on.
    fn changed(&mut self) -> PyResult<&mut StringMap> {
        self.touched = true;
        self.map()
    }

    /// The map, whose keys are not the same from now on.
    fn reshaped(&mut self) -> PyResult<&mut StringMap> {
        self.reshaped = self.reshaped.wrapping_add(1);
        self.changed()
    }

    pub(crate) fn merge(&mut self, entries: StringMap) -> PyResult<()> {
        self.reshaped()?.extend(entries);
        Ok(())
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

    /// Takes the entries out in the form that they have; the view is empty afterwards.
    pub(crate) fn take_out(&mut self) -> PyResult<Value> {
        match std::mem::replace(&mut self.content, Content::Gone) {
            Content::Edited(headers) => Ok(Value::Edited(headers)),
            Content::Own(map) => Ok(Value::Map(map)),
            before => {
                self.content = before;
                self.content(false).map(Value::Map)
            }
        }
    }

    /// Sets an entry, or removes it.
    fn put(&mut self, key: &str, value: Option<&str>) -> PyResult<()> {
        self.touched = true;
        // Its keys were not asked for yet, so nobody goes through them.
        if let Content::Edited(headers) = &mut self.content
            && headers.edit(key, value)
        {
            return Ok(());
        }
        let key = self.key(key).into_owned();
        let map = self.map()?;
        let (was_there, is_there) = match value {
            Some(value) => (map.insert(key, value.to_owned()).is_some(), true),
            None => (map.shift_remove(&key).is_some(), false),
        };
        self.reshaped = self.reshaped.wrapping_add((was_there != is_there).into());
        Ok(())
    }

    fn alive(&self) -> PyResult<()> {
        match self.content {
            Content::Gone => Err(gone()),
            _ => Ok(()),
        }
    }

    fn find(&self, key: &str) -> PyResult<Option<Cow<'_, str>>> {
        if let Content::Edited(headers) = &self.content {
            return Ok(headers.get(key));
        }
        let key = &*self.key(key);
        match &self.content {
            Content::Gone | Content::Edited(_) => Err(gone()),
            Content::Own(map) => Ok(map.get(key).map(|value| Cow::Borrowed(value.as_str()))),
            Content::Spec(spec) => Ok(spec
                .entries()
                .find(|(name, _)| *name == key)
                .map(|(_, value)| Cow::Borrowed(value))),
        }
    }
}

#[pymethods]
impl StringMapView {
    fn __getitem__<'py>(&mut self, py: Python<'py>, key: Key) -> PyResult<Bound<'py, PyString>> {
        if let Some(value) = self.find(&key)? {
            return Ok(PyString::new(py, &value));
        }
        self.put(&key, Some(""))?;
        Ok(PyString::new(py, ""))
    }

    fn __setitem__(&mut self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.touched = true;
        let (key, value): (Key, Key) = (key.extract()?, value.extract()?);
        self.put(&key, Some(&value))
    }

    fn __delitem__(&mut self, key: Key) -> PyResult<()> {
        self.touched = true;
        match self.find(&key)?.is_some() {
            true => self.put(&key, None),
            false => Err(PyKeyError::new_err(key.to_string())),
        }
    }

    fn __contains__(&self, key: Key) -> PyResult<bool> {
        Ok(self.find(&key)?.is_some())
    }

    fn __len__(&mut self) -> PyResult<usize> {
        Ok(self.map()?.len())
    }

    fn __iter__(slf: &Bound<'_, Self>) -> PyResult<Keys> {
        let mut this = slf.try_borrow_mut()?;
        let keys = PyList::new(slf.py(), this.map()?.keys())?;
        Keys::new(slf.as_any(), &keys, this.reshaped)
    }

    fn keys<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.try_borrow()?.alive()?;
        view(slf.as_any(), "KeysView")
    }

    fn values<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.try_borrow()?.alive()?;
        view(slf.as_any(), "ValuesView")
    }

    fn items<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.try_borrow()?.alive()?;
        view(slf.as_any(), "ItemsView")
    }

    #[pyo3(signature = (key, default = None))]
    fn get(
        &self,
        py: Python<'_>,
        key: Key,
        default: Option<Py<PyAny>>,
    ) -> PyResult<Option<Py<PyAny>>> {
        match self.find(&key)? {
            Some(value) => Ok(Some(PyString::new(py, &value).into_any().unbind())),
            None => Ok(default),
        }
    }

    /// Takes an entry out. One that is missing reads as empty text, as everywhere.
    #[pyo3(signature = (key, _default = None))]
    fn pop(&mut self, key: Key, _default: Option<Py<PyAny>>) -> PyResult<String> {
        let own = self.key(&key);
        Ok(self.reshaped()?.shift_remove(&own).unwrap_or_default())
    }

    fn popitem(&mut self) -> PyResult<(String, String)> {
        let first = self.reshaped()?.shift_remove_index(0);
        first.ok_or_else(|| PyKeyError::new_err("the map is empty"))
    }

    fn setdefault(&mut self, key: Key, default: &Bound<'_, PyAny>) -> PyResult<String> {
        self.touched = true;
        if let Some(value) = self.find(&key)? {
            return Ok(value.into_owned());
        }
        if default.is_none() {
            return Err(PyValueError::new_err("the value of a map is not None"));
        }
        let value = convert::text(default)?;
        self.put(&key, Some(&value))?;
        Ok(value)
    }

    fn clear(&mut self) -> PyResult<()> {
        self.reshaped()?.clear();
        Ok(())
    }

    #[pyo3(signature = (other = None, **more))]
    fn update(
        slf: &Bound<'_, Self>,
        other: Option<&Bound<'_, PyAny>>,
        more: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        slf.try_borrow_mut()?.touched = true;
        // Reading a foreign mapping runs plugin code, so the map is not borrowed meanwhile.
        for source in [other, more.map(|more| more.as_any())]
            .into_iter()
            .flatten()
        {
            convert::each_pair(source, |key, value| {
                slf.try_borrow_mut()?.__setitem__(key, value)
            })?;
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

/// The keys of a map, one after the other, as long as none comes or goes.
#[pyclass(module = "_tyk_native")]
pub(crate) struct Keys {
    map: Py<PyAny>,
    keys: Py<PyIterator>,
    seen: u32,
}

impl Keys {
    pub(super) fn new(
        map: &Bound<'_, PyAny>,
        keys: &Bound<'_, PyList>,
        seen: u32,
    ) -> PyResult<Self> {
        Ok(Self {
            map: map.clone().unbind(),
            keys: keys.try_iter()?.unbind(),
            seen,
        })
    }
}

#[pymethods]
impl Keys {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let map = self.map.bind(py);
        let reshaped = match map.cast::<StringMapView>() {
            Ok(map) => map.try_borrow()?.reshaped,
            Err(_) => map.cast::<MessageMap>()?.try_borrow()?.reshaped(),
        };
        if reshaped != self.seen {
            return Err(PyRuntimeError::new_err("Map modified during iteration."));
        }
        self.keys.bind(py).clone().next().transpose()
    }
}

/// A view on a map, as those of other mappings.
pub(super) fn view<'py>(map: &Bound<'py, PyAny>, class: &str) -> PyResult<Bound<'py, PyAny>> {
    let views = map.py().import(intern!(map.py(), "collections.abc"))?;
    views.call_method1(class, (map,))
}
