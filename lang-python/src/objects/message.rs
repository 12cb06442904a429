//! The base of all message classes.

mod ends;

use coprocess_core::StringMap;
use pyo3::exceptions::{PyAttributeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple, PyType};

use super::field::Field;
use super::map::StringMapView;
use super::record::{Class, FieldInfo, Kind, Record, Value};
use super::{classes, convert, gone, text, wire};
use crate::interpreter;

use ends::any_touched;
pub(crate) use ends::{forget, reclaim, snapshot};

/// A message: a record, and the Python objects that its parts have become.
#[pyclass(subclass, module = "_tyk_native")]
pub(crate) struct Message {
    state: State,
    children: Vec<(u8, Py<PyAny>)>,
    /// Parts of what the message held before, empty now, for use once more.
    spare: Vec<(u8, Py<PyAny>)>,
    /// Whether its parent has it. A part that is only looked at is not there.
    present: bool,
}

#[expect(
    clippy::large_enum_variant,
    reason = "it is part of an object on Python's heap, and most of them are held"
)]
enum State {
    /// The hook that received the message has ended.
    Gone,
    /// Nothing was there, and nobody has looked yet.
    Unset(Class),
    Held(Record),
}

impl Message {
    pub(crate) fn new(record: Record) -> Self {
        Self::part(record, true)
    }

    pub(crate) fn part(record: Record, present: bool) -> Self {
        Self {
            state: State::Held(record),
            children: Vec::new(),
            spare: Vec::new(),
            present,
        }
    }

    /// A message that becomes an empty one when somebody looks.
    pub(crate) fn unset(class: Class) -> Self {
        Self {
            state: State::Unset(class),
            children: Vec::new(),
            spare: Vec::new(),
            present: true,
        }
    }

