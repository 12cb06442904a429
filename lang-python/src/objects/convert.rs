//! Field contents on their way into Python and out of it.

use bytes::Bytes;
use coprocess_core::StringMap;
use pyo3::Borrowed;
use pyo3::exceptions::{
    PyOverflowError, PyTypeError, PyUnicodeDecodeError, PyUnicodeError, PyValueError,
};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyString};

use super::classes;
use super::map::StringMapView;
use super::message::{self, Message};
use super::message_map::MessageMap;
use super::record::{FieldInfo, Kind, Value};
use super::repeated::{RepeatedMessage, RepeatedScalar, Scalars};

/// A single value as a Python object.
pub(crate) fn scalar(py: Python<'_>, value: Value) -> PyResult<Py<PyAny>> {
    Ok(match value {
        Value::Text(text) => PyString::new(py, &text).into_any().unbind(),
        Value::Bytes(bytes) => PyBytes::new(py, &bytes).into_any().unbind(),
        Value::Int(number) => number.into_pyobject(py)?.into_any().unbind(),
        Value::Float(number) => number.into_pyobject(py)?.into_any().unbind(),
        Value::Bool(flag) => PyBool::new(py, flag).to_owned().into_any().unbind(),
        _ => unreachable!("only scalar kinds get here"),
    })
}

/// A part with parts of its own as a Python object.
pub(crate) fn child(py: Python<'_>, kind: Kind, value: Value) -> PyResult<Py<PyAny>> {
    Ok(match value {
        Value::Map(_) | Value::Edited(_) => Py::new(py, map_view(kind, value))?.into_any(),
        Value::Strings(items) => {
            Py::new(py, RepeatedScalar::new(Scalars::Texts(items)))?.into_any()
        }
        Value::Doubles(items) => {
            Py::new(py, RepeatedScalar::new(Scalars::Floats(items)))?.into_any()
        }
        Value::Message(record, present) => classes::wrap_part(py, record, present)?,
        Value::Messages(records) => {
            let (Kind::Messages(class) | Kind::MessageMap(class) | Kind::Message(class)) = kind
            else {
                unreachable!("a list of messages has a message kind");
            };
            Py::new(py, RepeatedMessage::wrap(py, class, records)?)?.into_any()
        }
        Value::MessageMap(entries) => {
            let (Kind::Messages(class) | Kind::MessageMap(class) | Kind::Message(class)) = kind
            else {
                unreachable!("a map of messages has a message kind");
            };
            Py::new(py, MessageMap::wrap(py, class, entries)?)?.into_any()
        }
        _ => unreachable!("scalar kinds have no object of their own"),
    })
}

/// A part as the Python object that was emptied before, where that can hold something else.
pub(crate) fn renewed(spare: Bound<'_, PyAny>, kind: Kind, value: Value) -> PyResult<Py<PyAny>> {
    let py = spare.py();
    match value {
        Value::Map(_) | Value::Edited(_) => {
            let view = spare.cast_into::<StringMapView>()?;
            view.try_borrow_mut()?.renew(map_view(kind, value));
            Ok(view.into_any().unbind())
        }
        Value::Message(record, present) => {
            let message = spare.cast_into::<Message>()?;
            let other = Message::part(record, present);
            message.try_borrow_mut()?.renew(other);
            Ok(message.into_any().unbind())
        }
        value => child(py, kind, value),
    }
}

fn map_view(kind: Kind, value: Value) -> StringMapView {
    match (value, kind) {
        (Value::Edited(headers), _) => StringMapView::of_edited(headers),
        (Value::Map(map), Kind::Headers) => StringMapView::of_headers(map),
        (Value::Map(map), _) => StringMapView::new(map),
        _ => unreachable!("only maps get here"),
    }
}

