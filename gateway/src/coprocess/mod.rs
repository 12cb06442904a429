//! The middleware that calls a language.
//!
//! A hook entry is resolved once, when its API is loaded, into a [`HookCall`] or into the
//! reason why it cannot run. A hook that cannot run refuses its request: it may be the one
//! that keeps callers out.

mod auth;
pub(crate) mod convert;
pub mod data;
mod extractor;
pub mod host;
pub(crate) mod overrides;
pub(crate) mod query;
mod response;

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

pub use auth::AuthStep;
pub(crate) use auth::carry_over;
pub(crate) use auth::elsewhere;
pub(crate) use convert::apply_body;
use coprocess_core::{CoProcessLanguage, DispatchError, DispatchFuture, Hook, HookType, Object};
pub use extractor::IdExtractor;
pub(crate) use extractor::document;
use http::Response;
use tracing::{error, warn};

use crate::chain::{Flow, Middleware, Step};
use crate::definition::BodyMode;
use crate::error::ProxyError;
use crate::events::{Meta, names};
use crate::exchange::Exchange;
use crate::upstream::body::ResponseBody;
use convert::Applied;

/// A language that is up, with the driver string that it was asked for by.
#[derive(Clone)]
pub struct Driver {
    /// What API definitions call it.
    pub name: Arc<str>,
    /// The language.
    pub language: Arc<dyn CoProcessLanguage>,
}

/// One hook entry of one API, ready to be called or known not to be.
pub struct HookStep {
    /// Where in the chain it sits.
    pub hook_type: HookType,
    /// The function's name.
    pub name: Arc<str>,
    /// The driver's name, for the log.
    pub driver: Arc<str>,
    /// The function, or why there is none.
    pub state: Result<HookCall, Broken>,
}

/// A function that can be called.
pub struct HookCall {
    language: Arc<dyn CoProcessLanguage>,
    hook: Hook,
    time_limit: Duration,
    raw_body_only: bool,
    body: BodyMode,
    max_body_bytes: u64,
}

/// How a hook entry is called: the settings of the entry and of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct CallSettings {
    /// Longest run.
    pub time_limit: Duration,
    /// Do not show the body as text.
    pub raw_body_only: bool,
    /// Hold the body or let it stream.
    pub body: BodyMode,
    /// Longest body that is held.
    pub max_body_bytes: u64,
}

/// Why a hook cannot be called. The kind decides what the client sees.
#[derive(Debug, Clone)]
pub enum Broken {
    /// The language itself is not there.
    Driver(String),
    /// The language is there, the function is not.
    Code(String),
}

impl Broken {
    /// What to do about it.
    pub fn reason(&self) -> &str {
        match self {
            Self::Driver(reason) | Self::Code(reason) => reason,
        }
    }
}

// === impl HookCall ===

impl HookCall {
    /// A call of `hook` in `language`.
    pub fn new(language: Arc<dyn CoProcessLanguage>, hook: Hook, settings: CallSettings) -> Self {
        let CallSettings {
            time_limit,
            raw_body_only,
            body,
            max_body_bytes,
        } = settings;
        Self {
            language,
            hook,
            time_limit,
            raw_body_only,
            body,
            max_body_bytes,
        }
    }

    /// Dispatches. A hook that ran in place has its outcome now.
    fn begin(&self, object: Object) -> Begun<'_> {
        guarded(|| {
            let mut dispatch = self.language.dispatch(object);
            // Whoever waits for the rest polls again, with a waker of its own.
            match Pin::new(&mut dispatch).poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(outcome) => Begun::Done(outcome),
                Poll::Pending => Begun::Waiting(dispatch),
            }
        })
        .unwrap_or_else(|error| Begun::Done(Err(error)))
    }

    /// Waits for a dispatch, no longer than the hook may run.
    async fn finish(&self, mut dispatch: DispatchFuture<'_>) -> DispatchResult {
        let outcome = poll_fn(|cx| {
            guarded(|| Pin::new(&mut dispatch).poll(cx))
                .unwrap_or_else(|error| Poll::Ready(Err(error)))
        });
        match tokio::time::timeout(self.time_limit, outcome).await {
            Ok(outcome) => outcome,
            Err(_) => Err(DispatchError::TimeLimit {
                limit: self.time_limit,
                detail: "; abandoned by the gateway".into(),
            }),
        }
    }

    async fn dispatch(&self, object: Object) -> DispatchResult {
        match self.begin(object) {
            Begun::Done(outcome) => outcome,
            Begun::Waiting(dispatch) => self.finish(dispatch).await,
        }
    }
}

type DispatchResult = Result<Object, DispatchError>;

/// A dispatch that has begun.
enum Begun<'a> {
    Done(DispatchResult),
    Waiting(DispatchFuture<'a>),
}

/// Runs a language's code. One that panics has failed this hook, and no more than that.
pub(crate) fn guarded<T>(code: impl FnOnce() -> T) -> Result<T, DispatchError> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        DispatchError::Raised {
            message: format!("language panicked: {text}"),
        }
    })
}

// === impl HookStep ===

