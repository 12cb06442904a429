//! One hook call, on a thread that is attached to the interpreter.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use coprocess_core::{DispatchError, Object, Request, Response, Session, StringMap};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::deadline;
use crate::objects::classes::{self, MiniRequestObject, ResponseObject, SessionState};
use crate::objects::convert;
use crate::objects::gone;
use crate::objects::map::StringMapView;
use crate::objects::message::{self, Message};
use crate::objects::record::{Class, FieldInfo, Record, SESSION_METADATA};
use crate::objects::request::RequestRecord;
use crate::objects::response::ResponseRecord;
use crate::plugin::{Function, PluginCode, PluginState};
use crate::pool::Expected;
use crate::stats::Stats;
use crate::support::Support;

/// How long it may take to make a text of what was raised before cuts go on: a plugin's
/// exception has code of its own for that.
const TELLING: Duration = Duration::from_secs(1);

/// A function of loaded code, as the gateway keeps it; cheap to clone.
#[derive(Clone)]
pub(crate) struct PyHook {
    pub(crate) code: Arc<PluginCode>,
    pub(crate) function: Arc<Function>,
}

impl PyHook {
    pub(crate) fn plugin(&self) -> &Arc<PluginState> {
        &self.code.state
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.function.name
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.function.stats
    }

    /// What it will do with a thread, by what it has done and by its text.
    pub(crate) fn expected(&self) -> Expected {
        Expected::new(self.stats().is_brief(), !self.function.may_wait)
    }
}

/// What a hook is called with.
struct Views<'py> {
    request: Bound<'py, MiniRequestObject>,
    session: Bound<'py, SessionState>,
    spec: Bound<'py, StringMapView>,
    /// For hooks with 4 or 5 parameters: the session's own metadata.
    metadata: Option<Bound<'py, StringMapView>>,
    /// For hooks with 5 parameters.
    response: Option<Bound<'py, ResponseObject>>,
}

/// What a hook changed.
struct Changed {
    request: Request,
    session: Option<Box<Session>>,
    /// Absent when the hook did not look at it.
    metadata: Option<StringMap>,
    response: Option<Response>,
}

/// What can go wrong: in the plugin, or with what it returned.
enum Failure {
    Raised(PyErr),
    Shape(String),
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

/// Runs a hook. The object comes back with what the hook changed; after an error it is
/// lost, as the request is refused then.
pub(crate) fn run_hook(
    py: Python<'_>,
    support: &Support,
    hook: &PyHook,
    object: Object,
) -> Result<Object, DispatchError> {
    // A Rust panic below Python becomes an exception there, which PyO3 turns into a panic
    // again here.
    contained(hook, || {
        call(py, support, hook, object).map_err(|failure| match failure {
            Failure::Raised(error) => told(py, support, &error),
            Failure::Shape(message) => message,
        })
    })
    .map_err(|message| DispatchError::Raised { message })
}

/// Runs an event handler; what went wrong comes back as text.
pub(crate) fn run_event(
    py: Python<'_>,
    support: &Support,
    hook: &PyHook,
    payload: &str,
) -> Result<(), String> {
    contained(hook, || {
        let callable = hook.function.callable.bind(py);
        let done = support.run_event.bind(py).call1((callable, payload));
        done.map(drop).map_err(|error| told(py, support, &error))
    })
}

/// The text of what a run raised; a cut does not get into it.
fn told(py: Python<'_>, support: &Support, error: &PyErr) -> String {
    deadline::spare(py, TELLING);
    support.describe(py, error)
}

/// Turns a panic into an error: the thread goes on, and its counts stay right.
fn contained<T>(hook: &PyHook, work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(format!("`{}`: panic in the host, see the log", hook.name())))
}

