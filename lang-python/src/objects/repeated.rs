//! Repeated fields: of texts or numbers, and of messages.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList, PyTuple};

use super::message::{self, Message};
use super::record::{Class, Record};
use super::{classes, convert, gone};

/// The items of a repeated field of single values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalars {
    Texts(Vec<String>),
    Floats(Vec<f64>),
}

/// A repeated field of texts or of numbers.
#[pyclass(module = "_tyk_native", sequence)]
pub(crate) struct RepeatedScalar {
    items: Option<Scalars>,
    /// It was changed, if only to be as before.
    touched: bool,
}

impl RepeatedScalar {
    pub(crate) fn new(items: Scalars) -> Self {
        Self {
            items: Some(items),
            touched: false,
        }
    }

    pub(crate) fn touched(&self) -> bool {
        self.touched
    }

    /// The items: copies when `keep`, else taken out, and the list is empty afterwards.
    pub(crate) fn content(&mut self, keep: bool) -> PyResult<Scalars> {
        let items = if keep {
            self.items.clone()
        } else {
            self.items.take()
        };
        items.ok_or_else(gone)
    }

    pub(crate) fn extend(&mut self, more: Scalars) -> PyResult<()> {
        self.touched = true;
        match (self.items.as_mut().ok_or_else(gone)?, more) {
            (Scalars::Texts(items), Scalars::Texts(more)) => items.extend(more),
            (Scalars::Floats(items), Scalars::Floats(more)) => items.extend(more),
            _ => return Err(PyTypeError::new_err("lists are of different types")),
        }
        Ok(())
    }

    fn list<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        match self.items.as_ref().ok_or_else(gone)? {
            Scalars::Texts(items) => PyList::new(py, items),
            Scalars::Floats(items) => PyList::new(py, items),
        }
    }

    /// Lets a Python list do a change, and takes the items over when their types are right.
    fn change<'py, R>(
        slf: &Bound<'py, Self>,
        change: impl FnOnce(&Bound<'py, PyList>) -> PyResult<R>,
    ) -> PyResult<R> {
        slf.try_borrow_mut()?.touched = true;
        Self::reorder(slf, change)
    }

    /// A change that leaves an empty list as it is.
    fn reorder<'py, R>(
        slf: &Bound<'py, Self>,
        change: impl FnOnce(&Bound<'py, PyList>) -> PyResult<R>,
    ) -> PyResult<R> {
        let list = slf.try_borrow()?.list(slf.py())?;
        let result = change(&list)?;
        let texts = matches!(slf.try_borrow()?.items, Some(Scalars::Texts(_)));
        let items = if texts {
            let items: PyResult<_> = list.iter().map(|item| convert::text(&item)).collect();
            Scalars::Texts(items?)
        } else {
            let items: PyResult<_> = list.iter().map(|item| convert::float(&item)).collect();
            Scalars::Floats(items?)
        };
        let mut this = slf.try_borrow_mut()?;
        *this.items.as_mut().ok_or_else(gone)? = items;
        Ok(result)
    }

    /// A change that a method of `list` does.
    fn change_by<'py>(
        slf: &Bound<'py, Self>,
        method: &str,
        args: &Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::change(slf, |list| list.call_method1(method, args))
    }
}

#[pymethods]
impl RepeatedScalar {
    fn append(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::change(slf, |list| list.append(value))
    }

    fn extend_from(slf: &Bound<'_, Self>, values: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::change(slf, |list| list.call_method1("extend", (values,)).map(drop))
    }

    #[pyo3(name = "extend")]
    fn extend_py(slf: &Bound<'_, Self>, values: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::extend_from(slf, values)
    }

    #[pyo3(name = "MergeFrom")]
    fn merge_from(slf: &Bound<'_, Self>, values: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::extend_from(slf, values)
    }

    fn __iadd__(slf: &Bound<'_, Self>, values: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::extend_from(slf, values)
    }

