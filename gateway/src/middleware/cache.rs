//! Answers with a response that is kept, and has others kept.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method, StatusCode, header};
use http_body::Body;
use regex::Regex;

use crate::cache::{Key, Responses, Rules as Keepable, Ticket};
use crate::chain::{Flow, Middleware, Step};
use crate::definition::{ApiDefinition, CacheOptions, CachedPath, Version};
use crate::error::ProxyError;
use crate::exchange::Exchange;
use crate::server::add_limits;
use crate::traffic::PerVersion;
use crate::traffic::paths::{Meaning, Readings, Rule, Rules};

/// How long a response is kept where nothing else is said.
const USUAL_TIME: Duration = Duration::from_secs(60);

/// Looks for a kept response.
pub struct ResponseCache {
    api: Arc<str>,
    responses: Responses,
    /// `None` is every path.
    by_path: Option<PerVersion<Rules<Arc<Path>>>>,
    everywhere: Option<Arc<Path>>,
    /// Headers that responses depend on.
    headers: Vec<HeaderName>,
    max_body_bytes: u64,
}

/// What is kept of a path.
struct Path {
    time: Duration,
    rules: Arc<Keepable>,
    /// The methods are safe ones only.
    only_safe: bool,
    /// What of a body a response belongs to; `None` is all of it.
    body: Option<Regex>,
}

impl ResponseCache {
    /// The step, if the definition has a cache.
    pub fn new(
        definition: &ApiDefinition,
        meaning: Meaning,
        responses: &Responses,
        max_body_bytes: u64,
    ) -> Result<Option<Self>, String> {
        let options = &definition.cache_options;
        if !options.enable_cache {
            return Ok(None);
        }
        let api = &definition.api_id;
        let wrong = |wrong: String| format!("API `{api}`: cache_options.{wrong}");
        let usual = Path::usual(options).map_err(wrong)?;
        let by_path = PerVersion::make(definition, |version| rules(version, meaning, &usual))?;
        let everywhere = options.cache_all_safe_requests.then_some(usual);
        let headers = options.cache_by_headers.iter();
        let headers = headers.map(|name| header_name("cache_by_headers", name).map_err(wrong));
        let needed = by_path.is_some() || everywhere.is_some();
        Ok(needed.then_some(Self {
            api: api.as_str().into(),
            responses: responses.clone(),
            by_path,
            everywhere,
            headers: headers.collect::<Result<_, _>>()?,
            max_body_bytes,
        }))
    }

    fn path(&self, exchange: &Exchange) -> Option<&Arc<Path>> {
        let method = &exchange.head.method;
        let is_safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        let rules = self.by_path.as_ref().and_then(|rules| rules.of(exchange));
        let found = rules.and_then(|rules| rules.any(&Readings::below(exchange), method));
        let found = found.filter(|path| is_safe || !path.only_safe);
        found.or_else(|| self.everywhere.as_ref().filter(|_| is_safe))
    }

    /// A request that must not be answered from here, nor its response be kept.
    fn is_out(exchange: &Exchange) -> bool {
        let headers = &exchange.head.headers;
        let session = exchange.session.as_ref();
        let no_store = headers.get_all(header::CACHE_CONTROL).iter().any(|value| {
            let value = value.as_bytes().to_ascii_lowercase();
            value.windows(8).any(|part| part == b"no-store")
        });
        // Their answers are parts, or say that nothing has changed.
        let conditions = [
            header::RANGE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            header::IF_MODIFIED_SINCE,
            header::IF_UNMODIFIED_SINCE,
        ];
        let notes = exchange.traffic.as_ref();
        no_store
            || exchange.upgrade.is_some()
            || conditions.iter().any(|name| headers.contains_key(name))
            // Another API takes over, which may keep what it answers itself.
            || notes.is_some_and(|notes| notes.loop_to.is_some())
            // A session without a name cannot be told from another one.
            || session.is_some_and(|session| session.key_id.is_empty())
    }

    fn find(&self, path: &Path, exchange: &mut Exchange, body: &[u8]) -> Flow {
        let key = Key {
            api: Arc::clone(&self.api),
            rest: self.key(exchange, body),
        };
        if let Some(mut response) = self.responses.find(&key, &exchange.head.headers) {
            if exchange.session.is_some() {
                add_limits(response.headers_mut(), exchange);
            }
            return Flow::Respond(response);
        }
        let asked = exchange.head.headers.clone();
        let (responses, rules) = (self.responses.clone(), Arc::clone(&path.rules));
        exchange.notes().keep = Some(Ticket::new(responses, key, rules, path.time, asked));
        Flow::Continue
    }

