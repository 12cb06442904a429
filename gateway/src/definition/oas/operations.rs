//! `middleware.operations`: what is special about single operations of the document.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::paths::{Place, places, schema};
use super::plugins::{SizeLimit, TransformHeaders, pairs};
use super::{Making, Mistake, Pair, below};
use crate::definition::{
    BodyTransform, CachedPath, CircuitBreaker, HardTimeout, HeaderTransform, Match,
    MethodTransform, MockResponse, PathEntry, SizeLimit as BodyLimit, TemplateData, Trigger,
    UrlRewrite, ValidateJson,
};

/// By the ids of operations.
pub(super) type Operations = BTreeMap<String, Operation>;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Operation {
    allow: Listed,
    block: Listed,
    ignore_authentication: Listed,
    transform_request_method: Method,
    transform_request_body: Body,
    transform_response_body: Body,
    transform_request_headers: TransformHeaders,
    transform_response_headers: TransformHeaders,
    circuit_breaker: Breaker,
    url_rewrite: Rewrite,
    cache: Cache,
    enforce_timeout: SizeLimit,
    request_size_limit: SizeLimit,
    validate_request: Validate,
    mock_response: Mock,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Listed {
    enabled: bool,
    ignore_case: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Method {
    enabled: bool,
    to_method: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    enabled: bool,
    format: String,
    path: String,
    body: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Breaker {
    enabled: bool,
    threshold: f64,
    sample_size: u64,
    cool_down_period: u64,
    half_open_state_enabled: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Rewrite {
    enabled: bool,
    pattern: String,
    rewrite_to: String,
    triggers: Vec<Condition>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Condition {
    condition: String,
    rewrite_to: String,
    rules: Vec<Rule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Rule {
    r#in: String,
    name: String,
    pattern: String,
    negate: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Cache {
    enabled: bool,
    cache_by_regex: String,
    cache_response_codes: Vec<u16>,
    timeout: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Validate {
    enabled: bool,
    error_response_code: u16,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Mock {
    enabled: bool,
    code: u16,
    body: String,
    headers: Vec<Pair>,
}

/// Adds an entry to a list where something is on.
macro_rules! add {
    ($paths:ident, $place:ident, $list:ident, $type:ident, $on:expr, {
        $($field:ident: $value:expr,)*
    }) => {
        if $on.enabled {
            $paths.$list.push($type {
                path: $place.path.clone(),
                method: $place.method.clone(),
                disabled: false,
                $($field: $value,)*
            });
        }
    };
}

impl Making<'_> {
    pub(super) fn operations(&mut self, operations: Operations) -> Result<(), Mistake> {
        let document = self.document;
        let mut found = Vec::new();
        for (id, operation) in operations {
            let at = below(&format!("middleware.operations.{id}"));
            let mut places = places(document, &id);
            match (places.pop(), places.is_empty()) {
                (Some(place), true) => found.push((at, operation, place)),
                (Some(_), false) => {
                    let message = format!("operationId `{id}` is used more than once");
                    return Err(("paths".into(), message));
                }
                (None, _) => {
                    let reason = "no operation in `paths` has this operationId";
                    self.lose(at, true, reason);
                }
            }
        }
        // The first entry of a list that matches counts, and patterns reach far.
        found.sort_by_key(|(_, _, place)| place.rank());
        for (at, operation, place) in found {
            self.operation(&at, operation, &place)?;
        }
        Ok(())
    }

    fn operation(&mut self, at: &str, mut on: Operation, place: &Place<'_>) -> Result<(), Mistake> {
        let paths = &mut self.version.extended_paths;
        let exact = place.exact();
        for (listed, list, path) in [
            (&on.allow, &mut paths.white_list, &exact),
            (&on.block, &mut paths.black_list, &place.path),
            (&on.ignore_authentication, &mut paths.ignored, &exact),
        ] {
            if listed.enabled {
                list.push(PathEntry {
                    path: path.clone(),
                    method: place.method.clone(),
                    ignore_case: listed.ignore_case,
                    ..PathEntry::default()
                });
            }
        }
        if on.validate_request.enabled {
            self.validate(at, &on.validate_request, place);
        }
        self.limits(&mut on, place);
        self.transforms(at, on, place)
    }

    /// What becomes of requests and responses.
    fn transforms(&mut self, at: &str, on: Operation, place: &Place<'_>) -> Result<(), Mistake> {
        let paths = &mut self.version.extended_paths;
        add!(paths, place, method_transforms, MethodTransform, on.transform_request_method, {
            to_method: on.transform_request_method.to_method,
        });
        add!(paths, place, transform, BodyTransform, on.transform_request_body, {
            template_data: on.transform_request_body.template(),
        });
        add!(paths, place, transform_response, BodyTransform, on.transform_response_body, {
            template_data: on.transform_response_body.template(),
        });
        add!(paths, place, transform_headers, HeaderTransform, on.transform_request_headers, {
            delete_headers: on.transform_request_headers.remove,
            add_headers: pairs(on.transform_request_headers.add),
            act_on: false,
        });
        add!(paths, place, transform_response_headers, HeaderTransform, on.transform_response_headers, {
            delete_headers: on.transform_response_headers.remove,
            add_headers: pairs(on.transform_response_headers.add),
            act_on: false,
        });
        if on.mock_response.enabled {
            paths.mock_response.push(MockResponse {
                path: place.exact(),
                method: place.method.clone(),
                code: on.mock_response.code,
                body: on.mock_response.body,
                headers: pairs(on.mock_response.headers),
                ..MockResponse::default()
            });
        }
        add!(paths, place, url_rewrites, UrlRewrite, on.url_rewrite, {
            match_pattern: on.url_rewrite.pattern,
            rewrite_to: on.url_rewrite.rewrite_to,
            triggers: triggers(&format!("{at}.urlRewrite"), on.url_rewrite.triggers)?,
        });
        Ok(())
    }

    /// What holds the upstream's load within bounds.
    fn limits(&mut self, on: &mut Operation, place: &Place<'_>) {
        let paths = &mut self.version.extended_paths;
        add!(paths, place, circuit_breakers, CircuitBreaker, on.circuit_breaker, {
            threshold_percent: on.circuit_breaker.threshold,
            samples: on.circuit_breaker.sample_size,
            return_to_service_after: on.circuit_breaker.cool_down_period,
            disable_half_open_state: !on.circuit_breaker.half_open_state_enabled,
        });
        add!(paths, place, advance_cache_config, CachedPath, on.cache, {
            cache_key_regex: std::mem::take(&mut on.cache.cache_by_regex),
            cache_response_codes: std::mem::take(&mut on.cache.cache_response_codes),
            timeout: on.cache.timeout,
        });
        add!(paths, place, hard_timeouts, HardTimeout, on.enforce_timeout, {
            timeout: on.enforce_timeout.value,
        });
        add!(paths, place, size_limits, BodyLimit, on.request_size_limit, {
            size_limit: on.request_size_limit.value,
        });
    }

    /// Bodies are validated; where more would have to be, the API must not serve.
    fn validate(&mut self, at: &str, on: &Validate, place: &Place<'_>) {
        match schema(self.document, place) {
            Ok(None) => {}
            Ok(Some(schema)) => {
                let list = &mut self.version.extended_paths.validate_json;
                list.push(ValidateJson {
                    path: place.path.clone(),
                    method: place.method.clone(),
                    schema,
                    error_response_code: on.error_response_code,
                    ..ValidateJson::default()
                });
            }
            Err(reason) => self.lose(format!("{at}.validateRequest.enabled"), true, reason),
        }
    }
}

impl Body {
    fn template(self) -> TemplateData {
        let (mode, source) = match self.body.is_empty() {
            true => ("file", self.path),
            false => ("blob", self.body),
        };
        TemplateData {
            template_mode: mode.into(),
            template_source: source,
            input_type: self.format,
            enable_session: true,
        }
    }
}

fn triggers(at: &str, conditions: Vec<Condition>) -> Result<Vec<Trigger>, Mistake> {
    let mut triggers = Vec::new();
    for (number, condition) in conditions.into_iter().enumerate() {
        let mut trigger = Trigger {
            on: condition.condition,
            rewrite_to: condition.rewrite_to,
            ..Trigger::default()
        };
        let options = &mut trigger.options;
        for (place, rule) in condition.rules.into_iter().enumerate() {
            let matched = Match {
                match_rx: rule.pattern,
                reverse: rule.negate,
            };
            let list = match rule.r#in.as_str() {
                "header" => &mut options.header_matches,
                "query" => &mut options.query_val_matches,
                "path" => &mut options.path_part_matches,
                "sessionMetadata" => &mut options.session_meta_matches,
                "requestContext" => &mut options.request_context_matches,
                "requestBody" => {
                    options.payload_matches = matched;
                    continue;
                }
                other => {
                    let path = format!("{at}.triggers[{number}].rules[{place}].in");
                    return Err((path, format!("`{other}` is no part of a request")));
                }
            };
            list.insert(rule.name, matched);
        }
        triggers.push(trigger);
    }
    Ok(triggers)
}
