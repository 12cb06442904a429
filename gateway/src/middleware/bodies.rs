//! Body transforms and the validation of bodies.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use jsonschema::Validator;

use crate::chain::{Flow, Middleware, Responding, ResponseStep, Step};
use crate::coprocess::convert::apply_body;
use crate::coprocess::elsewhere;
use crate::definition::{ApiDefinition, BodyTransform, ValidateJson, Version};
use crate::error::ProxyError;
use crate::exchange::Exchange;
use crate::traffic::PerVersion;
use crate::traffic::paths::{Meaning, Readings, Rule, Rules};
use crate::traffic::template::{Template, TemplateError};
use crate::traffic::text::context;
use crate::upstream::body::{CollectError, ResponseBody, collect};

/// Most bytes that are worked on where everything else runs.
const IN_PLACE: usize = 64 * 1024;

/// Variables of the request that templates see.
const SHOWN: [&str; 5] = ["path", "path_parts", "remote_addr", "request_id", "token"];

/// Transforms of one direction.
pub struct Bodies {
    rules: PerVersion<Rules<Arc<Template>>>,
    with_context: bool,
    limit: u64,
}

/// Asks upstreams for what can be transformed, where their responses are.
pub struct PlainResponses(Arc<Bodies>);

/// Checks bodies against schemas.
pub struct Schemas {
    rules: PerVersion<Rules<Arc<Schema>>>,
    limit: u64,
}

struct Schema {
    validator: Validator,
    status: StatusCode,
}

impl Bodies {
    /// The transforms that versions have under `key`, of which `entries` gets the list.
    pub fn new(
        api: &ApiDefinition,
        meaning: Meaning,
        limit: u64,
        key: &str,
        entries: impl for<'a> Fn(&'a Version) -> &'a [BodyTransform],
    ) -> Result<Option<Self>, String> {
        let rules = PerVersion::make(api, |version| {
            let wrong = |wrong| format!("extended_paths.{key}{wrong}");
            let mut rules = Vec::new();
            let entries = entries(version).iter().enumerate();
            for (place, entry) in entries.filter(|(_, entry)| !entry.disabled) {
                let template = Template::new(&entry.template_data);
                let template = template
                    .map_err(|problem| wrong(format!("[{place}].template_data.{problem}")))?;
                rules.push(Rule {
                    path: &entry.path,
                    method: &entry.method,
                    ignore_case: false,
                    value: Arc::new(template),
                });
            }
            Rules::compile(rules, meaning).map_err(wrong)
        })?;
        Ok(rules.map(|rules| Self {
            rules,
            with_context: api.enable_context_vars,
            limit,
        }))
    }

    fn find(&self, exchange: &Exchange) -> Option<&Arc<Template>> {
        let rules = self.rules.of(exchange)?;
        rules.any(&Readings::below(exchange), &exchange.head.method)
    }

    async fn render(
        &self,
        template: &Arc<Template>,
        exchange: &Exchange,
        body: Bytes,
    ) -> Result<Result<String, TemplateError>, ProxyError> {
        let session = exchange.session.clone().filter(|_| template.with_session);
        let context = self.with_context.then(|| variables(exchange));
        if body.len() <= IN_PLACE {
            return Ok(template.render(&body, session.as_deref(), context));
        }
        let template = Arc::clone(template);
        elsewhere(move || template.render(&body, session.as_deref(), context)).await
    }

    async fn transform(
        &self,
        template: &Arc<Template>,
        exchange: &mut Exchange,
    ) -> Result<Flow, ProxyError> {
        let body = exchange.body.hold(self.limit).await?.clone();
        let rendered = self.render(template, exchange, body).await?;
        let rendered = rendered.map_err(|error| match error {
            TemplateError::Body(..) => {
                ProxyError::Malformed("request body is not what its transform is for")
            }
            error => ProxyError::Internal(error.to_string()),
        })?;
        apply_body(rendered.into(), exchange);
        Ok(Flow::Continue)
    }
}

fn variables(exchange: &Exchange) -> HashMap<String, String> {
    let known = SHOWN.map(str::to_owned).into_iter();
    let headers = exchange.head.headers.keys().map(|name| {
        let name = coprocess_core::canonical_name(name).replace('-', "_");
        format!("headers_{name}")
    });
    let all = known.chain(headers);
    all.filter_map(|name| context(exchange, &name).map(|value| (name, value)))
        .collect()
}

impl Middleware for Bodies {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        match self.find(exchange) {
            Some(template) => Step::Later(Box::pin(self.transform(template, exchange))),
            None => Step::Done(Ok(Flow::Continue)),
        }
    }
}

impl ResponseStep for Arc<Bodies> {
    fn process<'a>(
        &'a self,
        exchange: &'a mut Exchange,
        response: Response<ResponseBody>,
    ) -> Responding<'a> {
        Box::pin(async move {
            let Some(template) = self.find(exchange) else {
                return Ok(response);
            };
            let (mut head, body) = response.into_parts();
            if head.headers.contains_key(header::CONTENT_ENCODING) {
                let reason = "its body is compressed and cannot be transformed";
                return Err(ProxyError::UpstreamProtocol(reason.into()));
            }
            let body = whole(body, self.limit).await?;
            let rendered = self.render(template, exchange, body).await?;
            let rendered =
                rendered.map_err(|error| ProxyError::UpstreamProtocol(error.to_string()))?;
            head.headers.remove(header::TRANSFER_ENCODING);
            let length = HeaderValue::from(rendered.len());
            head.headers.insert(header::CONTENT_LENGTH, length);
            let body = ResponseBody::full(rendered.into());
            Ok(Response::from_parts(head, body))
        })
    }
}

