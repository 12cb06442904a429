//! What a hook is called with, and how it comes back.
//!
//! The views are made once and used again for the next call on the same thread, unless the
//! plugin kept one: then that one stays empty, and the next call gets another.

use std::cell::Cell;
use std::sync::{Arc, LazyLock};

use coprocess_core::{Object, Request, Response, Session, Spec, StringMap};
use pyo3::PyClass;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::interpreter;
use crate::objects::classes::{self, MiniRequestObject, ResponseObject, SessionState};
use crate::objects::map::StringMapView;
use crate::objects::message::{self, Message};
use crate::objects::record::{Class, FieldInfo, Record, SESSION_METADATA};
use crate::objects::request::RequestRecord;
use crate::objects::response::ResponseRecord;
use crate::objects::{convert, gone};
use crate::plugin::Function;

/// The parts of an [`Object`] that a hook may change.
pub(crate) struct Given<'a> {
    request: &'a mut Box<Request>,
    session: &'a mut Option<Box<Session>>,
    metadata: &'a mut StringMap,
    response: &'a mut Option<Box<Response>>,
    spec: &'a Arc<Spec>,
}

impl<'a> Given<'a> {
    /// The parts, beside the hook that the object names.
    pub(crate) fn of(object: &'a mut Object) -> (&'a coprocess_core::Hook, Self) {
        let given = Self {
            request: &mut object.request,
            session: &mut object.session,
            metadata: &mut object.metadata,
            response: &mut object.response,
            spec: &object.spec,
        };
        (&object.hook, given)
    }
}

/// What can go wrong: in the plugin, or with what it returned.
pub(crate) enum Failure {
    Raised(PyErr),
    Shape(String),
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

thread_local! {
    static KEPT: Cell<Option<Box<Kept>>> = const { Cell::new(None) };
}

/// What a thread keeps from one call to the next.
#[derive(Default)]
struct Kept {
    request: Option<Py<MiniRequestObject>>,
    session: Option<Py<SessionState>>,
    response: Option<Py<ResponseObject>>,
    spec: Option<Py<StringMapView>>,
    record: Option<Box<RequestRecord>>,
}

impl Kept {
    fn renew_spec(&mut self, py: Python<'_>, spec: &Arc<Spec>) -> PyResult<()> {
        if let Some(kept) = &self.spec
            && !interpreter::is_shared(kept.bind(py).as_any())
        {
            let mut view = kept.bind(py).try_borrow_mut()?;
            if !view.is_spec(spec) {
                view.renew(StringMapView::of_spec(Arc::clone(spec)));
            }
            return Ok(());
        }
        let view = Py::new(py, StringMapView::of_spec(Arc::clone(spec)))?;
        self.spec = Some(view);
        Ok(())
    }
}

/// What a hook is called with.
pub(crate) struct Views<'py> {
    py: Python<'py>,
    /// Goes back to the thread at the end.
    kept: Option<Box<Kept>>,
    /// For hooks with 4 or 5 parameters: the session's own metadata.
    metadata: Option<Bound<'py, StringMapView>>,
    has_response: bool,
    had_response: bool,
    had_session: bool,
}

impl<'py> Views<'py> {
    /// Moves what a hook may see into views.
    pub(crate) fn new(
        py: Python<'py>,
        function: &Function,
        given: &mut Given<'_>,
    ) -> PyResult<Self> {
        let mut views = Self {
            py,
            kept: Some(KEPT.take().unwrap_or_default()),
            metadata: None,
            has_response: function.arity == 5,
            had_response: given.response.is_some(),
            had_session: given.session.is_some(),
        };
        let kept = views.kept.get_or_insert_default();
        let record = kept.record.take();
        let mut record = record.unwrap_or_else(|| Box::new(RequestRecord::blank()));
        record.borrow(given.request, given.spec);
        let request = Message::new(Record::Request(record));
        renew(&mut kept.request, py, Class::Request, request)?;
        let session = session(given.session.take(), given.metadata);
        renew(&mut kept.session, py, Class::Session, session)?;
        kept.renew_spec(py, given.spec)?;
        if function.arity >= 4 {
            let metadata = message::get(views.session()?.as_super(), metadata_field())?;
            views.metadata = Some(metadata.into_bound(py).cast_into()?);
        }
        // A hook that does not take the response leaves it as it is.
        if views.has_response {
            let response = match given.response.take() {
                None => Message::unset(Class::Response),
                Some(response) => {
                    Message::new(Record::Response(Box::new(ResponseRecord::new(response))))
                }
            };
            let kept = views.kept.get_or_insert_default();
            renew(&mut kept.response, py, Class::Response, response)?;
        }
        Ok(views)
    }

