//! Small things that a definition says of single paths: how large a body may be, how long the
//! upstream may take, which method it sees.

use std::time::Duration;

use http::Method;
use http_body::Body;

use crate::chain::{Flow, Middleware, Step};
use crate::definition::ApiDefinition;
use crate::error::ProxyError;
use crate::exchange::Exchange;
use crate::traffic::PerVersion;
use crate::traffic::paths::{self, Meaning, Readings, Rule, Rules};
use crate::upstream::body::RequestBody;

/// Limits of a request's body.
pub struct SizeLimits(PerVersion<(Option<u64>, Option<Rules<u64>>)>);

/// Limits of the time until the upstream begins its answer.
pub struct TimeLimits(PerVersion<Rules<Duration>>);

/// Other methods for the upstream.
pub struct Methods(PerVersion<Rules<Method>>);

fn rule<'a, T>(path: &'a str, method: &'a str, value: T) -> Rule<'a, T> {
    Rule {
        path,
        method,
        ignore_case: false,
        value,
    }
}

fn compile<T>(key: &str, rules: Vec<Rule<'_, T>>, meaning: Meaning) -> Found<T> {
    Rules::compile(rules, meaning).map_err(|wrong| format!("extended_paths.{key}{wrong}"))
}

type Found<T> = Result<Option<Rules<T>>, String>;

impl SizeLimits {
    /// The step, if a version has limits.
    pub fn new(api: &ApiDefinition, meaning: Meaning) -> Result<Option<Self>, String> {
        let made = PerVersion::make(api, |version| {
            let limit = version.global_size_limit;
            let everywhere = (limit > 0 && !version.global_size_limit_disabled).then_some(limit);
            let entries = version.extended().size_limits.iter();
            let entries = entries.filter(|entry| !entry.disabled);
            let rules = entries.map(|entry| rule(&entry.path, &entry.method, entry.size_limit));
            let by_path = compile("size_limits", rules.collect(), meaning)?;
            let needed = everywhere.is_some() || by_path.is_some();
            Ok(needed.then_some((everywhere, by_path)))
        });
        Ok(made?.map(Self))
    }

    fn check(&self, exchange: &Exchange) -> Result<(), ProxyError> {
        let Some((everywhere, by_path)) = self.0.of(exchange) else {
            return Ok(());
        };
        let by_path = by_path.as_ref();
        let here =
            by_path.and_then(|rules| rules.any(&Readings::below(exchange), &exchange.head.method));
        let Some(limit) = everywhere.iter().chain(here).min() else {
            return Ok(());
        };
        let length = match &exchange.body {
            RequestBody::Whole(body) => body.len() as u64,
            RequestBody::Stream(body, _) => {
                let length = body.size_hint().exact();
                length.ok_or(ProxyError::LengthRequired)?
            }
        };
        if length > *limit {
            return Err(ProxyError::RequestTooLarge);
        }
        Ok(())
    }
}

impl Middleware for SizeLimits {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        Step::Done(self.check(exchange).map(|()| Flow::Continue))
    }
}

impl TimeLimits {
    /// The step, if a version has limits.
    pub fn new(api: &ApiDefinition, meaning: Meaning) -> Result<Option<Self>, String> {
        let made = PerVersion::make(api, |version| {
            let mut rules = Vec::new();
            let entries = version.extended().hard_timeouts.iter().enumerate();
            for (place, entry) in entries.filter(|(_, entry)| !entry.disabled) {
                if entry.timeout == 0 {
                    return Err(format!(
                        "extended_paths.hard_timeouts[{place}].timeout: 0 would end every request"
                    ));
                }
                let limit = Duration::from_secs(entry.timeout);
                rules.push(rule(&entry.path, &entry.method, limit));
            }
            compile("hard_timeouts", rules, meaning)
        });
        Ok(made?.map(Self))
    }
}

impl Middleware for TimeLimits {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let rules = self.0.of(exchange);
        let found = rules
            .and_then(|rules| rules.any(&Readings::below(exchange), &exchange.head.method))
            .copied();
        if let Some(limit) = found {
            exchange.notes().time_limit = Some(limit);
        }
        Step::Done(Ok(Flow::Continue))
    }
}

impl Methods {
    /// The step, if a version has transforms of methods.
    pub fn new(api: &ApiDefinition, meaning: Meaning) -> Result<Option<Self>, String> {
        let made = PerVersion::make(api, |version| {
            let mut rules = Vec::new();
            let entries = version.extended().method_transforms.iter().enumerate();
            for (place, entry) in entries.filter(|(_, entry)| !entry.disabled) {
                let method = paths::method(&entry.to_method);
                let method = method.ok().flatten().ok_or_else(|| {
                    let key = format!("extended_paths.method_transforms[{place}].to_method");
                    format!("{key}: `{}` is no method", entry.to_method)
                })?;
                rules.push(rule(&entry.path, &entry.method, method));
            }
            compile("method_transforms", rules, meaning)
        });
        Ok(made?.map(Self))
    }
}

impl Middleware for Methods {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let rules = self.0.of(exchange);
        let found = rules
            .and_then(|rules| rules.any(&Readings::below(exchange), &exchange.head.method))
            .cloned();
        if let Some(method) = found {
            exchange.head.method = method;
        }
        Step::Done(Ok(Flow::Continue))
    }
}
