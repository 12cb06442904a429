//! What a step needs to know, version by version.

use crate::definition::{ApiDefinition, Version};
use crate::exchange::Exchange;

/// Something for each version that has it.
pub struct PerVersion<T>(Vec<Option<T>>);

impl<T> PerVersion<T> {
    /// Asks `make` for each version of the API. `None` when no version has any: then there is
    /// nothing to do for the step.
    pub fn make(
        definition: &ApiDefinition,
        make: impl Fn(&Version) -> Result<Option<T>, String>,
    ) -> Result<Option<Self>, String> {
        let mut all = Vec::new();
        for (name, version) in definition.version_data.used() {
            let made = make(version).map_err(|problem| {
                let api = &definition.api_id;
                format!("API `{api}`: version_data.versions.{name}.{problem}")
            })?;
            all.push(made);
        }
        Ok(all.iter().any(Option::is_some).then_some(Self(all)))
    }

    /// What there is for the request's version.
    pub fn of(&self, exchange: &Exchange) -> Option<&T> {
        self.0.get(exchange.version_index())?.as_ref()
    }
}
