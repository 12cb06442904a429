//! Answers that a definition has ready in the upstream's place.

use super::path_lists::{Action, compile};
use crate::chain::{Flow, Middleware, Step};
use crate::definition::ApiDefinition;
use crate::exchange::Exchange;
use crate::traffic::PerVersion;
use crate::traffic::paths::{Meaning, Readings, Rules};

/// Answers for single paths.
pub struct MockResponses(PerVersion<Rules<Action>>);

impl MockResponses {
    /// The step, if a version has answers ready.
    pub fn new(api: &ApiDefinition, meaning: Meaning) -> Result<Option<Self>, String> {
        let made = PerVersion::make(api, |version| {
            let entries = version.extended().mock_response.iter();
            let entries: Vec<_> = entries.map(|mock| mock.as_reply()).collect();
            compile(&entries, meaning)
                .map_err(|wrong| format!("extended_paths.mock_response{wrong}"))
        });
        Ok(made?.map(Self))
    }
}

impl Middleware for MockResponses {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let rules = self.0.of(exchange);
        let found =
            rules.and_then(|rules| rules.any(&Readings::below(exchange), &exchange.head.method));
        let flow = match found {
            Some(Action::Reply(reply)) => reply.flow(),
            Some(Action::Usual) | None => Flow::Continue,
        };
        Step::Done(Ok(flow))
    }
}
