//! A step that requests for ignored paths do not need to pass.

use crate::chain::{Flow, Middleware, Step};
use crate::exchange::Exchange;

/// Runs the step inside for all other requests.
pub struct UnlessIgnored(pub Box<dyn Middleware>);

impl Middleware for UnlessIgnored {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if exchange.is_ignored() {
            return Step::Done(Ok(Flow::Continue));
        }
        self.0.process(exchange)
    }
}
