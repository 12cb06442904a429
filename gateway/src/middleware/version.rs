//! Which version of its API a request is for, and whether that version and the path are open.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri, header};
use regex::Regex;
use tracing::warn;

use crate::chain::{Flow, Middleware, Step};
use crate::coprocess::overrides::sniff;
use crate::coprocess::query;
use crate::definition::{ApiDefinition, MethodAction, PathEntry, Version as Written, VersionRule};
use crate::error::ProxyError;
use crate::exchange::{Exchange, first_segment};
use crate::session::unix_now;
use crate::traffic::paths::{Meaning, Readings, Rule, Rules};
use crate::upstream::body::ResponseBody;
use crate::upstream::target::Target;

/// What every answer of a version that ends is told.
const EXPIRES: HeaderName = HeaderName::from_static("x-tyk-api-expires");

/// Finds the version and checks it.
pub struct Version {
    choice: Option<Choice>,
    /// In the order of their names.
    versions: Vec<Checks>,
    expires: Option<End>,
}

/// How a version is chosen.
struct Choice {
    place: Place,
    strip: bool,
    by_name: BTreeMap<Arc<str>, usize>,
    /// For requests that name none.
    default: Option<usize>,
    /// For requests that name one that does not exist.
    fallback: Option<usize>,
}

/// Where a request names its version.
enum Place {
    Nowhere,
    Header(HeaderName),
    Parameter(String),
    /// The first segment, if it looks like this.
    Path(Option<Regex>),
}

/// What a version asks of its requests.
struct Checks {
    name: Arc<str>,
    expires: Option<End>,
    target: Option<Arc<Target>>,
    closed: Option<Rules<Action>>,
    ignored: Option<Rules<Action>>,
    open: Option<Rules<Action>>,
}

/// A moment after which something is closed.
#[derive(Clone)]
struct End {
    at: i64,
    text: HeaderValue,
}

/// What happens on a path of a list.
enum Action {
    /// What the list is for.
    Usual,
    /// An answer that the definition has ready.
    Reply(Box<Reply>),
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// The three lists of a version, whichever way they are written.
struct Lists {
    closed: Vec<PathEntry>,
    ignored: Vec<PathEntry>,
    open: Vec<PathEntry>,
}

impl Version {
    /// The step, if the definition has something to check.
    pub fn new(definition: &ApiDefinition, meaning: Meaning) -> Result<Option<Self>, String> {
        let api = &definition.api_id;
        let data = &definition.version_data;
        let mut versions = Vec::new();
        for (name, version) in data.used() {
            let checks = Checks::new(name, version, api, meaning);
            let place = |wrong| format!("API `{api}`: version_data.versions.{name}.{wrong}");
            versions.push(checks.map_err(place)?);
        }
        let choice = data
            .is_versioned()
            .then(|| Choice::new(definition, &versions));
        let choice = choice
            .transpose()
            .map_err(|wrong| format!("API `{api}`: {wrong}"))?;
        let expires = End::parse(&definition.expiration)
            .map_err(|wrong| format!("API `{api}`: expiration: {wrong}"))?;
        let needed = choice.is_some() || expires.is_some() || versions.iter().any(Checks::is_some);
        Ok(needed.then_some(Self {
            choice,
            versions,
            expires,
        }))
    }

    fn check(&self, exchange: &mut Exchange) -> Result<Flow, ProxyError> {
        let now = unix_now();
        if self.expires.as_ref().is_some_and(|end| end.at < now) {
            return Err(ProxyError::ApiExpired);
        }
        let index = match &self.choice {
            Some(choice) => choice.choose(exchange)?,
            None => 0,
        };
        let Some(checks) = self.versions.get(index) else {
            return Ok(Flow::Continue);
        };
        let notes = exchange.notes();
        notes.version = index;
        notes.target.clone_from(&checks.target);
        if let Some(end) = &checks.expires {
            if end.at < now {
                return Err(ProxyError::VersionExpired);
            }
            notes.answer_headers.insert(EXPIRES, end.text.clone());
        }
        if self.choice.is_some() {
            exchange.version = Some(Arc::clone(&checks.name));
        }
        checks.check_path(exchange)
    }
}

impl Middleware for Version {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        Step::Done(self.check(exchange))
    }
}

