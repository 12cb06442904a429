//! Rates of single paths: those that a definition sets for all callers together, and those
//! that a key has for itself.

use coprocess_core::{AccessDefinition, EndpointLimit};

use super::key_limits::WholeApi;
use super::patterns::matches;
use crate::definition::ApiDefinition;
use crate::exchange::Exchange;
use crate::limits::window::Rate;
use crate::session::key::HashFunction;
use crate::traffic::PerVersion;
use crate::traffic::paths::{Meaning, Readings, Rule, Rules};

/// The rates that a definition sets for paths.
pub struct PathRates(PerVersion<Rules<WholeApi>>);

impl PathRates {
    /// Those of the definition, if it has some that count.
    pub fn new(api: &ApiDefinition, meaning: Meaning) -> Result<Option<Self>, String> {
        if api.disable_rate_limit {
            return Ok(None);
        }
        let made = PerVersion::make(api, |version| {
            let mut rules = Vec::new();
            let entries = version.extended().rate_limit.iter().enumerate();
            for (place, entry) in entries.filter(|(_, entry)| !entry.disabled) {
                let at = format!("extended_paths.rate_limit[{place}]");
                let rate = (entry.rate > 0.0 && entry.per > 0.0)
                    .then(|| Rate::new(entry.rate, entry.per))
                    .flatten()
                    .ok_or_else(|| {
                        let (rate, per) = (entry.rate, entry.per);
                        format!("{at}: {rate} in {per} seconds is no rate; both are above 0")
                    })?;
                let path = format!("{} {}", entry.method.to_ascii_uppercase(), entry.path);
                let path = HashFunction::Sha256.hex(&path);
                rules.push(Rule {
                    path: &entry.path,
                    method: &entry.method,
                    ignore_case: false,
                    value: WholeApi {
                        name: format!("{}-{}-{}", api.org_id, api.api_id, &path[..16]),
                        rate,
                    },
                });
            }
            Rules::compile(rules, meaning)
                .map_err(|wrong| format!("extended_paths.rate_limit{wrong}"))
        });
        Ok(made?.map(Self))
    }

    /// The rate of the request's path.
    pub(super) fn of(&self, exchange: &Exchange) -> Option<&WholeApi> {
        let rules = self.0.of(exchange)?;
        rules.any(&Readings::below(exchange), &exchange.head.method)
    }
}

/// The rate that a key has for the request's path, as its right to the API says.
pub(super) fn of_key<'a>(
    right: &'a AccessDefinition,
    exchange: &Exchange,
    meaning: Meaning,
) -> Option<&'a EndpointLimit> {
    if right.endpoints.is_empty() {
        return None;
    }
    let readings = Readings::below(exchange);
    let method = exchange.head.method.as_str();
    right.endpoints.iter().find(|limit| {
        // Definitions and the admin API take no others.
        let pattern = meaning.expression(&limit.path, false);
        limit.method.eq_ignore_ascii_case(method)
            && pattern.is_ok_and(|pattern| {
                let mut readings = readings.all();
                readings.any(|path| matches(&pattern, path, "endpoints"))
            })
    })
}