    fn request(&self) -> PyResult<&Bound<'py, MiniRequestObject>> {
        self.made(|kept| &kept.request)
    }

    fn session(&self) -> PyResult<&Bound<'py, SessionState>> {
        self.made(|kept| &kept.session)
    }

    fn response(&self) -> PyResult<&Bound<'py, ResponseObject>> {
        self.made(|kept| &kept.response)
    }

    /// One of the views, which are there while the call goes on.
    fn made<T>(&self, which: impl FnOnce(&Kept) -> &Option<Py<T>>) -> PyResult<&Bound<'py, T>> {
        let view = self.kept.as_deref().map(which).and_then(Option::as_ref);
        Ok(view.ok_or_else(gone)?.bind(self.py))
    }

    /// Calls the function.
    pub(crate) fn invoke(&self, function: &Function) -> PyResult<Bound<'py, PyAny>> {
        let callable = function.callable.bind(self.py);
        let (request, session) = (self.request()?, self.session()?);
        let spec = self.made(|kept| &kept.spec)?;
        match &self.metadata {
            Some(metadata) if self.has_response => {
                callable.call1((request, self.response()?, session, metadata, spec))
            }
            Some(metadata) => callable.call1((request, session, metadata, spec)),
            None => callable.call1((request, session, spec)),
        }
    }

    /// Checks the shape of what came back.
    pub(crate) fn check(
        &self,
        function: &Function,
        result: &Bound<'py, PyAny>,
    ) -> Result<(), Failure> {
        let (request, session) = (self.request()?, self.session()?);
        let fits = match result.cast::<PyTuple>() {
            Ok(parts) => {
                let length_fits = match function.arity {
                    3 => parts.len() == 2,
                    4 => parts.len() == 3,
                    _ => matches!(parts.len(), 2 | 3),
                };
                length_fits && {
                    let first = parts.get_borrowed_item(0)?;
                    let second = parts.get_borrowed_item(1)?;
                    (first.is(request) || is_message(&first, Class::Request))
                        && (second.is(session) || is_session(&second))
                }
            }
            Err(_) => function.arity == 5 && is_message(result, Class::Response),
        };
        match fits {
            true => Ok(()),
            false => Err(misshapen(function, result)),
        }
    }

    /// Takes what the hook changed out of the views, which are empty afterwards.
    pub(crate) fn take_back(
        mut self,
        function: &Function,
        result: &Bound<'py, PyAny>,
        given: &mut Given<'_>,
    ) -> PyResult<()> {
        let parts = result.cast::<PyTuple>().ok();
        let part = |index: usize| match parts {
            Some(parts) if index < parts.len() => parts.get_item(index).ok(),
            _ => None,
        };
        if function.arity == 4
            && let Some(returned) = part(2)
        {
            self.merge_metadata(&returned)?;
        }
        self.take_request(part(0).as_ref(), given.request)?;
        self.take_session(part(1).as_ref(), given)?;
        if self.has_response {
            let response = take_response(self.response()?, result)?;
            // One that was not there has no effect.
            *given.response = response.filter(|_| self.had_response);
        }
        Ok(())
    }

    /// A metadata object other than the session's own is merged into that.
    fn merge_metadata(&self, returned: &Bound<'py, PyAny>) -> PyResult<()> {
        match &self.metadata {
            Some(own) if !own.is(returned) && !returned.is_none() => {
                let entries = convert::string_map(returned)?;
                own.try_borrow_mut()?.merge(entries)
            }
            _ => Ok(()),
        }
    }

    fn take_request(
        &mut self,
        returned: Option<&Bound<'py, PyAny>>,
        given: &mut Box<Request>,
    ) -> PyResult<()> {
        let Some(Record::Request(mut own)) = message::reclaim(self.request()?.as_super())? else {
            return Err(gone());
        };
        match returned {
            Some(other) if !other.is(self.request()?) => {
                let Record::Request(other) = message::given(other)? else {
                    return Err(gone());
                };
                **given = other.adopted_by(*own.request);
            }
            _ => {
                own.give_back(given);
                if let Some(kept) = &mut self.kept {
                    kept.record = Some(own);
                }
            }
        }
        Ok(())
    }

    /// The session, and its metadata once more when the hook may have changed that.
    fn take_session(
        &self,
        returned: Option<&Bound<'py, PyAny>>,
        given: &mut Given<'_>,
    ) -> PyResult<()> {
        let own = self.session()?.as_super();
        let mut changed = own
            .try_borrow()?
            .child_is_touched(self.py, SESSION_METADATA)?;
        let mut record = message::reclaim(own)?;
        if let Some(other) = returned
            && !other.is(own)
            && !other.is_none()
        {
            record = Some(message::given(other)?);
            changed = true;
        }
        let Some(Record::Session(session)) = record else {
            return Ok(());
        };
        if changed {
            given.metadata.clone_from(&session.metadata);
        }
        // An empty session that nobody filled is none. Most are told from it by their metadata.
        if self.had_session || !session.metadata.is_empty() || *session != *EMPTY {
            *given.session = Some(session);
        }
        Ok(())
    }
}