/// The content of a part that is a Python object: a copy when `keep`, else taken out.
pub(crate) fn content(child: &Bound<'_, PyAny>, keep: bool) -> PyResult<Value> {
    if let Ok(map) = child.cast::<StringMapView>() {
        let mut map = map.try_borrow_mut()?;
        return match keep {
            true => map.content(true).map(Value::Map),
            false => map.take_out(),
        };
    }
    if let Ok(list) = child.cast::<RepeatedScalar>() {
        return Ok(match list.try_borrow_mut()?.content(keep)? {
            Scalars::Texts(items) => Value::Strings(items),
            Scalars::Floats(items) => Value::Doubles(items),
        });
    }
    if let Ok(message) = child.cast::<Message>() {
        let present = message::is_present(message)?;
        let record = if keep {
            Some(message::snapshot(message)?)
        } else {
            message::reclaim(message)?
        };
        let record = record.ok_or_else(super::gone)?;
        return Ok(Value::Message(record, present));
    }
    if let Ok(list) = child.cast::<RepeatedMessage>() {
        return RepeatedMessage::content(list, keep).map(Value::Messages);
    }
    MessageMap::content(child.cast::<MessageMap>()?, keep).map(Value::MessageMap)
}

/// Merges content into a part that is a Python object.
pub(crate) fn merge_child(child: &Bound<'_, PyAny>, value: Value) -> PyResult<()> {
    match value {
        Value::Map(map) => {
            let view = child.cast::<StringMapView>()?;
            view.try_borrow_mut()?.merge(map)?;
        }
        Value::Edited(headers) => merge_child(child, Value::Map(headers.to_map()))?,
        Value::Strings(items) => {
            let list = child.cast::<RepeatedScalar>()?;
            list.try_borrow_mut()?.extend(Scalars::Texts(items))?;
        }
        Value::Doubles(items) => {
            let list = child.cast::<RepeatedScalar>()?;
            list.try_borrow_mut()?.extend(Scalars::Floats(items))?;
        }
        Value::Message(record, _) => message::merge(child.cast::<Message>()?, record)?,
        Value::Messages(records) => {
            RepeatedMessage::extend_records(child.cast::<RepeatedMessage>()?, records)?;
        }
        Value::MessageMap(entries) => {
            MessageMap::replace_entries(child.cast::<MessageMap>()?, entries)?;
        }
        _ => unreachable!("scalar kinds have no object of their own"),
    }
    Ok(())
}

/// Fills a part from what a constructor's keyword argument gives: a message of the same
/// kind, a dictionary or an iterable.
pub(crate) fn fill_child(child: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    if value.is_none() {
        return Ok(());
    }
    if child.cast::<StringMapView>().is_ok() {
        return child.call_method1("update", (value,)).map(drop);
    }
    if let Ok(message) = child.cast::<Message>() {
        return match value.cast::<PyDict>() {
            Ok(fields) => message::set_all(message, fields),
            Err(_) => message::merge(message, message::given(value)?),
        };
    }
    if child.cast::<MessageMap>().is_ok() {
        return child.call_method1("MergeFrom", (value,)).map(drop);
    }
    child.call_method1("extend", (value,)).map(drop)
}

/// Checks a value as protobuf does for a field of that kind.
pub(crate) fn from_python(info: &FieldInfo, value: &Bound<'_, PyAny>) -> PyResult<Value> {
    let checked = match info.kind {
        Kind::Text => text(value).map(Value::Text),
        Kind::Bytes => bytes(value).map(Value::Bytes),
        Kind::Int32 | Kind::Int64 if value.is_instance_of::<PyBool>() => {
            Err(wrong_type(value, "int"))
        }
        Kind::Int32 => integer(value).and_then(|number| match i32::try_from(number) {
            Ok(_) => Ok(Value::Int(number)),
            Err(_) => Err(PyValueError::new_err(format!(
                "value out of range: {number}"
            ))),
        }),
        Kind::Int64 => integer(value).map(Value::Int),
        Kind::Float => float(value).map(Value::Float),
        Kind::Bool => boolean(value).map(Value::Bool),
        _ => unreachable!("only scalar fields are assigned"),
    };
    checked.map_err(|error| {
        let py = value.py();
        // They are not made of a text.
        if error.is_instance_of::<PyUnicodeError>(py) {
            return error;
        }
        let message = format!("field \"{}\": {}", info.name, error.value(py));
        PyErr::from_type(error.get_type(py), message)
    })
}

