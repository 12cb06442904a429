//! The base of all message classes, and the descriptor that each of their fields is.

use pyo3::exceptions::{PyAttributeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use super::record::{Class, FieldInfo, Record, Value};
use super::{classes, convert, gone, text};

/// A message: a record, and the Python objects that its parts have become.
#[pyclass(subclass, module = "_tyk_native")]
pub(crate) struct Message {
    state: State,
    children: Vec<(u8, Py<PyAny>)>,
}

enum State {
    /// The hook that received the message has ended.
    Gone,
    /// Nothing was there, and nobody has looked yet.
    Unset(Class),
    Held(Record),
}

/// A field of a message class.
#[pyclass(frozen, module = "_tyk_native")]
pub(crate) struct Field {
    pub(crate) info: &'static FieldInfo,
}

impl Message {
    pub(crate) fn new(record: Record) -> Self {
        Self {
            state: State::Held(record),
            children: Vec::new(),
        }
    }

    /// A message that becomes an empty one when somebody looks.
    pub(crate) fn unset(class: Class) -> Self {
        Self {
            state: State::Unset(class),
            children: Vec::new(),
        }
    }

    /// The record, without the parts that are Python objects now.
    pub(crate) fn record(&mut self) -> PyResult<&mut Record> {
        if let State::Unset(class) = self.state {
            self.state = State::Held(class.empty());
        }
        match &mut self.state {
            State::Held(record) => Ok(record),
            State::Gone | State::Unset(_) => Err(gone()),
        }
    }

    /// The Python object that a part has become, if it was looked at.
    pub(crate) fn child(&self, number: u8) -> Option<&Py<PyAny>> {
        let found = self.children.iter().find(|(other, _)| *other == number)?;
        Some(&found.1)
    }

    fn class(&mut self) -> PyResult<Class> {
        Ok(self.record()?.class())
    }
}

/// Reads a field. A part with parts of its own becomes a Python object at the first read.
pub(crate) fn get(message: &Bound<'_, Message>, info: &FieldInfo) -> PyResult<Py<PyAny>> {
    let py = message.py();
    let mut this = message.try_borrow_mut()?;
    if let Some(child) = this.child(info.number) {
        return Ok(child.clone_ref(py));
    }
    let value = this.record()?.take(info.number);
    if info.kind.is_scalar() {
        return convert::scalar(py, value);
    }
    let child = convert::child(py, info.kind, value)?;
    this.children.push((info.number, child.clone_ref(py)));
    Ok(child)
}

/// Assigns a field that is one value.
pub(crate) fn set(
    message: &Bound<'_, Message>,
    info: &FieldInfo,
    value: &Bound<'_, PyAny>,
) -> PyResult<()> {
    if !info.kind.is_scalar() {
        return Err(PyAttributeError::new_err(format!(
            "assignment not allowed to message, map or repeated field \"{}\"",
            info.name
        )));
    }
    let value = convert::from_python(info, value)?;
    let mut this = message.try_borrow_mut()?;
    this.record()?
        .put(info.number, value)
        .map_err(PyValueError::new_err)
}

/// Takes the record out of a message, with what its parts have become. The message and its
/// parts are empty afterwards. Nothing comes of a message that was unset and not looked at.
pub(crate) fn reclaim(message: &Bound<'_, Message>) -> PyResult<Option<Record>> {
    let mut this = message.try_borrow_mut()?;
    let children = std::mem::take(&mut this.children);
    let record = match std::mem::replace(&mut this.state, State::Gone) {
        State::Gone => return Err(gone()),
        State::Unset(_) => return Ok(None),
        State::Held(record) => record,
    };
    drop(this);
    let children = children
        .iter()
        .map(|(number, child)| (*number, child.bind(message.py())));
    with_parts(record, children, false).map(Some)
}

/// Empties a message and its parts for good, if that was not done already.
pub(crate) fn forget(message: &Bound<'_, Message>) {
    // Somebody who is in the middle of using it finds out at the next use.
    let Ok(mut this) = message.try_borrow_mut() else {
        return;
    };
    let before = std::mem::replace(&mut this.state, State::Gone);
    let children = std::mem::take(&mut this.children);
    drop(this);
    drop(before);
    for (_, child) in children {
        // One that cannot be emptied does not keep the others from it.
        let _ = convert::content(child.bind(message.py()), false);
    }
}

/// A copy of a message's record.
pub(crate) fn snapshot(message: &Bound<'_, Message>) -> PyResult<Record> {
    let py = message.py();
    let mut this = message.try_borrow_mut()?;
    let record = this.record()?.clone();
    let children: Vec<_> = this
        .children
        .iter()
        .map(|(number, child)| (*number, child.clone_ref(py)))
        .collect();
    drop(this);
    let children = children
        .iter()
        .map(|(number, child)| (*number, child.bind(py)));
    with_parts(record, children, true)
}

fn with_parts<'a, 'py: 'a>(
    mut record: Record,
    children: impl Iterator<Item = (u8, &'a Bound<'py, PyAny>)>,
    keep: bool,
) -> PyResult<Record> {
    for (number, child) in children {
        let value = convert::content(child, keep)?;
        record.put(number, value).map_err(PyValueError::new_err)?;
    }
    Ok(record)
}