/// Reads a response's body.
async fn whole(body: ResponseBody, limit: u64) -> Result<Bytes, ProxyError> {
    match body {
        ResponseBody::Whole(bytes) => Ok(bytes),
        ResponseBody::Upstream(mut body, lease) => {
            let bytes = collect(&mut body, limit)
                .await
                .map_err(|error| match error {
                    CollectError::TooLong => ProxyError::UpstreamProtocol(format!(
                        "its body is longer than coprocess_options.max_body_bytes ({limit})"
                    )),
                    CollectError::Stalled => ProxyError::UpstreamTimeout,
                    CollectError::Broken(error) => ProxyError::UpstreamProtocol(error.to_string()),
                })?;
            if let Some(lease) = lease {
                lease.give_back();
            }
            Ok(bytes)
        }
        _ => Err(ProxyError::Internal("response is not an upstream's".into())),
    }
}

impl PlainResponses {
    /// The step for these transforms of responses.
    pub fn new(bodies: &Arc<Bodies>) -> Self {
        Self(Arc::clone(bodies))
    }
}

impl Middleware for PlainResponses {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if self.0.find(exchange).is_some() {
            exchange.head.headers.remove(header::ACCEPT_ENCODING);
        }
        Step::Done(Ok(Flow::Continue))
    }
}

impl Schemas {
    /// The step, if a version has schemas.
    pub fn new(api: &ApiDefinition, meaning: Meaning, limit: u64) -> Result<Option<Self>, String> {
        let rules = PerVersion::make(api, |version| {
            let wrong = |wrong| format!("extended_paths.validate_json{wrong}");
            let mut rules = Vec::new();
            let entries = version.extended().validate_json.iter().enumerate();
            for (place, entry) in entries.filter(|(_, entry)| !entry.disabled) {
                let schema = Schema::new(entry);
                let schema = schema.map_err(|problem| wrong(format!("[{place}].{problem}")))?;
                rules.push(Rule {
                    path: &entry.path,
                    method: &entry.method,
                    ignore_case: false,
                    value: Arc::new(schema),
                });
            }
            Rules::compile(rules, meaning).map_err(wrong)
        })?;
        Ok(rules.map(|rules| Self { rules, limit }))
    }

    async fn check(
        &self,
        schema: &Arc<Schema>,
        exchange: &mut Exchange,
    ) -> Result<Flow, ProxyError> {
        let body = exchange.body.hold(self.limit).await?.clone();
        apply_body(body.clone(), exchange);
        let outcome = if body.len() <= IN_PLACE {
            schema.check(&body)
        } else {
            let schema = Arc::clone(schema);
            elsewhere(move || schema.check(&body)).await?
        };
        outcome.map(|()| Flow::Continue)
    }
}

impl Middleware for Schemas {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let rules = self.rules.of(exchange);
        let found =
            rules.and_then(|rules| rules.any(&Readings::below(exchange), &exchange.head.method));
        match found {
            Some(schema) => Step::Later(Box::pin(self.check(schema, exchange))),
            None => Step::Done(Ok(Flow::Continue)),
        }
    }
}

impl Schema {
    fn new(written: &ValidateJson) -> Result<Self, String> {
        let schema = if written.schema_b64.is_empty() {
            if written.schema.is_null() {
                return Err("schema: is missing".into());
            }
            written.schema.clone()
        } else {
            let text = STANDARD.decode(&written.schema_b64);
            let text = text.map_err(|error| format!("schema_b64: {error}"))?;
            serde_json::from_slice(&text).map_err(|error| format!("schema_b64: {error}"))?
        };
        let status = match written.error_response_code {
            0 => StatusCode::UNPROCESSABLE_ENTITY,
            code => StatusCode::from_u16(code)
                .ok()
                .filter(|status| status.as_u16() >= 400)
                .ok_or_else(|| format!("error_response_code: {code} is no status from 400 on"))?,
        };
        let validator = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft4)
            // The other engine may take very long on what a client sends.
            .with_pattern_options(jsonschema::PatternOptions::regex())
            .build(&schema)
            .map_err(|error| format!("schema: {error}"))?;
        Ok(Self { validator, status })
    }

    fn check(&self, body: &[u8]) -> Result<(), ProxyError> {
        let value: serde_json::Value = serde_json::from_slice(body).map_err(|error| {
            let message = format!("JSON parsing error: {error}");
            ProxyError::Invalid(StatusCode::BAD_REQUEST, message)
        })?;
        let wrong: Vec<_> = self
            .validator
            .iter_errors(&value)
            .take(MAX_TOLD)
            .map(|error| {
                let path = error.instance_path().to_string();
                let path = path.trim_start_matches('/').replace('/', ".");
                let path = if path.is_empty() { "(root)" } else { &path };
                // What the client sent is not for the log, and may be long.
                format!("{path}: {}", error.masked())
            })
            .collect();
        if wrong.is_empty() {
            return Ok(());
        }
        Err(ProxyError::Invalid(self.status, wrong.join("; ")))
    }
}

/// Most mistakes that one answer tells.
const MAX_TOLD: usize = 20;