    /// All that a response belongs to, each part with its length before it.
    fn key(&self, exchange: &Exchange, body: &[u8]) -> Box<[u8]> {
        let head = &exchange.head;
        let session = exchange.session.as_deref();
        let target = exchange.traffic.as_ref();
        let target = target.and_then(|traffic| traffic.target.as_ref());
        let target = target.unwrap_or(&exchange.api.target);
        let url = head.uri.path_and_query().map_or("/", |url| url.as_str());
        let mut key = Vec::with_capacity(256);
        let mut push = |part: &[u8]| {
            key.extend_from_slice(&(part.len() as u64).to_le_bytes());
            key.extend_from_slice(part);
        };
        push(exchange.version.as_deref().unwrap_or_default().as_bytes());
        push(target.authority.as_bytes());
        push(target.path.as_bytes());
        push(head.method.as_str().as_bytes());
        push(url.as_bytes());
        push(session.map_or("", |session| &session.key_id).as_bytes());
        push(&[u8::from(session.is_some())]);
        push(body);
        let host = exchange.api.preserve_host_header.then_some(&header::HOST);
        let credentials = [&header::AUTHORIZATION, &header::COOKIE];
        for name in self.headers.iter().chain(credentials).chain(host) {
            let values = head.headers.get_all(name);
            push(name.as_str().as_bytes());
            push(&values.iter().count().to_le_bytes());
            values.iter().for_each(|value| push(value.as_bytes()));
        }
        key.into()
    }

    async fn hold_and_find(
        &self,
        path: &Path,
        exchange: &mut Exchange,
    ) -> Result<Flow, ProxyError> {
        exchange.body.hold(self.max_body_bytes).await?;
        let body = exchange.body.take_whole().unwrap_or_default();
        crate::coprocess::convert::apply_body(body.clone(), exchange);
        let part = match &path.body {
            Some(pattern) => {
                let text = String::from_utf8_lossy(&body);
                let found = pattern.find(&text).map(|found| found.as_str().to_owned());
                found.unwrap_or_default().into_bytes()
            }
            None => body.to_vec(),
        };
        Ok(self.find(path, exchange, &part))
    }
}

impl Middleware for ResponseCache {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Some(path) = self.path(exchange) else {
            return Step::Done(Ok(Flow::Continue));
        };
        if Self::is_out(exchange) {
            return Step::Done(Ok(Flow::Continue));
        }
        if exchange.body.is_end_stream() {
            return Step::Done(Ok(self.find(path, exchange, b"")));
        }
        Step::Later(Box::pin(self.hold_and_find(path, exchange)))
    }
}

fn header_name(key: &str, name: &str) -> Result<HeaderName, String> {
    let parsed = HeaderName::from_bytes(name.as_bytes());
    parsed.map_err(|_| format!("{key}: `{name}` is no header"))
}

fn statuses(codes: &[u16]) -> Result<Vec<StatusCode>, String> {
    let statuses = codes.iter().map(|code| {
        let status = StatusCode::from_u16(*code);
        status.map_err(|_| format!("cache_response_codes: {code} is no status"))
    });
    statuses.collect()
}

impl Path {
    /// What holds for all paths that have no settings of their own.
    fn usual(options: &CacheOptions) -> Result<Arc<Self>, String> {
        let control = match options.cache_control_ttl_header.as_str() {
            "" => "x-tyk-cache-action-set-ttl",
            name => name,
        };
        let control = header_name("cache_control_ttl_header", control)?;
        Ok(Arc::new(Self {
            time: match options.cache_timeout {
                0 => USUAL_TIME,
                seconds => Duration::from_secs(seconds),
            },
            rules: Arc::new(Keepable {
                statuses: statuses(&options.cache_response_codes)?,
                upstream_control: options.enable_upstream_cache_control.then_some(control),
            }),
            only_safe: true,
            body: None,
        }))
    }

    /// What holds for a path with settings.
    fn special(&self, written: &CachedPath) -> Result<Self, String> {
        let body = match written.cache_key_regex.as_str() {
            "" => None,
            text => {
                let regex = Regex::new(text);
                Some(regex.map_err(|error| format!("cache_key_regex: {error}"))?)
            }
        };
        let rules = match written.cache_response_codes.as_slice() {
            [] => Arc::clone(&self.rules),
            codes => Arc::new(Keepable {
                statuses: statuses(codes)?,
                upstream_control: self.rules.upstream_control.clone(),
            }),
        };
        Ok(Self {
            time: match written.timeout {
                0 => self.time,
                seconds => Duration::from_secs(seconds),
            },
            rules,
            only_safe: false,
            body,
        })
    }
}

/// The paths of a version whose responses are kept.
fn rules(
    version: &Version,
    meaning: Meaning,
    usual: &Arc<Path>,
) -> Result<Option<Rules<Arc<Path>>>, String> {
    let paths = version.extended();
    let mut rules = Vec::new();
    let entries = paths.advance_cache_config.iter().enumerate();
    for (place, entry) in entries.filter(|(_, entry)| !entry.disabled) {
        let value = usual
            .special(entry)
            .map_err(|wrong| format!("extended_paths.advance_cache_config[{place}].{wrong}"))?;
        rules.push(Rule {
            path: &entry.path,
            method: &entry.method,
            ignore_case: false,
            value: Arc::new(value),
        });
    }
    let plain = paths.cache.iter().map(|path| Rule {
        path,
        method: "",
        ignore_case: false,
        value: Arc::clone(usual),
    });
    rules.extend(plain);
    Rules::compile(rules, meaning).map_err(|wrong| format!("extended_paths.cache{wrong}"))
}
