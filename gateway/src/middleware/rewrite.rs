//! URL rewrites: which URL the upstream sees, or which API takes over.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Uri;
use http::uri::PathAndQuery;
use percent_encoding::percent_decode_str;
use regex::{Captures, Regex};

use crate::chain::{Flow, Middleware, Step};
use crate::config::Config;
use crate::definition::{ApiDefinition, Match as WrittenMatch, Trigger as WrittenTrigger};
use crate::definition::{TriggerOptions, UrlRewrite};
use crate::edge::target;
use crate::error::ProxyError;
use crate::exchange::Exchange;
use crate::traffic::paths::{Meaning, Readings, Rule, Rules};
use crate::traffic::text::{Text, Values, context, parameters};
use crate::traffic::{Loop, PerVersion};
use crate::upstream::body::RequestBody;
use crate::upstream::target::Target;

/// Rewrites URLs.
pub struct Rewrite {
    rules: PerVersion<Rules<Rewriting>>,
    max_body_bytes: u64,
}

/// What becomes of the URLs of one path.
struct Rewriting {
    pattern: Regex,
    to: Text,
    triggers: Vec<Trigger>,
}

/// Another target, under conditions.
struct Trigger {
    any: bool,
    kinds: Vec<(Kind, BTreeMap<String, Match>)>,
    to: Text,
}

/// Where a condition looks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Header,
    Parameter,
    PathPart,
    SessionMeta,
    Context,
    Body,
}

struct Match {
    pattern: Regex,
    reverse: bool,
}

impl Rewrite {
    /// The step, if a version has rewrites.
    pub fn new(
        api: &ApiDefinition,
        meaning: Meaning,
        config: &Config,
    ) -> Result<Option<Self>, String> {
        let has_context = api.enable_context_vars;
        let rules = PerVersion::make(api, |version| {
            let entries = version.extended().url_rewrites.iter().enumerate();
            let mut rules = Vec::new();
            for (place, entry) in entries.filter(|(_, entry)| !entry.disabled) {
                let value = Rewriting::new(entry, has_context)
                    .map_err(|wrong| format!("extended_paths.url_rewrites[{place}].{wrong}"))?;
                rules.push(Rule {
                    path: &entry.path,
                    method: &entry.method,
                    ignore_case: false,
                    value,
                });
            }
            Rules::compile(rules, meaning)
                .map_err(|wrong| format!("extended_paths.url_rewrites{wrong}"))
        })?;
        let max_body_bytes = config.coprocess_options.max_body_bytes;
        Ok(rules.map(|rules| Self {
            rules,
            max_body_bytes,
        }))
    }

    fn find(&self, exchange: &Exchange) -> Option<&Rewriting> {
        let rules = self.rules.of(exchange)?;
        rules.any(&Readings::below(exchange), &exchange.head.method)
    }

    async fn hold_and_rewrite(
        &self,
        rewriting: &Rewriting,
        exchange: &mut Exchange,
    ) -> Result<Flow, ProxyError> {
        exchange.body.hold(self.max_body_bytes).await?;
        let body = exchange.body.take_whole().unwrap_or_default();
        crate::coprocess::convert::apply_body(body, exchange);
        rewriting.apply(exchange).map(|()| Flow::Continue)
    }
}

impl Middleware for Rewrite {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Some(rewriting) = self.find(exchange) else {
            return Step::Done(Ok(Flow::Continue));
        };
        if rewriting.reads_body() && exchange.body.is_streaming() {
            return Step::Later(Box::pin(self.hold_and_rewrite(rewriting, exchange)));
        }
        Step::Done(rewriting.apply(exchange).map(|()| Flow::Continue))
    }
}

// === impl Rewriting ===

