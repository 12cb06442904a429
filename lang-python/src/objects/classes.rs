//! The message classes that Python code sees, one for each message of the wire contract.

use coprocess_core::{Request, canonical_name};
use pyo3::PyClassInitializer;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::field::Field;
use super::map::StringMapView;
use super::message::{self, Message};
use super::message_map::MessageMap;
use super::record::{Class, Record};
use super::repeated::{RepeatedMessage, RepeatedScalar, Scalars};
use super::request::{ADD_PARAMS, DELETE_HEADERS, DELETE_PARAMS, SET_HEADERS};
use super::{convert, gone};

macro_rules! classes {
    ($($name:ident = $class:ident, $document:literal;)+) => {
        $(
            #[doc = $document]
            #[pyclass(extends = Message, module = "_tyk_native")]
            pub(crate) struct $name;

            impl $name {
                fn with(message: Message) -> PyClassInitializer<Self> {
                    PyClassInitializer::from(message).add_subclass(Self)
                }
            }
        )+

        /// A record as an object of its class.
        pub(crate) fn wrap(py: Python<'_>, record: Record) -> PyResult<Py<PyAny>> {
            let class = record.class();
            instance(py, class, Message::new(record))
        }

        /// The record of a part that may be there or not as an object of its class.
        pub(crate) fn wrap_part(
            py: Python<'_>,
            record: Record,
            present: bool,
        ) -> PyResult<Py<PyAny>> {
            let class = record.class();
            instance(py, class, Message::part(record, present))
        }

        /// A message as an object of a class.
        pub(crate) fn instance(
            py: Python<'_>,
            class: Class,
            message: Message,
        ) -> PyResult<Py<PyAny>> {
            Ok(match class {
                $(Class::$class => Py::new(py, $name::with(message))?.into_any(),)+
            })
        }

        /// Adds the classes and their fields to a module.
        pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
            let py = module.py();
            module.add_class::<Message>()?;
            module.add_class::<Field>()?;
            module.add_class::<StringMapView>()?;
            module.add_class::<MessageMap>()?;
            module.add_class::<RepeatedScalar>()?;
            module.add_class::<RepeatedMessage>()?;
            $(
                module.add_class::<$name>()?;
                let class = py.get_type::<$name>();
                for info in Class::$class.fields() {
                    class.setattr(info.name, Field { info })?;
                    for old in old_names(Class::$class, info.name) {
                        class.setattr(old, Field { info })?;
                    }
                }
            )+
            Ok(())
        }
    };
}

classes! {
    SessionState = Session, "Who calls, and what they may do.";
    AccessDefinition = AccessDefinition, "What a key may do with one API.";
    AccessSpec = AccessSpec, "A path and the methods allowed on it.";
    BasicAuthData = BasicAuthData, "Password data of a key.";
    JWTData = JwtData, "Secret of a key.";
    Monitor = Monitor, "Quota percentages at which an event fires.";
    MiniRequestObject = Request, "The request, and what a hook changes in it.";
    ReturnOverrides = Overrides, "The answer that a hook gives in place of the upstream.";
    ResponseObject = Response, "The upstream's response.";
    Header = Header, "A header with all its values.";
}

/// The names that plugins written for the first release use for a field.
fn old_names(class: Class, name: &str) -> impl Iterator<Item = &'static str> {
    const NAMES: &[(Class, &str, &str)] = &[
        (Class::Request, "set_headers", "SetHeaders"),
        (Class::Request, "delete_headers", "DeleteHeaders"),
        (Class::Request, "add_params", "AddParams"),
        (Class::Request, "extended_params", "ExtendedParams"),
        (Class::Request, "delete_params", "DeleteParams"),
        (Class::Request, "return_overrides", "ReturnOverrides"),
        (Class::Overrides, "response_code", "ResponseCode"),
        (Class::Overrides, "response_error", "ResponseError"),
    ];
    let of_field = NAMES
        .iter()
        .filter(move |(of, field, _)| *of == class && *field == name);
    of_field.map(|(_, _, old)| *old)
}

macro_rules! constructor {
    ($($name:ident = $class:ident;)+) => {
        $(
            #[pymethods]
            impl $name {
                #[new]
                #[pyo3(signature = (**fields))]
                fn new(
                    py: Python<'_>,
                    fields: Option<&Bound<'_, PyDict>>,
                ) -> PyResult<PyClassInitializer<Self>> {
                    Ok(Self::with(built(py, Class::$class, fields)?))
                }
            }
        )+
    };
}

constructor! {
    SessionState = Session;
    AccessDefinition = AccessDefinition;
    AccessSpec = AccessSpec;
    BasicAuthData = BasicAuthData;
    JWTData = JwtData;
    Monitor = Monitor;
    ReturnOverrides = Overrides;
    ResponseObject = Response;
    Header = Header;
}

/// What a constructor makes of its keyword arguments.
fn built(py: Python<'_>, class: Class, fields: Option<&Bound<'_, PyDict>>) -> PyResult<Message> {
    let Some(fields) = fields else {
        return Ok(Message::new(class.empty()));
    };
    let scratch = Bound::new(py, Message::new(class.empty()))?;
    message::set_all(&scratch, fields)?;
    Ok(Message::new(message::reclaim(&scratch)?.ok_or_else(gone)?))
}

