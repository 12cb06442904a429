//! Header transforms: of the request before the upstream, of its response before the hooks.

use std::collections::BTreeMap;
use std::pin::Pin;

use http::{HeaderMap, HeaderName, HeaderValue, Response, header};

use crate::chain::{Flow, Middleware, Responding, ResponseStep, Step};
use crate::definition::{ApiDefinition, HeaderTransform, Version};
use crate::error::ProxyError;
use crate::exchange::Exchange;
use crate::traffic::PerVersion;
use crate::traffic::paths::{Meaning, Readings, Rule, Rules};
use crate::traffic::text::{Text, Values};
use crate::upstream::body::ResponseBody;

/// Transforms of one direction.
pub struct Headers(PerVersion<Edits>);

/// What one version does.
struct Edits {
    everywhere: Edit,
    by_path: Option<Rules<Edit>>,
}

/// Deletes, then sets.
#[derive(Default)]
struct Edit {
    delete: Vec<HeaderName>,
    set: Vec<(HeaderName, Text)>,
}

/// What a version has written about one direction.
struct Written<'a> {
    keys: [&'static str; 3],
    off: bool,
    delete: &'a [String],
    set: &'a BTreeMap<String, String>,
    by_path: &'a [HeaderTransform],
}

impl Headers {
    /// The step for requests, if a version has transforms for them.
    pub fn of_requests(api: &ApiDefinition, meaning: Meaning) -> Result<Option<Self>, String> {
        Self::new(api, meaning, |version| Written {
            keys: [
                "global_headers_remove",
                "global_headers",
                "transform_headers",
            ],
            off: version.global_headers_disabled,
            delete: &version.global_headers_remove,
            set: &version.global_headers,
            by_path: &version.extended_paths.transform_headers,
        })
    }

    /// The step for responses, if a version has transforms for them.
    pub fn of_responses(api: &ApiDefinition, meaning: Meaning) -> Result<Option<Self>, String> {
        Self::new(api, meaning, |version| Written {
            keys: [
                "global_response_headers_remove",
                "global_response_headers",
                "transform_response_headers",
            ],
            off: version.global_response_headers_disabled,
            delete: &version.global_response_headers_remove,
            set: &version.global_response_headers,
            by_path: &version.extended_paths.transform_response_headers,
        })
    }

    fn new(
        api: &ApiDefinition,
        meaning: Meaning,
        written: impl for<'a> Fn(&'a Version) -> Written<'a>,
    ) -> Result<Option<Self>, String> {
        let context = api.enable_context_vars;
        let made = PerVersion::make(api, |version| {
            let written = written(version);
            let by_path = if version.use_extended_paths {
                written.by_path
            } else {
                &[]
            };
            Edits::new(&written, by_path, context, meaning)
        });
        Ok(made?.map(Self))
    }

    fn edit(&self, exchange: &Exchange, headers: &mut HeaderMap) -> Result<(), ProxyError> {
        let Some(edits) = self.0.of(exchange) else {
            return Ok(());
        };
        edits.everywhere.apply(exchange, headers)?;
        let Some(rules) = &edits.by_path else {
            return Ok(());
        };
        match rules.any(&Readings::below(exchange), &exchange.head.method) {
            Some(edit) => edit.apply(exchange, headers),
            None => Ok(()),
        }
    }
}

impl Middleware for Headers {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        // Variables are those of the headers as they were.
        let mut headers = exchange.head.headers.clone();
        let edited = self.edit(exchange, &mut headers);
        exchange.head.headers = headers;
        Step::Done(edited.map(|()| Flow::Continue))
    }
}

impl ResponseStep for Headers {
    fn process<'a>(
        &'a self,
        exchange: &'a mut Exchange,
        mut response: Response<ResponseBody>,
    ) -> Responding<'a> {
        let edited = self.edit(exchange, response.headers_mut());
        let responding = Box::pin(std::future::ready(edited.map(|()| response)));
        responding as Pin<Box<_>>
    }
}

// === impl Edits, Edit ===

impl Edits {
    fn new(
        written: &Written<'_>,
        by_path: &[HeaderTransform],
        context: bool,
        meaning: Meaning,
    ) -> Result<Option<Self>, String> {
        let [delete, set, paths] = written.keys;
        let everywhere = if written.off {
            Edit::default()
        } else {
            Edit::new(written.delete, written.set, context, [delete, set])?
        };
        let mut rules = Vec::new();
        for (place, entry) in by_path
            .iter()
            .enumerate()
            .filter(|(_, entry)| !entry.disabled)
        {
            let keys = ["delete_headers", "add_headers"];
            let value = Edit::new(&entry.delete_headers, &entry.add_headers, context, keys);
            let value =
                value.map_err(|wrong| format!("extended_paths.{paths}[{place}].{wrong}"))?;
            rules.push(Rule {
                path: &entry.path,
                method: &entry.method,
                ignore_case: false,
                value,
            });
        }
        let by_path = Rules::compile(rules, meaning)
            .map_err(|wrong| format!("extended_paths.{paths}{wrong}"))?;
        let needed = by_path.is_some() || !everywhere.is_empty();
        Ok(needed.then_some(Self {
            everywhere,
            by_path,
        }))
    }
}

impl Edit {
    fn new(
        delete: &[String],
        set: &BTreeMap<String, String>,
        context: bool,
        [delete_key, set_key]: [&str; 2],
    ) -> Result<Self, String> {
        let name = |key: &str, name: &str| {
            let parsed = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| format!("{key}: `{name}` is no header"))?;
            match parsed {
                header::HOST | header::CONTENT_LENGTH | header::TRANSFER_ENCODING => Err(format!(
                    "{key}: `{name}` is the gateway's own and cannot be changed"
                )),
                parsed => Ok(parsed),
            }
        };
        let delete = delete.iter().map(|text| name(delete_key, text));
        let set = set.iter().map(|(text, value)| {
            let value = Text::parse(value, context, false)
                .map_err(|wrong| format!("{set_key}.{text}: {wrong}"))?;
            Ok::<_, String>((name(set_key, text)?, value))
        });
        Ok(Self {
            delete: delete.collect::<Result<_, _>>()?,
            set: set.collect::<Result<_, _>>()?,
        })
    }

    fn is_empty(&self) -> bool {
        self.delete.is_empty() && self.set.is_empty()
    }

    fn apply(&self, exchange: &Exchange, headers: &mut HeaderMap) -> Result<(), ProxyError> {
        for name in &self.delete {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            let value = value.render(exchange, &Values::default(), false);
            let value = HeaderValue::from_str(&value).map_err(|_| {
                ProxyError::Malformed("a header made of the request has a control character")
            })?;
            headers.insert(name.clone(), value);
        }
        Ok(())
    }
}