    #[pyo3(signature = (*args))]
    fn insert<'py>(slf: &Bound<'py, Self>, args: &Bound<'py, PyTuple>) -> PyResult<()> {
        Self::change_by(slf, "insert", args).map(drop)
    }

    #[pyo3(signature = (*args))]
    fn remove<'py>(slf: &Bound<'py, Self>, args: &Bound<'py, PyTuple>) -> PyResult<()> {
        Self::change_by(slf, "remove", args).map(drop)
    }

    #[pyo3(signature = (*args))]
    fn pop<'py>(slf: &Bound<'py, Self>, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        Self::change_by(slf, "pop", args)
    }

    #[pyo3(signature = (*args, **options))]
    fn sort<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<()> {
        Self::reorder(slf, |list| {
            list.call_method("sort", args, options).map(drop)
        })
    }

    fn reverse(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::change(slf, |list| list.reverse())
    }

    fn clear(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::reorder(slf, |list| list.call_method0("clear").map(drop))
    }

    fn __setitem__(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        Self::change(slf, |list| list.as_any().set_item(key, value))
    }

    fn __delitem__(slf: &Bound<'_, Self>, key: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::change(slf, |list| list.as_any().del_item(key))
    }

    fn __getitem__<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.list(key.py())?.as_any().get_item(key)
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(match self.items.as_ref().ok_or_else(gone)? {
            Scalars::Texts(items) => items.len(),
            Scalars::Floats(items) => items.len(),
        })
    }

    fn __contains__(&self, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.list(value.py())?.contains(value)
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.list(py)?.try_iter()
    }

    fn index(&self, value: &Bound<'_, PyAny>) -> PyResult<usize> {
        self.list(value.py())?.index(value)
    }

    fn count<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.list(value.py())?.call_method1("count", (value,))
    }

    fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        let own = slf.try_borrow()?.list(slf.py())?;
        match other.cast::<Self>() {
            Ok(other) => own.eq(other.try_borrow()?.list(slf.py())?),
            Err(_) => own.eq(other),
        }
    }

    fn __deepcopy__(&mut self, _memo: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self::new(self.content(true)?))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        match self.items {
            None => Ok("<list of a hook that has ended>".to_owned()),
            Some(_) => Ok(self.list(py)?.repr()?.to_string()),
        }
    }
}

/// A repeated field of messages.
#[pyclass(module = "_tyk_native", sequence)]
pub(crate) struct RepeatedMessage {
    class: Class,
    items: Option<Vec<Py<PyAny>>>,
}

impl RepeatedMessage {
    pub(crate) fn wrap(py: Python<'_>, class: Class, records: Vec<Record>) -> PyResult<Self> {
        let items: PyResult<_> = records
            .into_iter()
            .map(|record| classes::wrap(py, record))
            .collect();
        Ok(Self {
            class,
            items: Some(items?),
        })
    }

    /// The items: copies when `keep`, else taken out, and the list is empty afterwards.
    pub(crate) fn content(list: &Bound<'_, Self>, keep: bool) -> PyResult<Vec<Record>> {
        let py = list.py();
        let items: Vec<Py<PyAny>> = {
            let mut this = list.try_borrow_mut()?;
            if keep {
                let items = this.items()?.iter();
                items.map(|item| item.clone_ref(py)).collect()
            } else {
                this.items.take().ok_or_else(gone)?
            }
        };
        let mut records = Vec::with_capacity(items.len());
        for item in &items {
            let item = item.bind(py).cast::<Message>()?;
            records.extend(if keep {
                Some(message::snapshot(item)?)
            } else {
                message::reclaim(item)?
            });
        }
        Ok(records)
    }

    /// Adds messages at the end.
    pub(crate) fn extend_records(list: &Bound<'_, Self>, records: Vec<Record>) -> PyResult<()> {
        for record in records {
            let class = list.try_borrow()?.class;
            if record.class() != class {
                return Err(PyTypeError::new_err(format!(
                    "expected a message of type {}, got {}",
                    class.name(),
                    record.class().name()
                )));
            }
            let item = classes::wrap(list.py(), record)?;
            list.try_borrow_mut()?.items()?.push(item);
        }
        Ok(())
    }

    fn items(&mut self) -> PyResult<&mut Vec<Py<PyAny>>> {
        self.items.as_mut().ok_or_else(gone)
    }

