//! How a record comes out of its message, and what becomes of the message then.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::{Message, State};
use crate::objects::map::StringMapView;
use crate::objects::record::Record;
use crate::objects::repeated::RepeatedScalar;
use crate::objects::{convert, gone};

/// Takes the record out of a message, with what its parts have become. The message and its
/// parts are empty afterwards. Nothing comes of a message that was unset and not changed.
pub(crate) fn reclaim(message: &Bound<'_, Message>) -> PyResult<Option<Record>> {
    let mut this = message.try_borrow_mut()?;
    let state = std::mem::replace(&mut this.state, State::Gone);
    if this.children.is_empty() {
        return match state {
            State::Gone => Err(gone()),
            State::Unset(_) => Ok(None),
            State::Held(record) => Ok(Some(record)),
        };
    }
    let unused = std::mem::take(&mut this.spare);
    let children = std::mem::replace(&mut this.children, unused);
    this.children.clear();
    drop(this);
    let py = message.py();
    let record = match state {
        State::Gone => return Err(gone()),
        State::Unset(class) if any_touched(&children, py)? => Some(class.empty()),
        State::Unset(_) => None,
        State::Held(record) => Some(record),
    };
    let record = match record {
        Some(record) => {
            let children = children.iter();
            let children = children.map(|(number, child)| (*number, child.bind(py)));
            Some(with_parts(record, children, false)?)
        }
        None => {
            empty(&children, py);
            None
        }
    };
    message.try_borrow_mut()?.spare = children;
    Ok(record)
}

/// Whether a part that is a map or a list was changed.
pub(super) fn any_touched(children: &[(u8, Py<PyAny>)], py: Python<'_>) -> PyResult<bool> {
    for (_, child) in children {
        let child = child.bind(py);
        let touched = match child.cast::<StringMapView>() {
            Ok(map) => map.try_borrow()?.touched(),
            Err(_) => child.cast::<RepeatedScalar>()?.try_borrow()?.touched(),
        };
        if touched {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Empties a message and its parts for good, if that was not done already.
pub(crate) fn forget(message: &Bound<'_, Message>) {
    // Somebody who is in the middle of using it finds out at the next use.
    let Ok(mut this) = message.try_borrow_mut() else {
        return;
    };
    if matches!(this.state, State::Gone) && this.children.is_empty() {
        return;
    }
    let before = std::mem::replace(&mut this.state, State::Gone);
    let children = std::mem::take(&mut this.children);
    drop(this);
    drop(before);
    empty(&children, message.py());
}

fn empty(children: &[(u8, Py<PyAny>)], py: Python<'_>) {
    for (_, child) in children {
        // One that cannot be emptied does not keep the others from it.
        let _ = convert::content(child.bind(py), false);
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