impl Rewriting {
    fn new(written: &UrlRewrite, has_context: bool) -> Result<Self, String> {
        let text = |text: &str| {
            Text::parse(text, has_context, true).map_err(|wrong| format!("rewrite_to: {wrong}"))
        };
        let triggers = written.triggers.iter().enumerate().map(|(place, trigger)| {
            let made = text(&trigger.rewrite_to).and_then(|to| Trigger::new(trigger, to));
            made.map_err(|wrong| format!("triggers[{place}].{wrong}"))
        });
        let triggers: Vec<_> = triggers.collect::<Result<_, _>>()?;
        if written.rewrite_to.is_empty() && triggers.is_empty() {
            return Err("rewrite_to: is empty".into());
        }
        Ok(Self {
            pattern: regex("match_pattern", &written.match_pattern)?,
            to: text(&written.rewrite_to)?,
            triggers,
        })
    }

    fn reads_body(&self) -> bool {
        let mut kinds = self.triggers.iter().flat_map(|trigger| &trigger.kinds);
        kinds.any(|(kind, _)| *kind == Kind::Body)
    }

    fn apply(&self, exchange: &mut Exchange) -> Result<(), ProxyError> {
        let url = exchange.head.uri.to_string();
        let decoded = percent_decode_str(&url).decode_utf8_lossy();
        let found = self.pattern.captures(&url);
        let Some(found) = found.or_else(|| self.pattern.captures(&decoded)) else {
            return Ok(());
        };
        let mut values = Values {
            groups: groups(&found),
            ..Values::default()
        };
        let mut triggers = self.triggers.iter().enumerate();
        let fired = triggers.find(|(place, trigger)| trigger.fires(*place, exchange, &mut values));
        let to = fired.map_or(&self.to, |(_, trigger)| &trigger.to);
        let text = to.render(exchange, &values, true);
        if text.is_empty() {
            // Only a trigger has a target, and none has fired.
            return Ok(());
        }
        exchange.notes().asked_path = Some(exchange.path_below().to_owned());
        redirect(exchange, &text)
    }
}

/// Sends the request to what a rewrite came to: a path, a URL, or another API.
fn redirect(exchange: &mut Exchange, text: &str) -> Result<(), ProxyError> {
    const UNUSABLE: ProxyError = ProxyError::Malformed("the URL cannot be rewritten");
    if let Some(to) = Loop::parse(text) {
        let (to, uri) = to.map_err(|_| UNUSABLE)?;
        target::check(&uri, exchange.policy).map_err(ProxyError::Malformed)?;
        exchange.head.uri = uri;
        exchange.notes().loop_to = Some(to);
        return Ok(());
    }
    let absolute = text.starts_with("http://") || text.starts_with("https://");
    let mut uri: Uri = if absolute || text.starts_with('/') {
        text.parse().map_err(|_| UNUSABLE)?
    } else {
        format!("/{text}").parse().map_err(|_| UNUSABLE)?
    };
    if absolute {
        let origin = uri.scheme_str().zip(uri.authority());
        let (scheme, authority) = origin.ok_or(UNUSABLE)?;
        let elsewhere = Target::parse(&format!("{scheme}://{authority}"));
        let elsewhere = elsewhere.map_err(|error| ProxyError::Upstream(error.to_string()))?;
        exchange.notes().target = Some(Arc::new(elsewhere));
        exchange.listen_length = 0;
        let rest = uri.path_and_query().cloned();
        uri = rest
            .unwrap_or_else(|| PathAndQuery::from_static("/"))
            .into();
    }
    target::check(&uri, exchange.policy).map_err(ProxyError::Malformed)?;
    exchange.retarget(uri);
    Ok(())
}

fn groups(found: &Captures<'_>) -> Vec<String> {
    let groups = found.iter();
    groups
        .map(|group| group.map_or(String::new(), |group| group.as_str().to_owned()))
        .collect()
}

fn regex(key: &str, pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|error| format!("{key}: {error}"))
}

// === impl Trigger ===