fn call(
    py: Python<'_>,
    support: &Support,
    hook: &PyHook,
    object: Object,
) -> Result<Object, Failure> {
    let function = &hook.function;
    let had_session = object.session.is_some();
    let had_response = object.response.is_some();
    let session = session_view(py, object.session, &object.metadata)?;
    let request = Message::new(Record::Request(Box::new(RequestRecord::new(
        object.request,
        Arc::clone(&object.spec),
    ))));
    let mut views = Views {
        request: view(py, Class::Request, request)?,
        spec: Bound::new(py, StringMapView::of_spec(Arc::clone(&object.spec)))?,
        metadata: None,
        response: None,
        session,
    };
    if function.arity >= 4 {
        views.metadata = Some(metadata_of(&views.session)?);
    }
    // A hook that does not take the response leaves it as it is.
    let mut response = object.response;
    if function.arity == 5 {
        views.response = Some(response_view(py, response.take())?);
    }
    let result = awaited(support, views.invoke(function)?, hook)?;
    views.check(function, &result)?;
    let changed = views.take_back(function, &result)?;
    Ok(Object {
        request: changed.request,
        // An empty session that nobody filled is none.
        session: changed
            .session
            .filter(|session| had_session || **session != Session::default()),
        metadata: changed.metadata.unwrap_or(object.metadata),
        response: changed.response.filter(|_| had_response).or(response),
        ..object
    })
}

fn view<'py, T: pyo3::PyTypeInfo>(
    py: Python<'py>,
    class: Class,
    message: Message,
) -> PyResult<Bound<'py, T>> {
    let made = classes::instance(py, class, message)?.into_bound(py);
    Ok(made.cast_into::<T>()?)
}

fn session_view<'py>(
    py: Python<'py>,
    session: Option<Box<Session>>,
    metadata: &StringMap,
) -> PyResult<Bound<'py, SessionState>> {
    let mut session = match session {
        None if metadata.is_empty() => {
            return view(py, Class::Session, Message::unset(Class::Session));
        }
        session => session.unwrap_or_default(),
    };
    // The metadata beside a session is a copy of the session's own. Only one without the
    // other has to be put together.
    if session.metadata.is_empty() {
        session.metadata.clone_from(metadata);
    }
    view(py, Class::Session, Message::new(Record::Session(session)))
}

fn response_view(
    py: Python<'_>,
    response: Option<Response>,
) -> PyResult<Bound<'_, ResponseObject>> {
    let message = match response {
        None => Message::unset(Class::Response),
        Some(response) => Message::new(Record::Response(Box::new(ResponseRecord::new(response)))),
    };
    view(py, Class::Response, message)
}

fn metadata_of<'py>(session: &Bound<'py, SessionState>) -> PyResult<Bound<'py, StringMapView>> {
    let metadata = message::get(session.as_super(), metadata_field())?;
    Ok(metadata.into_bound(session.py()).cast_into()?)
}

fn metadata_field() -> &'static FieldInfo {
    let fields = Class::Session.fields();
    // Fields are in number order, without gaps, from 1.
    &fields[usize::from(SESSION_METADATA) - 1]
}

/// The result of a hook that may be `async`, which is run up to its end.
fn awaited<'py>(
    support: &Support,
    result: Bound<'py, PyAny>,
    hook: &PyHook,
) -> PyResult<Bound<'py, PyAny>> {
    let function = &hook.function;
    if !function.is_async {
        return Ok(result);
    }
    // Code that imports nothing which waits cannot await anything either but itself.
    let run = match function.may_wait {
        true => &support.run_async,
        false => &support.drive,
    };
    run.bind(result.py()).call1((result,))
}

