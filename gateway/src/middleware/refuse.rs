//! Refuses every request of an API whose definition asks for a protection that this gateway
//! does not have.

use crate::chain::{Middleware, Step};
use crate::error::ProxyError;
use crate::exchange::Exchange;

/// Lets nothing through.
pub struct Refuse {
    /// Which keys of the definition are meant.
    pub reason: String,
}

impl Middleware for Refuse {
    fn process<'a>(&'a self, _exchange: &'a mut Exchange) -> Step<'a> {
        Step::Done(Err(ProxyError::Refused(self.reason.clone())))
    }
}