impl Trigger {
    fn new(written: &WrittenTrigger, to: Text) -> Result<Self, String> {
        let TriggerOptions {
            header_matches,
            query_val_matches,
            path_part_matches,
            session_meta_matches,
            request_context_matches,
            payload_matches,
        } = &written.options;
        let payload = (!payload_matches.match_rx.is_empty())
            .then(|| ("payload".to_owned(), payload_matches.clone()));
        let payload = payload.into_iter().collect();
        let mut kinds = Vec::new();
        for (kind, key, matches) in [
            (Kind::Header, "header_matches", header_matches),
            (Kind::Parameter, "query_val_matches", query_val_matches),
            (Kind::PathPart, "path_part_matches", path_part_matches),
            (
                Kind::SessionMeta,
                "session_meta_matches",
                session_meta_matches,
            ),
            (
                Kind::Context,
                "request_context_matches",
                request_context_matches,
            ),
            (Kind::Body, "payload_matches", &payload),
        ] {
            if !matches.is_empty() {
                let made = matches.iter().map(|(name, written)| {
                    let made = Match::new(written);
                    let made = made.map_err(|wrong| format!("options.{key}.{name}.{wrong}"))?;
                    Ok((name.clone(), made))
                });
                kinds.push((kind, made.collect::<Result<_, String>>()?));
            }
        }
        match written.on.as_str() {
            "any" | "all" | "" => Ok(Self {
                any: written.on == "any",
                kinds,
                to,
            }),
            other => Err(format!("on: `{other}` is not one of any, all")),
        }
    }

    /// Whether it fires; what its patterns have found becomes variables.
    fn fires(&self, number: usize, exchange: &Exchange, values: &mut Values) -> bool {
        let mut holds = |(kind, matches): &(Kind, BTreeMap<String, Match>)| {
            let mut hits = matches.iter().map(|(name, wanted)| {
                let found = kind.values(name, exchange);
                wanted.check(&found, &format!("trigger-{number}-{name}"), values)
            });
            if self.any {
                hits.any(|hit| hit)
            } else {
                hits.all(|hit| hit)
            }
        };
        if self.any {
            self.kinds.iter().any(&mut holds)
        } else {
            self.kinds.iter().all(&mut holds)
        }
    }
}

impl Kind {
    fn values(self, name: &str, exchange: &Exchange) -> Vec<String> {
        let head = &exchange.head;
        match self {
            Self::Header => {
                let values = head.headers.get_all(name).iter();
                let text = |value: &http::HeaderValue| {
                    String::from_utf8_lossy(value.as_bytes()).into_owned()
                };
                values.map(text).collect()
            }
            Self::Parameter => parameters(head.uri.query().unwrap_or_default())
                .filter(|(known, _)| known == name)
                .map(|(_, value)| value)
                .collect(),
            Self::PathPart => {
                let path = percent_decode_str(head.uri.path()).decode_utf8_lossy();
                path.split('/').map(str::to_owned).collect()
            }
            Self::SessionMeta => {
                let session = exchange.session.as_deref();
                let value = session.and_then(|session| session.metadata.get(name).cloned());
                value.into_iter().collect()
            }
            Self::Context => context(exchange, name).into_iter().collect(),
            Self::Body => match &exchange.body {
                RequestBody::Whole(body) => vec![String::from_utf8_lossy(body).into_owned()],
                RequestBody::Stream(..) => Vec::new(),
            },
        }
    }
}

impl Match {
    fn new(written: &WrittenMatch) -> Result<Self, String> {
        Ok(Self {
            pattern: regex("match_rx", &written.match_rx)?,
            reverse: written.reverse,
        })
    }

    fn check(&self, found: &[String], variable: &str, values: &mut Values) -> bool {
        let mut hit = false;
        for (place, value) in found.iter().enumerate() {
            let captures = self.pattern.captures(value);
            hit |= captures.is_some() != self.reverse;
            for (number, group) in captures.iter().flat_map(groups).enumerate() {
                let name = match number {
                    0 => format!("{variable}-{place}"),
                    number => format!("{variable}-{place}-{}", number - 1),
                };
                values.context.insert(name, group);
            }
        }
        hit
    }
}
