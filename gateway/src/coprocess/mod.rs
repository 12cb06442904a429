//! The middleware that calls a language.
//!
//! A hook entry is resolved once, when its API is loaded, into a [`HookCall`] or into the
//! reason why it cannot run. A hook that cannot run refuses its request: it may be the one
//! that keeps callers out.

mod convert;
pub mod host;
mod overrides;
mod query;
mod response;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use coprocess_core::{CoProcessLanguage, DispatchError, Hook, HookType, Object};
use http::Response;
use tracing::{error, warn};

use crate::chain::{Flow, Middleware, Step};
use crate::definition::BodyMode;
use crate::error::ProxyError;
use crate::exchange::Exchange;
use crate::upstream::body::ResponseBody;

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

    /// Dispatches and waits, no longer than the hook may run.
    async fn dispatch(&self, object: Object) -> Result<Object, DispatchError> {
        let mut dispatch = std::pin::pin!(self.language.dispatch(object));
        // A hook that ran in place is done at the first poll and needs no timer.
        if let Poll::Ready(outcome) = poll_fn(|cx| Poll::Ready(dispatch.as_mut().poll(cx))).await {
            return outcome;
        }
        match tokio::time::timeout(self.time_limit, dispatch).await {
            Ok(outcome) => outcome,
            Err(_) => Err(DispatchError::TimeLimit {
                limit: self.time_limit,
                detail: "; abandoned by the gateway".into(),
            }),
        }
    }
}

// === impl HookStep ===

impl HookStep {
    /// Whether the hook is shown the body.
    pub fn needs_body(&self) -> bool {
        self.state
            .as_ref()
            .is_ok_and(|call| call.body == BodyMode::Buffer)
    }

    async fn run(&self, exchange: &mut Exchange) -> Result<Flow, ProxyError> {
        let call = self.callable(exchange)?;
        if call.body == BodyMode::Buffer {
            exchange.body.hold(call.max_body_bytes).await?;
        }
        let object = convert::request_object(self, call, exchange);
        let object = call
            .dispatch(object)
            .await
            .map_err(|error| self.failed(&error, exchange))?;
        convert::apply(self, call, object, exchange)
            .map_err(|reason| self.failed(&DispatchError::Raised { message: reason }, exchange))?
    }

    /// Runs a response hook.
    pub async fn run_on_response(
        &self,
        exchange: &mut Exchange,
        upstream: Response<ResponseBody>,
    ) -> Result<Response<ResponseBody>, ProxyError> {
        let call = self.callable(exchange)?;
        let (head, held) = response::hold(upstream, call).await?;
        let object = convert::response_object(self, call, exchange, head, held.shown());
        let object = call
            .dispatch(object)
            .await
            .map_err(|error| self.failed(&error, exchange))?;
        response::apply(object, exchange, held)
            .map_err(|reason| self.failed(&DispatchError::Raised { message: reason }, exchange))
    }

    /// The failure that clients see, after the operator has been told the real one.
    fn failed(&self, error: &DispatchError, exchange: &Exchange) -> ProxyError {
        let hook = self.hook_type.as_str();
        let (name, driver, api) = (&*self.name, &*self.driver, &*exchange.api.id);
        error!(%error, api, hook, name, driver, "Hook failed.");
        self.refusal(error.to_string())
    }

    /// The function, or the refusal where there is none.
    fn callable(&self, exchange: &Exchange) -> Result<&HookCall, ProxyError> {
        self.state.as_ref().map_err(|broken| {
            let (hook, name, driver) = (self.hook_type.as_str(), &*self.name, &*self.driver);
            let (api, reason) = (&*exchange.api.id, broken.reason());
            warn!(api, hook, name, driver, reason, "Hook cannot run.");
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
        Step::Later(Box::pin(self.run(exchange)))
    }
}