    fn list<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.items()?.iter().map(|item| item.clone_ref(py)))
    }

    /// Lets a Python list do a change that adds no items, and takes the result over.
    fn change<'py, R>(
        slf: &Bound<'py, Self>,
        change: impl FnOnce(&Bound<'py, PyList>) -> PyResult<R>,
    ) -> PyResult<R> {
        let list = slf.try_borrow_mut()?.list(slf.py())?;
        let result = change(&list)?;
        let items: Vec<_> = list.iter().map(Bound::unbind).collect();
        let before = std::mem::replace(slf.try_borrow_mut()?.items()?, items);
        drop(before);
        Ok(result)
    }
}

#[pymethods]
impl RepeatedMessage {
    /// Adds an empty message at the end, sets its fields, and returns it.
    #[pyo3(signature = (**fields))]
    fn add(slf: &Bound<'_, Self>, fields: Option<&Bound<'_, PyDict>>) -> PyResult<Py<PyAny>> {
        let item = classes::wrap(slf.py(), slf.try_borrow()?.class.empty())?;
        if let Some(fields) = fields {
            message::set_all(item.bind(slf.py()).cast::<Message>()?, fields)?;
        }
        let mut this = slf.try_borrow_mut()?;
        this.items()?.push(item.clone_ref(slf.py()));
        Ok(item)
    }

    /// Adds a copy of a message at the end, and returns the copy.
    fn append<'py>(
        slf: &Bound<'py, Self>,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::extend_records(slf, vec![message::given(value)?])?;
        slf.as_any().get_item(-1)
    }

    /// Puts a copy of a message before the one at `index`.
    fn insert(slf: &Bound<'_, Self>, index: isize, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let copy = Self::append(slf, value)?;
        Self::change(slf, |list| {
            list.del_item(list.len() - 1)?;
            list.call_method1("insert", (index, copy)).map(drop)
        })
    }

    fn extend(slf: &Bound<'_, Self>, values: &Bound<'_, PyAny>) -> PyResult<()> {
        for value in values.try_iter()? {
            Self::append(slf, &value?)?;
        }
        Ok(())
    }

    #[pyo3(name = "MergeFrom")]
    fn merge_from(slf: &Bound<'_, Self>, values: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::extend(slf, values)
    }

    #[pyo3(signature = (*args))]
    fn pop<'py>(slf: &Bound<'py, Self>, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        Self::change(slf, |list| list.call_method1("pop", args))
    }

    fn remove(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::change(slf, |list| list.call_method1("remove", (value,)).map(drop))
    }

    #[pyo3(signature = (**options))]
    fn sort<'py>(slf: &Bound<'py, Self>, options: Option<&Bound<'py, PyDict>>) -> PyResult<()> {
        Self::change(slf, |list| list.call_method("sort", (), options).map(drop))
    }

    fn reverse(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::change(slf, |list| list.reverse())
    }

    fn clear(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::change(slf, |list| list.call_method0("clear").map(drop))
    }

    fn __setitem__(&self, _key: &Bound<'_, PyAny>, _value: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyTypeError::new_err(
            "a repeated field of messages does not support item assignment",
        ))
    }

    fn __delitem__(slf: &Bound<'_, Self>, key: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::change(slf, |list| list.as_any().del_item(key))
    }

    fn __getitem__<'py>(&mut self, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.list(key.py())?.as_any().get_item(key)
    }

    fn __len__(&mut self) -> PyResult<usize> {
        Ok(self.items()?.len())
    }

    fn __iter__<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.list(py)?.try_iter()
    }

    fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        let own = slf.try_borrow_mut()?.list(slf.py())?;
        match other.cast::<Self>() {
            Ok(other) if slf.is(other) => Ok(true),
            Ok(other) => own.eq(other.try_borrow_mut()?.list(slf.py())?),
            Err(_) => own.eq(other),
        }
    }

    fn __deepcopy__(slf: &Bound<'_, Self>, _memo: &Bound<'_, PyAny>) -> PyResult<Self> {
        let class = slf.try_borrow()?.class;
        Self::wrap(slf.py(), class, Self::content(slf, true)?)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        if slf.try_borrow()?.items.is_none() {
            return Ok("<list of a hook that has ended>".to_owned());
        }
        let list = slf.try_borrow_mut()?.list(slf.py())?;
        Ok(list.repr()?.to_string())
    }
}