/// Whether a version of the API lets requests pass that are not authenticated.
pub fn ignores_paths(definition: &ApiDefinition) -> bool {
    let mut versions = definition.version_data.used().into_iter();
    versions.any(|(_, version)| !Lists::of(version).ignored.is_empty())
}

// === impl Choice ===

impl Choice {
    fn new(definition: &ApiDefinition, versions: &[Checks]) -> Result<Self, String> {
        let rule = &definition.definition;
        let names = versions.iter().enumerate();
        let by_name: BTreeMap<_, _> = names
            .map(|(place, checks)| (Arc::clone(&checks.name), place))
            .collect();
        let default = &definition.version_data.default_version;
        let default = match default.as_str() {
            "" => None,
            name => Some(*by_name.get(name).ok_or_else(|| {
                let known: Vec<_> = by_name.keys().map(|name| &**name).collect();
                let known = known.join(", ");
                format!("version_data.default_version: there is no `{name}`, only {known}")
            })?),
        };
        Ok(Self {
            place: Place::new(rule)?,
            strip: rule.strip_path || rule.strip_versioning_data,
            by_name,
            default,
            fallback: default.filter(|_| rule.fallback_to_default),
        })
    }

    /// The version that the request is for; takes its name out of the request if asked to.
    fn choose(&self, exchange: &mut Exchange) -> Result<usize, ProxyError> {
        let name = self.place.find(exchange)?;
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return self.default.ok_or(ProxyError::VersionMissing);
        };
        let Some(&index) = self.by_name.get(name.as_str()) else {
            return self.fallback.ok_or(ProxyError::VersionUnknown);
        };
        if self.strip {
            self.place.strip(exchange)?;
        } else {
            exchange.notes().version_in_path = matches!(self.place, Place::Path(_));
        }
        Ok(index)
    }
}

// === impl Place ===

impl Place {
    fn new(rule: &VersionRule) -> Result<Self, String> {
        let key = rule.key.as_str();
        let needs = |what| format!("definition.key: needs the name of the {what}");
        match rule.location.as_str() {
            "" => Ok(Self::Nowhere),
            "header" if key.is_empty() => Err(needs("header")),
            "header" => HeaderName::from_bytes(key.as_bytes())
                .map(Self::Header)
                .map_err(|_| format!("definition.key: `{key}` is no header")),
            "url-param" if key.is_empty() => Err(needs("parameter")),
            "url-param" => Ok(Self::Parameter(key.to_owned())),
            "url" => match rule.url_versioning_pattern.as_str() {
                "" => Ok(Self::Path(None)),
                pattern => Regex::new(pattern)
                    .map(|pattern| Self::Path(Some(pattern)))
                    .map_err(|error| format!("definition.url_versioning_pattern: {error}")),
            },
            other => Err(format!(
                "definition.location: `{other}` is not one of header, url, url-param"
            )),
        }
    }

    /// The name that the request gives. One that gives two is of no version: the upstream
    /// might look at the other one.
    fn find(&self, exchange: &Exchange) -> Result<Option<String>, ProxyError> {
        let head = &exchange.head;
        let mut names: Vec<String> = match self {
            Self::Nowhere => Vec::new(),
            Self::Header(key) => head
                .headers
                .get_all(key)
                .iter()
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .collect(),
            Self::Parameter(key) => pairs(&head.uri)
                .filter(|(name, _)| name == key)
                .map(|(_, value)| value)
                .collect(),
            Self::Path(pattern) => first_segment(exchange.path_below())
                .map(|(first, _)| query::decode_path(first))
                .filter(|first| {
                    pattern
                        .as_ref()
                        .is_none_or(|pattern| pattern.is_match(first))
                })
                .into_iter()
                .collect(),
        };
        names.dedup();
        if names.len() > 1 {
            return Err(ProxyError::VersionUnknown);
        }
        Ok(names.pop())
    }