    /// Holds something else, after it was emptied.
    pub(crate) fn renew(&mut self, other: Self) {
        self.state = other.state;
        self.present = other.present;
        self.children.clear();
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

    /// The content of a part that is to become a Python object. One that is not there yet
    /// need not be for an empty map.
    fn lend(&mut self, info: &FieldInfo) -> PyResult<Value> {
        match (&self.state, info.kind) {
            (State::Unset(_), Kind::Map) => Ok(Value::Map(StringMap::new())),
            _ => Ok(self.record()?.lend(info.number)),
        }
    }

    /// A Python object that a part was before, if nobody else has it.
    fn take_spare(&mut self, py: Python<'_>, number: u8) -> Option<Py<PyAny>> {
        let mut spare = self.spare.iter();
        let at = spare.position(|(other, _)| *other == number)?;
        let (_, child) = self.spare.swap_remove(at);
        (!interpreter::is_shared(child.bind(py))).then_some(child)
    }

    /// Whether a part that is a map was looked at and changed.
    pub(crate) fn child_is_touched(&self, py: Python<'_>, number: u8) -> PyResult<bool> {
        match self.child(number) {
            Some(child) => Ok(child
                .bind(py)
                .cast::<StringMapView>()?
                .try_borrow()?
                .touched()),
            None => Ok(false),
        }
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
    if info.kind.is_scalar() {
        let value = this.record()?.take(info.number);
        return convert::scalar(py, value);
    }
    let value = this.lend(info)?;
    let child = match this.take_spare(py, info.number) {
        Some(spare) => convert::renewed(spare.into_bound(py), info.kind, value)?,
        None => convert::child(py, info.kind, value)?,
    };
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
    message.try_borrow_mut()?.present = true;
    let value = convert::from_python(info, value)?;
    let mut this = message.try_borrow_mut()?;
    this.record()?
        .put(info.number, value)
        .map_err(PyValueError::new_err)
}

/// Whether the message is there in its parent.
pub(crate) fn is_present(message: &Bound<'_, Message>) -> PyResult<bool> {
    let this = message.try_borrow()?;
    if this.present {
        return Ok(true);
    }
    any_touched(&this.children, message.py())
}

/// The record of what a plugin gives for a message: one of these, or one that the
/// `protobuf` package made.
pub(crate) fn given(value: &Bound<'_, PyAny>) -> PyResult<Record> {
    if let Ok(message) = value.cast::<Message>() {
        return snapshot(message);
    }
    let class = foreign(value).ok_or_else(|| {
        let found = value.get_type().name();
        let found = found.map_or_else(|_| "an object".to_owned(), |name| name.to_string());
        PyTypeError::new_err(format!("parameter must be a message, got {found}"))
    })?;
    let bytes = value.call_method0(intern!(value.py(), "SerializePartialToString"))?;
    wire::decode(class, bytes.cast::<PyBytes>()?.as_bytes())
        .map_err(|error| PyValueError::new_err(error.to_string()))
}

/// The class of a message that the `protobuf` package made, by its name on the wire.
pub(crate) fn foreign(value: &Bound<'_, PyAny>) -> Option<Class> {
    let py = value.py();
    if value.is_instance_of::<PyType>() {
        return None;
    }
    let descriptor = value.getattr(intern!(py, "DESCRIPTOR")).ok()?;
    let name = descriptor.getattr(intern!(py, "full_name")).ok()?;
    let name = name.cast::<PyString>().ok()?.to_str().ok()?.to_owned();
    Class::by_name(name.strip_prefix("coprocess.")?)
}

/// Merges a record into a message: values replace, lists grow, maps take over entries.
pub(crate) fn merge(message: &Bound<'_, Message>, mut from: Record) -> PyResult<()> {
    let class = message.try_borrow_mut()?.class()?;
    same_class(class, &from)?;
    message.try_borrow_mut()?.present = true;
    for info in class.fields() {
        let value = from.take(info.number);
        if value.is_default() {
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

fn same_class(class: Class, record: &Record) -> PyResult<()> {
    if class == record.class() {
        return Ok(());
    }
    Err(PyTypeError::new_err(format!(
        "parameter must be an instance of {}, got {}",
        class.name(),
        record.class().name()
    )))
}

/// Sets fields from keyword arguments, as protobuf's constructors do.
pub(crate) fn set_all(message: &Bound<'_, Message>, fields: &Bound<'_, PyDict>) -> PyResult<()> {
    let class = message.try_borrow_mut()?.class()?;
    for (name, value) in fields.iter() {
        let info = field_of(class, &name)?;
        if value.is_none() {
            continue;
        }
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
    fn copy_from(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        if slf.is(other) {
            return Ok(());
        }
        let from = given(other)?;
        same_class(slf.try_borrow_mut()?.class()?, &from)?;
        Self::clear(slf)?;
        merge(slf, from)
    }

    /// Merges the fields of `other` that hold something.
    #[pyo3(name = "MergeFrom")]
    fn merge_from(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<()> {
        merge(slf, given(other)?)
    }

    /// Empties all fields.
    #[pyo3(name = "Clear")]
    fn clear(slf: &Bound<'_, Self>) -> PyResult<()> {
        let mut this = slf.try_borrow_mut()?;
        let empty = this.class()?.empty();
        this.state = State::Held(empty);
        this.present = true;
        let detached = std::mem::take(&mut this.children);
        drop(this);
        drop(detached);
        Ok(())
    }

    /// Empties one field.
    #[pyo3(name = "ClearField")]
    fn clear_field(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut this = slf.try_borrow_mut()?;
        this.present = true;
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
            Value::Message(_, present) => Ok(present),
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
            if !record.take(info.number).is_default() {
                list.append((Field { info }, get(slf, info)?))?;
            }
        }
        Ok(list)
    }

    /// Makes the message be there in its parent, also when it holds nothing.
    #[pyo3(name = "SetInParent")]
    fn set_in_parent(&mut self) {
        self.present = true;
    }

    #[pyo3(name = "IsInitialized")]
    fn is_initialized(&self) -> bool {
        true
    }

    #[pyo3(name = "FindInitializationErrors")]
    fn find_initialization_errors(&self) -> Vec<String> {
        Vec::new()
    }

    #[pyo3(name = "WhichOneof")]
    fn which_oneof(slf: &Bound<'_, Self>, name: &str) -> PyResult<()> {
        let class = slf.try_borrow_mut()?.class()?;
        Err(PyValueError::new_err(format!(
            "protocol message {} has no oneof \"{name}\" field",
            class.name()
        )))
    }

    /// The message in protobuf's wire format.
    #[pyo3(name = "SerializeToString", signature = (**_options))]
    fn serialize<'py>(
        slf: &Bound<'py, Self>,
        _options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(slf.py(), &wire::encode(snapshot(slf)?)))
    }

    #[pyo3(name = "SerializePartialToString", signature = (**options))]
    fn serialize_partial<'py>(
        slf: &Bound<'py, Self>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        Self::serialize(slf, options)
    }

    #[pyo3(name = "ByteSize")]
    fn byte_size(slf: &Bound<'_, Self>) -> PyResult<usize> {
        Ok(wire::encode(snapshot(slf)?).len())
    }

    /// Replaces all fields by those that are read; how many bytes were.
    #[pyo3(name = "ParseFromString")]
    fn parse(slf: &Bound<'_, Self>, bytes: PyBackedBytes) -> PyResult<usize> {
        Self::clear(slf)?;
        Self::merge_bytes(slf, bytes)
    }

    /// Merges the fields that are read; how many bytes were.
    #[pyo3(name = "MergeFromString")]
    fn merge_bytes(slf: &Bound<'_, Self>, bytes: PyBackedBytes) -> PyResult<usize> {
        let class = slf.try_borrow_mut()?.class()?;
        let record = wire::decode(class, &bytes).map_err(|error| decode_error(slf.py(), &error))?;
        merge(slf, record)?;
        Ok(bytes.len())
    }

    #[classmethod]
    #[pyo3(name = "FromString")]
    fn from_string<'py>(
        class: &Bound<'py, PyType>,
        bytes: PyBackedBytes,
    ) -> PyResult<Bound<'py, PyAny>> {
        let made = class.call0()?;
        Self::merge_bytes(made.cast::<Self>()?, bytes)?;
        Ok(made)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let read = slf.get_type().getattr("FromString")?;
        (read, (Self::serialize(slf, None)?,)).into_pyobject(slf.py())
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

fn decode_error(py: Python<'_>, error: &wire::Malformed) -> PyErr {
    let class = py
        .import("_tyk_wire")
        .and_then(|wire| wire.call_method0("decode_error"));
    match class.map(Bound::cast_into::<PyType>) {
        Ok(Ok(class)) => PyErr::from_type(class, error.to_string()),
        _ => PyValueError::new_err(error.to_string()),
    }
}