impl HookStep {
    /// Runs the hook on a request whose body need not be waited for. Most hooks are done
    /// when this returns, and then nothing was allocated for waiting.
    fn start<'a>(&'a self, call: &'a HookCall, exchange: &'a mut Exchange) -> Step<'a> {
        let object = convert::request_object(self, call, exchange);
        match call.begin(object) {
            Begun::Done(outcome) => Step::Done(self.apply(call, outcome, exchange)),
            Begun::Waiting(dispatch) => Step::Later(Box::pin(async move {
                let outcome = call.finish(dispatch).await;
                self.apply(call, outcome, exchange)
            })),
        }
    }

    /// Reads the body, then runs the hook.
    async fn hold_and_run(
        &self,
        call: &HookCall,
        exchange: &mut Exchange,
    ) -> Result<Flow, ProxyError> {
        exchange.body.hold(call.max_body_bytes).await?;
        let object = convert::request_object(self, call, exchange);
        let outcome = call.dispatch(object).await;
        self.apply(call, outcome, exchange)
    }

    fn apply(
        &self,
        call: &HookCall,
        outcome: DispatchResult,
        exchange: &mut Exchange,
    ) -> Result<Flow, ProxyError> {
        Ok(match self.applied(call, outcome, exchange)? {
            Applied::Answer(response) => Flow::Respond(response),
            Applied::GoesOn { .. } => Flow::Continue,
        })
    }

    fn applied(
        &self,
        call: &HookCall,
        outcome: DispatchResult,
        exchange: &mut Exchange,
    ) -> Result<Applied, ProxyError> {
        let object = outcome.map_err(|error| self.failed(&error, exchange))?;
        convert::apply(call, object, exchange)
            .map_err(|reason| self.failed(&DispatchError::Raised { message: reason }, exchange))
    }

    /// Runs a response hook.
    pub async fn run_on_response(
        &self,
        exchange: &mut Exchange,
        upstream: Response<ResponseBody>,
    ) -> Result<Response<ResponseBody>, ProxyError> {
        let call = self.callable(exchange)?;
        let (head, held) = response::hold(upstream, call)
            .await
            .inspect_err(|error| self.tell(error, exchange))?;
        let object = convert::response_object(self, call, exchange, head, held.shown());
        let outcome = match call.begin(object) {
            Begun::Done(outcome) => outcome,
            // Boxed, because most hooks are done.
            Begun::Waiting(dispatch) => Box::pin(call.finish(dispatch)).await,
        };
        let object = outcome.map_err(|error| self.failed(&error, exchange))?;
        response::apply(object, exchange, held)
            .map_err(|reason| self.failed(&DispatchError::Raised { message: reason }, exchange))
    }

    /// The failure that clients see, after the operator has been told the real one.
    fn failed(&self, error: &DispatchError, exchange: &Exchange) -> ProxyError {
        self.tell(error, exchange);
        self.refusal(error.to_string())
    }

    fn tell(&self, error: &dyn std::fmt::Display, exchange: &Exchange) {
        let hook = self.hook_type.as_str();
        let (name, driver, api) = (&*self.name, &*self.driver, &*exchange.api.id);
        error!(%error, api, hook, name, driver, "Hook failed.");
        // The request has gone into the hook, and did not come back whole.
        let meta = || {
            self.failure("Hook failed.", &error.to_string(), exchange)
                .without_request()
        };
        exchange
            .api
            .events
            .fire_everywhere(names::HOOK_FAILURE, meta);
    }

    /// What the event of a failure tells. Tracebacks are for the log.
    fn failure(&self, message: &str, reason: &str, exchange: &Exchange) -> Meta {
        let session = exchange.session.as_deref();
        let key = session.map_or("", |session| &session.key_id);
        Meta::of_key(message, exchange, key)
            .with("APIID", &exchange.api.id)
            .with("Hook", self.hook_type.as_str())
            .with("Name", &self.name)
            .with("Driver", &self.driver)
            .with("Reason", reason.lines().next().unwrap_or_default())
    }

    /// The function, or the refusal where there is none.
    fn callable(&self, exchange: &Exchange) -> Result<&HookCall, ProxyError> {
        self.state.as_ref().map_err(|broken| {
            let (hook, name, driver) = (self.hook_type.as_str(), &*self.name, &*self.driver);
            let (api, reason) = (&*exchange.api.id, broken.reason());
            warn!(api, hook, name, driver, reason, "Hook cannot run.");
            let meta = || self.failure("Hook cannot run.", reason, exchange);
            exchange
                .api
                .events
                .fire_everywhere(names::HOOK_FAILURE, meta);
            match broken {
                Broken::Driver(reason) => ProxyError::Driver(reason.clone()),
                Broken::Code(reason) => self.refusal(reason.clone()),
            }
        })
    }

    /// A step that refuses as this one does, if this one cannot run. A broken response hook
    /// stands in the request's chain too: its requests must not get as far as the upstream.
    pub fn refusing_twin(&self) -> Option<Self> {
        let broken = self.state.as_ref().err()?.clone();
        let (name, driver) = (Arc::clone(&self.name), Arc::clone(&self.driver));
        Some(Self {
            hook_type: self.hook_type,
            name,
            driver,
            state: Err(broken),
        })
    }

    fn refusal(&self, reason: String) -> ProxyError {
        if self.hook_type == HookType::CustomKeyCheck {
            ProxyError::AuthHook(reason)
        } else {
            ProxyError::Hook(reason)
        }
    }
}

impl Middleware for HookStep {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let call = match self.callable(exchange) {
            Ok(call) => call,
            Err(refusal) => return Step::Done(Err(refusal)),
        };
        if call.body == BodyMode::Buffer && exchange.body.is_streaming() {
            return Step::Later(Box::pin(self.hold_and_run(call, exchange)));
        }
        self.start(call, exchange)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_that_panics_fails_its_hook_only() {
        let said = |code: fn()| guarded(code).unwrap_err().to_string();
        assert_eq!(said(|| panic!("at once")), "language panicked: at once");
        assert_eq!(
            said(|| panic!("number {}", 3)),
            "language panicked: number 3"
        );
        assert!(guarded(|| ()).is_ok());
    }
}