impl<'py> Views<'py> {
    fn invoke(&self, function: &Function) -> Result<Bound<'py, PyAny>, Failure> {
        let py = self.request.py();
        let callable = function.callable.bind(py);
        let (request, session, spec) = (&self.request, &self.session, &self.spec);
        let result = match (&self.response, &self.metadata) {
            (Some(response), Some(metadata)) => {
                callable.call1((request, response, session, metadata, spec))
            }
            (None, Some(metadata)) => callable.call1((request, session, metadata, spec)),
            _ => callable.call1((request, session, spec)),
        };
        Ok(result?)
    }

    /// Checks the shape of what came back.
    fn check(&self, function: &Function, result: &Bound<'py, PyAny>) -> Result<(), Failure> {
        let fits = match result.cast::<PyTuple>() {
            Ok(parts) => {
                let length_fits = match function.arity {
                    3 => parts.len() == 2,
                    4 => parts.len() == 3,
                    _ => matches!(parts.len(), 2 | 3),
                };
                length_fits
                    && is_message(&parts.get_item(0)?, Class::Request)
                    && is_session(&parts.get_item(1)?)
            }
            Err(_) => function.arity == 5 && is_message(result, Class::Response),
        };
        if fits {
            return Ok(());
        }
        let expected = match function.arity {
            3 => "request, session",
            4 => "request, session, metadata",
            _ => "response",
        };
        let got = result.get_type().name()?.to_string();
        let got = match result.cast::<PyTuple>() {
            Ok(parts) => {
                let types: PyResult<Vec<_>> = parts
                    .iter()
                    .map(|part| Ok(part.get_type().name()?.to_string()))
                    .collect();
                format!("a tuple of {} ({})", parts.len(), types?.join(", "))
            }
            Err(_) if result.is_none() => "None".to_owned(),
            Err(_) => format!("{got} object"),
        };
        Err(Failure::Shape(format!(
            "hook `{}` ({}) must return `{expected}`, but did return {got}",
            function.name, function.location
        )))
    }

    /// Takes what the hook changed out of the views, which are empty afterwards.
    fn take_back(
        &self,
        function: &Function,
        result: &Bound<'py, PyAny>,
    ) -> Result<Changed, Failure> {
        let parts = result.cast::<PyTuple>().ok();
        let part = |index: usize| parts.and_then(|parts| parts.get_item(index).ok());
        if let (4, Some(returned)) = (function.arity, part(2)) {
            self.merge_metadata(&returned)?;
        }
        let request = self.take_request(part(0).as_ref())?;
        let (session, metadata) = self.take_session(part(1).as_ref())?;
        let response = match &self.response {
            Some(own) => take_response(own, result)?,
            None => None,
        };
        Ok(Changed {
            request,
            session,
            metadata,
            response,
        })
    }

    /// A metadata object other than the session's own is merged into that.
    fn merge_metadata(&self, returned: &Bound<'py, PyAny>) -> PyResult<()> {
        match &self.metadata {
            Some(own) if !own.is(returned) && !returned.is_none() => {
                let entries = convert::string_map(returned)?;
                own.try_borrow_mut()?.map()?.extend(entries);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn take_request(&self, returned: Option<&Bound<'py, PyAny>>) -> PyResult<Request> {
        let Some(Record::Request(own)) = message::reclaim(self.request.as_super())? else {
            return Err(gone());
        };
        match returned {
            Some(other) if !other.is(&self.request) => {
                let Record::Request(other) = message::given(other)? else {
                    return Err(gone());
                };
                Ok(other.adopted_by(own.request))
            }
            _ => Ok(own.request),
        }
    }

    /// The session, and its metadata once more when the hook may have changed that.
    fn take_session(
        &self,
        returned: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<(Option<Box<Session>>, Option<StringMap>)> {
        let own = self.session.as_super();
        let mut seen = own.try_borrow()?.child(SESSION_METADATA).is_some();
        let mut record = message::reclaim(own)?;
        if let Some(other) = returned
            && !other.is(&self.session)
            && !other.is_none()
        {
            record = Some(message::given(other)?);
            seen = true;
        }
        let Some(Record::Session(session)) = record else {
            return Ok((None, None));
        };
        let metadata = seen.then(|| session.metadata.clone());
        Ok((Some(session), metadata))
    }
}

/// However a call ends: what the hook kept shows nothing of this request to a later one.
impl Drop for Views<'_> {
    fn drop(&mut self) {
        message::forget(self.request.as_super());
        message::forget(self.session.as_super());
        if let Some(response) = &self.response {
            message::forget(response.as_super());
        }
    }
}

fn take_response<'py>(
    own: &Bound<'py, ResponseObject>,
    result: &Bound<'py, PyAny>,
) -> PyResult<Option<Response>> {
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
