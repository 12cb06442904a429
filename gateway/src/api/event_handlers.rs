//! The event handlers of one API, made when it is loaded.

use std::sync::Arc;

use coprocess_core::Spec;

use super::plugins::{HookResolver, driver_of};
use crate::bundle::Bundle;
use crate::definition::ApiDefinition;
use crate::events::{ApiEvents, Events, Function, HandlerReport, PluginMeta};

/// The API's events, and how its handlers fared.
pub(super) fn make(
    definition: &ApiDefinition,
    bundle: Option<&Bundle>,
    spec: &Arc<Spec>,
    events: &Events,
    resolver: &mut HookResolver<'_>,
) -> (ApiEvents, Vec<HandlerReport>) {
    let mut find = |settings: &PluginMeta| {
        let function = function(definition, bundle, resolver, settings)?;
        Ok(events.plugin_handler(function, Arc::clone(spec)))
    };
    let maker = events.maker(Some(&definition.api_id));
    let (handlers, reports) = maker.make(&definition.event_handlers, &mut find);
    (ApiEvents::new(events.clone(), handlers), reports)
}

fn function(
    definition: &ApiDefinition,
    bundle: Option<&Bundle>,
    resolver: &mut HookResolver<'_>,
    settings: &PluginMeta,
) -> Result<Function, String> {
    let middleware = &definition.custom_middleware;
    let driver = resolver
        .driver(driver_of(&settings.driver, middleware))
        .map_err(|broken| format!("no plugin driver is available: {}", broken.reason()))?;
    let options = middleware.driver_options.get(&*driver.name);
    Ok(Function {
        name: settings.name.as_str().into(),
        hook: resolver.event_handler(&driver, bundle, options, &settings.name)?,
        driver: driver.name,
        language: driver.language,
        time_limit: resolver.time_limit(),
    })
}