static EMPTY: LazyLock<Session> = LazyLock::new(Session::default);

/// However a call ends: what the hook kept shows nothing of this request to a later one.
impl Drop for Views<'_> {
    fn drop(&mut self) {
        let Some(kept) = self.kept.take() else { return };
        if let Some(request) = &kept.request {
            message::forget(request.bind(self.py).as_super());
        }
        if let Some(session) = &kept.session {
            message::forget(session.bind(self.py).as_super());
        }
        if let (Some(response), true) = (&kept.response, self.has_response) {
            message::forget(response.bind(self.py).as_super());
        }
        KEPT.set(Some(kept));
    }
}

/// Puts a message into the object that a thread kept, or into a new one.
fn renew<T>(
    kept: &mut Option<Py<T>>,
    py: Python<'_>,
    class: Class,
    message: Message,
) -> PyResult<()>
where
    T: PyClass<BaseType = Message>,
{
    if let Some(kept) = kept
        && !interpreter::is_shared(kept.bind(py).as_any())
    {
        kept.bind(py).as_super().try_borrow_mut()?.renew(message);
        return Ok(());
    }
    let made = classes::instance(py, class, message)?.into_bound(py);
    *kept = Some(made.cast_into::<T>()?.unbind());
    Ok(())
}

fn session(session: Option<Box<Session>>, metadata: &StringMap) -> Message {
    let mut session = match session {
        None if metadata.is_empty() => return Message::unset(Class::Session),
        session => session.unwrap_or_default(),
    };
    // The metadata beside a session is a copy of the session's own. Only one without the
    // other has to be put together.
    if session.metadata.is_empty() && !metadata.is_empty() {
        session.metadata.clone_from(metadata);
    }
    Message::new(Record::Session(session))
}

fn metadata_field() -> &'static FieldInfo {
    let fields = Class::Session.fields();
    // Fields are in number order, without gaps, from 1.
    &fields[usize::from(SESSION_METADATA) - 1]
}

fn take_response<'py>(
    own: &Bound<'py, ResponseObject>,
    result: &Bound<'py, PyAny>,
) -> PyResult<Option<Box<Response>>> {
    let mine = message::reclaim(own.as_super())?;
    let Some(Record::Response(mine)) = mine else {
        return Ok(None);
    };
    if result.is(own) || result.is_instance_of::<PyTuple>() {
        return Ok(Some(mine.into_response()));
    }
    let Record::Response(other) = message::given(result)? else {
        return Err(gone());
    };
    Ok(Some(other.adopted_by(*mine)))
}

#[cold]
fn misshapen(function: &Function, result: &Bound<'_, PyAny>) -> Failure {
    let expected = match function.arity {
        3 => "request, session",
        4 => "request, session, metadata",
        _ => "response",
    };
    match described(result) {
        Ok(got) => Failure::Shape(format!(
            "hook `{}` ({}) must return `{expected}`, but did return {got}",
            function.name, function.location
        )),
        Err(error) => error.into(),
    }
}

fn described(result: &Bound<'_, PyAny>) -> PyResult<String> {
    Ok(match result.cast::<PyTuple>() {
        Ok(parts) => {
            let types: PyResult<Vec<_>> = parts
                .iter()
                .map(|part| Ok(part.get_type().name()?.to_string()))
                .collect();
            format!("a tuple of {} ({})", parts.len(), types?.join(", "))
        }
        Err(_) if result.is_none() => "None".to_owned(),
        Err(_) => format!("{} object", result.get_type().name()?),
    })
}

/// Whether a value is a message of that class, ours or one of the `protobuf` package.
fn is_message(value: &Bound<'_, PyAny>, class: Class) -> bool {
    match class {
        Class::Request if value.is_instance_of::<MiniRequestObject>() => true,
        Class::Session if value.is_instance_of::<SessionState>() => true,
        Class::Response if value.is_instance_of::<ResponseObject>() => true,
        _ => !value.is_instance_of::<Message>() && message::foreign(value) == Some(class),
    }
}

fn is_session(value: &Bound<'_, PyAny>) -> bool {
    value.is_none() || is_message(value, Class::Session)
}