    fn strip(&self, exchange: &mut Exchange) -> Result<(), ProxyError> {
        let head = &mut exchange.head;
        let uri = match self {
            Self::Nowhere => return Ok(()),
            Self::Header(key) => {
                head.headers.remove(key);
                return Ok(());
            }
            Self::Parameter(key) => query::without(&head.uri, key),
            Self::Path(_) => without_first_segment(&head.uri, exchange.listen_length),
        };
        let uri = uri.map_err(ProxyError::Internal)?;
        crate::edge::target::check(&uri, exchange.policy).map_err(ProxyError::Malformed)?;
        exchange.retarget(uri);
        Ok(())
    }
}

fn pairs(uri: &Uri) -> impl Iterator<Item = (String, String)> {
    let pairs = uri.query().unwrap_or_default().split('&');
    pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = |text| query::decode(text).into_owned();
        (decoded(name), decoded(value))
    })
}

/// The target without the first segment below the listen path.
fn without_first_segment(uri: &Uri, listen_length: usize) -> Result<Uri, String> {
    let path = uri.path();
    let (listened, rest) = path.split_at_checked(listen_length).unwrap_or((path, ""));
    let after = first_segment(rest).map_or("", |(_, after)| after);
    let joined = match listened.ends_with('/') {
        true => format!("{listened}{}", after.strip_prefix('/').unwrap_or(after)),
        false => format!("{listened}{after}"),
    };
    let path = if joined.is_empty() { "/" } else { &joined };
    query::with_path(uri, path)
}

// === impl Checks ===

impl Checks {
    fn new(name: &str, version: &Written, api: &str, meaning: Meaning) -> Result<Self, String> {
        let key = if version.use_extended_paths {
            "extended_paths"
        } else {
            if !Lists::extended(version).is_empty() {
                let version = name;
                warn!(
                    api,
                    version, "extended_paths have no effect: use_extended_paths is off."
                );
            }
            "paths"
        };
        let Lists {
            closed,
            ignored,
            open,
        } = Lists::of(version);
        let list = |list: &str, entries: &[PathEntry], meaning| {
            compile(entries, meaning).map_err(|problem| format!("{key}.{list}{problem}"))
        };
        let target = match version.override_target.as_str() {
            "" => None,
            url => Some(Target::parse(url).map_err(|error| format!("override_target: {error}"))?),
        };
        Ok(Self {
            name: name.into(),
            expires: End::parse(&version.expires).map_err(|wrong| format!("expires: {wrong}"))?,
            target: target.map(Arc::new),
            closed: list("black_list", &closed, meaning)?,
            ignored: list("ignored", &ignored, meaning.opening())?,
            open: list("white_list", &open, meaning.opening())?,
        })
    }

    fn is_some(&self) -> bool {
        self.expires.is_some()
            || self.target.is_some()
            || [&self.closed, &self.ignored, &self.open]
                .into_iter()
                .any(Option::is_some)
    }

    fn check_path(&self, exchange: &mut Exchange) -> Result<Flow, ProxyError> {
        let method = &exchange.head.method;
        let below = Readings::below(exchange);
        if let Some(closed) = &self.closed {
            let whole = Readings::whole(exchange);
            let found = closed.any(&below, method);
            match found.or_else(|| closed.any(&whole, method)) {
                Some(Action::Reply(reply)) => return Ok(reply.flow()),
                Some(Action::Usual) => return Err(ProxyError::PathForbidden),
                None => {}
            }
        }
        let ignored = self.ignored.as_ref();
        match ignored.and_then(|ignored| ignored.every(&below, method)) {
            Some(Action::Reply(reply)) => return Ok(reply.flow()),
            Some(Action::Usual) => {
                exchange.notes().ignored = true;
                return Ok(Flow::Continue);
            }
            None => {}
        }
        let Some(open) = &self.open else {
            return Ok(Flow::Continue);
        };
        match open.every(&below, method) {
            Some(Action::Reply(reply)) => Ok(reply.flow()),
            Some(Action::Usual) => Ok(Flow::Continue),
            None => Err(ProxyError::PathForbidden),
        }
    }
}

// === impl Lists ===