/// Merges a record into a message: values replace, lists grow, maps take over entries.
pub(crate) fn merge(message: &Bound<'_, Message>, mut from: Record) -> PyResult<()> {
    let class = message.try_borrow_mut()?.class()?;
    if class != from.class() {
        return Err(PyTypeError::new_err(format!(
            "parameter must be an instance of {}, got {}",
            class.name(),
            from.class().name()
        )));
    }
    for info in class.fields() {
        let value = from.take(info.number);
        if is_default(class, info, &value) {
            continue;
        }
        if info.kind.is_scalar() {
            let mut this = message.try_borrow_mut()?;
            let put = this.record()?.put(info.number, value);
            put.map_err(PyValueError::new_err)?;
        } else {
            let child = get(message, info)?;
            convert::merge_child(child.bind(message.py()), value)?;
        }
    }
    Ok(())
}

fn is_default(class: Class, info: &FieldInfo, value: &Value) -> bool {
    match value {
        Value::Message(record) => *record == record.class().empty(),
        _ => *value == class.empty().take(info.number),
    }
}

/// Sets fields from keyword arguments, as protobuf's constructors do.
pub(crate) fn set_all(message: &Bound<'_, Message>, fields: &Bound<'_, PyDict>) -> PyResult<()> {
    let class = message.try_borrow_mut()?.class()?;
    for (name, value) in fields.iter() {
        let info = field_of(class, &name)?;
        if info.kind.is_scalar() {
            set(message, info, &value)?;
        } else {
            let child = get(message, info)?;
            convert::fill_child(child.bind(message.py()), &value)?;
        }
    }
    Ok(())
}

fn field_of(class: Class, name: &Bound<'_, PyAny>) -> PyResult<&'static FieldInfo> {
    let name = name.cast::<PyString>()?.to_str()?;
    let found = class.fields().iter().find(|info| info.name == name);
    found.ok_or_else(|| {
        PyValueError::new_err(format!(
            "protocol message {} has no \"{name}\" field",
            class.name()
        ))
    })
}

#[pymethods]
impl Message {
    /// Replaces all fields by those of `other`.
    #[pyo3(name = "CopyFrom")]
    fn copy_from(slf: &Bound<'_, Self>, other: &Bound<'_, Message>) -> PyResult<()> {
        if slf.is(other) {
            return Ok(());
        }
        let from = snapshot(other)?;
        Self::clear(slf)?;
        merge(slf, from)
    }

    /// Merges the fields of `other` that hold something.
    #[pyo3(name = "MergeFrom")]
    fn merge_from(slf: &Bound<'_, Self>, other: &Bound<'_, Message>) -> PyResult<()> {
        merge(slf, snapshot(other)?)
    }

    /// Empties all fields.
    #[pyo3(name = "Clear")]
    fn clear(slf: &Bound<'_, Self>) -> PyResult<()> {
        let mut this = slf.try_borrow_mut()?;
        let empty = this.class()?.empty();
        this.state = State::Held(empty);
        let detached = std::mem::take(&mut this.children);
        drop(this);
        drop(detached);
        Ok(())
    }

    /// Empties one field.
    #[pyo3(name = "ClearField")]
    fn clear_field(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut this = slf.try_borrow_mut()?;
        let class = this.class()?;
        let info = field_of(class, name)?;
        this.children.retain(|(number, _)| *number != info.number);
        let value = class.empty().take(info.number);
        let put = this.record()?.put(info.number, value);
        put.map_err(PyValueError::new_err)
    }

    /// Whether a message field holds something.
    #[pyo3(name = "HasField")]
    fn has_field(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<bool> {
        let mut record = snapshot(slf)?;
        let info = field_of(record.class(), name)?;
        match record.take(info.number) {
            Value::Message(part) => Ok(part != part.class().empty()),
            _ => Err(PyValueError::new_err(format!(
                "field {} does not have presence",
                info.name
            ))),
        }
    }

    /// The fields that hold something, as pairs of descriptor and value.
    #[pyo3(name = "ListFields")]
    fn list_fields<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let mut record = snapshot(slf)?;
        let class = record.class();
        let list = PyList::empty(slf.py());
        for info in class.fields() {
            if !is_default(class, info, &record.take(info.number)) {
                list.append((Field { info }, get(slf, info)?))?;
            }
        }
        Ok(list)
    }

    /// There is nothing to do: fields are in their parent as soon as they hold something.
    #[pyo3(name = "SetInParent")]
    fn set_in_parent(&self) {}

    #[pyo3(name = "IsInitialized")]
    fn is_initialized(&self) -> bool {
        true
    }

    fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        match other.cast::<Message>() {
            Ok(other) => Ok(slf.is(other) || snapshot(slf)? == snapshot(other)?),
            Err(_) => Ok(false),
        }
    }

    fn __str__(slf: &Bound<'_, Self>) -> PyResult<String> {
        Ok(text::format(snapshot(slf)?))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        if matches!(slf.try_borrow()?.state, State::Gone) {
            return Ok("<message of a hook that has ended>".to_owned());
        }
        Self::__str__(slf)
    }

    fn __copy__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        classes::wrap(slf.py(), snapshot(slf)?)
    }

    fn __deepcopy__(slf: &Bound<'_, Self>, _memo: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        Self::__copy__(slf)
    }
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
}
