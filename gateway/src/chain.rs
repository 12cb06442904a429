//! The middleware of one API, in the one order that there is.

use std::future::Future;
use std::pin::Pin;

use http::Response;

use crate::error::ProxyError;
use crate::exchange::Exchange;
use crate::upstream::body::ResponseBody;

/// What happens after a middleware.
#[derive(Debug)]
pub enum Flow {
    /// The next one runs.
    Continue,
    /// The upstream is next: no further step runs.
    Forward,
    /// The request is answered here.
    Respond(Response<ResponseBody>),
}

/// The outcome of a middleware: there already, or on its way.
pub enum Step<'a> {
    /// It did not have to wait.
    Done(Result<Flow, ProxyError>),
    /// It waits for something.
    Later(Pin<Box<dyn Future<Output = Result<Flow, ProxyError>> + 'a>>),
}

/// One step that a request passes before the upstream.
pub trait Middleware: Send + Sync {
    /// Looks at the request, changes it, lets it go on or answers it.
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a>;
}

/// A response on its way through a step.
pub type Responding<'a> =
    Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, ProxyError>> + 'a>>;

/// One step that a response passes before the response hooks.
pub trait ResponseStep: Send + Sync {
    /// Looks at the response and changes it.
    fn process<'a>(
        &'a self,
        exchange: &'a mut Exchange,
        response: Response<ResponseBody>,
    ) -> Responding<'a>;
}

/// The steps of one API.
#[derive(Default)]
pub struct Chain(Vec<Box<dyn Middleware>>);

impl Chain {
    /// Adds a step behind the others.
    pub fn push(&mut self, middleware: impl Middleware + 'static) {
        self.0.push(Box::new(middleware));
    }

    /// Adds a step, where there is one.
    pub fn push_some(&mut self, middleware: Option<impl Middleware + 'static>) {
        if let Some(middleware) = middleware {
            self.push(middleware);
        }
    }

    /// How many steps there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no step.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts something around each step from the one with this number on.
    pub fn wrap<M: Middleware + 'static>(
        &mut self,
        from: usize,
        with: impl Fn(Box<dyn Middleware>) -> M,
    ) {
        let wrapped = self.0.split_off(from).into_iter();
        let wrapped = wrapped.map(|step| -> Box<dyn Middleware> { Box::new(with(step)) });
        self.0.extend(wrapped.collect::<Vec<_>>());
    }

    /// Runs only the steps with these numbers, until one answers or fails.
    pub fn run_only<'a>(
        &'a self,
        numbers: &'a [usize],
        exchange: &'a mut Exchange,
    ) -> impl Future<Output = Result<Flow, ProxyError>> + use<'a> {
        run_each(
            numbers.iter().filter_map(|number| self.0.get(*number)),
            exchange,
        )
    }

    /// Runs the steps until one answers or fails.
    pub fn run<'a>(
        &'a self,
        exchange: &'a mut Exchange,
    ) -> impl Future<Output = Result<Flow, ProxyError>> + use<'a> {
        run_each(self.0.iter(), exchange)
    }
}

async fn run_each<'a>(
    steps: impl Iterator<Item = &'a Box<dyn Middleware>>,
    exchange: &mut Exchange,
) -> Result<Flow, ProxyError> {
    for step in steps {
        let outcome = match step.process(exchange) {
            Step::Done(outcome) => outcome,
            Step::Later(waiting) => waiting.await,
        };
        match outcome? {
            Flow::Continue => {}
            last @ (Flow::Forward | Flow::Respond(_)) => return Ok(last),
        }
    }
    Ok(Flow::Continue)
}
