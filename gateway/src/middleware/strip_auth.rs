//! Takes credentials out of a request before its upstream sees it: `strip_auth_data`.

use super::Credential;
use crate::chain::{Flow, Middleware, Step};
use crate::exchange::Exchange;

/// Strips them from every place in which some mechanism of the API looks for one.
pub struct StripAuth {
    /// Those places.
    pub places: Vec<Credential>,
}

impl Middleware for StripAuth {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        for place in &self.places {
            place.strip(&mut exchange.head);
        }
        Step::Done(Ok(Flow::Continue))
    }
}