impl Lists {
    fn of(version: &Written) -> Self {
        if version.use_extended_paths {
            return Self::extended(version);
        }
        let paths = &version.paths;
        let list = |paths: &[String]| {
            let entry = |path: &String| PathEntry {
                path: path.clone(),
                ..PathEntry::default()
            };
            paths.iter().map(entry).collect()
        };
        Self {
            closed: list(&paths.black_list),
            ignored: list(&paths.ignored),
            open: list(&paths.white_list),
        }
    }

    fn extended(version: &Written) -> Self {
        let paths = &version.extended_paths;
        Self {
            closed: paths.black_list.clone(),
            ignored: paths.ignored.clone(),
            open: paths.white_list.clone(),
        }
    }

    fn is_empty(&self) -> bool {
        self.closed.is_empty() && self.ignored.is_empty() && self.open.is_empty()
    }
}

fn compile(entries: &[PathEntry], meaning: Meaning) -> Result<Option<Rules<Action>>, String> {
    let mut rules = Vec::new();
    let mut push = |entry, method, value| rules.push(rule(entry, method, value));
    for (place, entry) in entries.iter().enumerate() {
        if entry.disabled {
            continue;
        }
        if entry.method_actions.is_empty() {
            push(entry, &entry.method, Action::Usual);
        }
        for (method, action) in &entry.method_actions {
            let value = Action::new(action)
                .map_err(|wrong| format!("[{place}].method_actions.{method}.{wrong}"))?;
            push(entry, method, value);
        }
    }
    Rules::compile(rules, meaning)
}

fn rule<'a>(entry: &'a PathEntry, method: &'a str, value: Action) -> Rule<'a, Action> {
    Rule {
        path: &entry.path,
        method,
        ignore_case: entry.ignore_case,
        value,
    }
}

// === impl Action, Reply ===

impl Action {
    fn new(written: &MethodAction) -> Result<Self, String> {
        match written.action.as_str() {
            "" | "no_action" => return Ok(Self::Usual),
            "reply" => {}
            other => return Err(format!("action: `{other}` is not one of no_action, reply")),
        }
        let status = StatusCode::from_u16(written.code).ok();
        let status = status.filter(|status| !status.is_informational());
        let status = status.ok_or_else(|| format!("code: {} is no status", written.code))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &written.headers {
            let wrong = |what: &str| format!("headers: `{name}` {what}");
            let parsed = HeaderName::from_bytes(name.as_bytes());
            let parsed = parsed.map_err(|_| wrong("is no header"))?;
            let value = HeaderValue::from_str(value).map_err(|_| wrong("has an unusable value"))?;
            // The body is ours to frame.
            if parsed != header::CONTENT_LENGTH && parsed != header::TRANSFER_ENCODING {
                headers.insert(parsed, value);
            }
        }
        if !written.data.is_empty() && !headers.contains_key(header::CONTENT_TYPE) {
            let found = HeaderValue::from_static(sniff(&written.data));
            headers.insert(header::CONTENT_TYPE, found);
        }
        Ok(Self::Reply(Box::new(Reply {
            status,
            headers,
            body: written.data.clone().into(),
        })))
    }
}

impl Reply {
    fn flow(&self) -> Flow {
        let mut response = Response::new(ResponseBody::full(self.body.clone()));
        *response.status_mut() = self.status;
        response.headers_mut().clone_from(&self.headers);
        Flow::Respond(response)
    }
}

// === impl End ===

impl End {
    /// Reads `2006-01-02 15:04`, in UTC.
    fn parse(text: &str) -> Result<Option<Self>, String> {
        if matches!(text, "" | "-1") {
            return Ok(None);
        }
        let wrong =
            |error: jiff::Error| format!("`{text}` is not a time like 2006-01-02 15:04 ({error})");
        let parsed = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M", text).map_err(wrong)?;
        let zoned = parsed.to_zoned(jiff::tz::TimeZone::UTC).map_err(wrong)?;
        let text = zoned.strftime("%a, %d %b %Y %H:%M:%S UTC").to_string();
        Ok(Some(Self {
            at: zoned.timestamp().as_second(),
            text: HeaderValue::try_from(text).expect("a date is ASCII"),
        }))
    }
}