#[pymethods]
impl MiniRequestObject {
    #[new]
    #[pyo3(signature = (**fields))]
    fn new(
        py: Python<'_>,
        fields: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        Ok(Self::with(built(py, Class::Request, fields)?))
    }

    /// The request itself: it is its own wrapper.
    #[getter]
    fn object<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        slf.clone()
    }

    /// The headers as the first release showed them: all values by name.
    #[getter(Headers)]
    fn old_headers<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let all = PyDict::new(slf.py());
        let headers = with_request(slf, |request| request.headers.clone())?;
        for name in headers.keys() {
            let values = headers.get_all(name).iter();
            let values: Vec<_> = values
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .collect();
            all.set_item(canonical_name(name), values)?;
        }
        Ok(all)
    }

    /// The query as the first release showed it: values by name.
    #[getter(Params)]
    fn old_params<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let all = PyDict::new(slf.py());
        for (name, value) in with_request(slf, |request| request.params())? {
            all.set_item(name, [value])?;
        }
        Ok(all)
    }

    /// The path, without the query.
    #[getter(URL)]
    fn old_url(slf: &Bound<'_, Self>) -> PyResult<String> {
        with_request(slf, |request| {
            let url = request.url();
            url.split_once('?').map_or(url, |(path, _)| path).to_owned()
        })
    }

    #[setter(URL)]
    fn set_old_url(slf: &Bound<'_, Self>, url: String) -> PyResult<()> {
        with_request(slf, |request| request.url = Some(url))
    }

    /// The body as text; unlike `body`, writing it counts.
    #[getter(Body)]
    fn old_body(slf: &Bound<'_, Self>) -> PyResult<String> {
        with_request(slf, |request| request.body().to_owned())
    }

    #[setter(Body)]
    fn set_old_body(slf: &Bound<'_, Self>, body: String) -> PyResult<()> {
        with_request(slf, |request| request.raw_body = body.into())
    }

    /// The first value of a request header, its name in any case; `None` without one.
    fn get_header<'py>(
        slf: &Bound<'py, Self>,
        name: &str,
    ) -> PyResult<Option<Bound<'py, PyString>>> {
        let mut this = slf.as_super().try_borrow_mut()?;
        let Record::Request(record) = this.record()? else {
            return Err(gone());
        };
        // A name that cannot be one is not there.
        let value = record.request.headers.get(name);
        Ok(value.map(|value| match value.to_str() {
            Ok(text) => PyString::new(slf.py(), text),
            Err(_) => PyString::new(slf.py(), &String::from_utf8_lossy(value.as_bytes())),
        }))
    }

    /// All values of a request header, its name in any case (an addition).
    fn get_headers(slf: &Bound<'_, Self>, name: &str) -> PyResult<Vec<String>> {
        with_request(slf, |request| {
            let values = request.headers.get_all(name).iter();
            values
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .collect()
        })
    }

    /// Sets a header of the request to the upstream.
    fn add_header(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        set_entry(
            slf,
            SET_HEADERS,
            convert::text(name)?,
            convert::text(value)?,
        )
    }

    /// Removes a header from the request to the upstream.
    fn delete_header(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        push_item(slf, DELETE_HEADERS, convert::text(name)?)
    }

    /// Sets a query parameter.
    fn add_param(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        set_entry(slf, ADD_PARAMS, convert::text(name)?, convert::text(value)?)
    }

    /// Removes a query parameter.
    fn delete_param(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        push_item(slf, DELETE_PARAMS, convert::text(name)?)
    }
}

fn with_request<R>(
    message: &Bound<'_, MiniRequestObject>,
    act: impl FnOnce(&mut Request) -> R,
) -> PyResult<R> {
    let mut this = message.as_super().try_borrow_mut()?;
    match this.record()? {
        Record::Request(record) => Ok(act(&mut record.request)),
        _ => Err(gone()),
    }
}

/// Puts an entry into a map of the request, wherever the map is now.
fn set_entry(
    request: &Bound<'_, MiniRequestObject>,
    field: u8,
    key: String,
    value: String,
) -> PyResult<()> {
    let mut this = request.as_super().try_borrow_mut()?;
    if let Some(child) = this.child(field) {
        let view = child.bind(request.py()).cast::<StringMapView>()?;
        view.try_borrow_mut()?.map()?.insert(key, value);
        return Ok(());
    }
    let Record::Request(record) = this.record()? else {
        return Err(gone());
    };
    match field {
        SET_HEADERS => record.request.set_headers.insert(key, value),
        _ => record.request.add_params.insert(key, value),
    };
    Ok(())
}

/// Adds an item to a list of the request, wherever the list is now.
fn push_item(request: &Bound<'_, MiniRequestObject>, field: u8, item: String) -> PyResult<()> {
    let mut this = request.as_super().try_borrow_mut()?;
    if let Some(child) = this.child(field) {
        let list = child.bind(request.py()).cast::<RepeatedScalar>()?;
        return list.try_borrow_mut()?.extend(Scalars::Texts(vec![item]));
    }
    let Record::Request(record) = this.record()? else {
        return Err(gone());
    };
    match field {
        DELETE_HEADERS => record.request.delete_headers.push(item),
        _ => record.request.delete_params.push(item),
    }
    Ok(())
}