/// Text: `str`, or `bytes` that are UTF-8.
pub(crate) fn text(value: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(text) = value.cast::<PyString>() {
        return text.to_str().map(str::to_owned);
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return match std::str::from_utf8(bytes.as_bytes()) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => {
                let error = PyUnicodeDecodeError::new_utf8(value.py(), bytes.as_bytes(), error)?;
                Err(PyErr::from_value(error.into_any()))
            }
        };
    }
    Err(wrong_type(value, "str"))
}

/// A key of a map, as `text` takes it, but not copied.
pub(crate) struct Key(PyBackedStr);

impl std::ops::Deref for Key {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'py> FromPyObject<'_, 'py> for Key {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let text = match value.cast::<PyString>() {
            Ok(text) => text.to_owned(),
            Err(_) => PyString::new(value.py(), &text(&value)?),
        };
        PyBackedStr::try_from(text).map(Self)
    }
}

fn bytes(value: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    match value.cast::<PyBytes>() {
        Ok(bytes) => Ok(Bytes::copy_from_slice(bytes.as_bytes())),
        Err(_) => Err(wrong_type(value, "bytes")),
    }
}

fn integer(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    if value.is_instance_of::<PyFloat>() || !value.hasattr("__index__")? {
        return Err(wrong_type(value, "int"));
    }
    value
        .extract::<i64>()
        .map_err(|_| PyValueError::new_err("value out of range"))
}

/// A number; texts that look like one are refused.
pub(crate) fn float(value: &Bound<'_, PyAny>) -> PyResult<f64> {
    value.extract::<f64>().map_err(|error| {
        if error.is_instance_of::<PyOverflowError>(value.py()) {
            return error;
        }
        wrong_type(value, "int, float")
    })
}

fn boolean(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    if let Ok(flag) = value.cast::<PyBool>() {
        return Ok(flag.is_true());
    }
    match integer(value) {
        Ok(number) => Ok(number != 0),
        Err(error) if error.is_instance_of::<PyValueError>(value.py()) => {
            Err(PyOverflowError::new_err("value out of range"))
        }
        Err(_) => Err(wrong_type(value, "bool, int")),
    }
}

fn wrong_type(value: &Bound<'_, PyAny>, expected: &str) -> PyErr {
    let found = value
        .get_type()
        .name()
        .map_or_else(|_| "an object".to_owned(), |name| name.to_string());
    PyTypeError::new_err(format!("got {found}, expected one of: {expected}"))
}

/// A map from a dictionary, a map of ours or an iterable of pairs.
pub(crate) fn string_map(value: &Bound<'_, PyAny>) -> PyResult<StringMap> {
    if let Ok(view) = value.cast::<StringMapView>() {
        return view.try_borrow_mut()?.content(true);
    }
    let mut map = StringMap::new();
    each_pair(value, |key, content| {
        map.insert(text(key)?, text(content)?);
        Ok(())
    })?;
    Ok(map)
}

/// Goes through the entries of a mapping or of an iterable of pairs.
pub(crate) fn each_pair<'py>(
    value: &Bound<'py, PyAny>,
    mut act: impl FnMut(&Bound<'py, PyAny>, &Bound<'py, PyAny>) -> PyResult<()>,
) -> PyResult<()> {
    let pairs = if value.hasattr("items")? {
        value.call_method0("items")?
    } else {
        value.clone()
    };
    for pair in pairs.try_iter()? {
        let (key, content): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair?.extract()?;
        act(&key, &content)?;
    }
    Ok(())
}
