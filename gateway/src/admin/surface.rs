//! The routes of the control plane, and the document that describes them: one call adds a
//! route to both, so that neither has what the other has not.

use std::collections::BTreeMap;

use axum::Router;
use axum::handler::Handler;
use axum::http::{Method, StatusCode};
use axum::routing::{MethodFilter, on};
use serde_json::{Map, Value, json};

use super::answer::error;
use super::{Control, answer};

/// Where the document is.
pub(super) const DOCUMENT: &str = "/tyk/openapi.json";

/// What the document says of a route.
#[derive(Default)]
pub(super) struct About {
    /// What it does.
    pub(super) summary: &'static str,
    /// Parameters of the query, with what they mean.
    pub(super) query: &'static [(&'static str, &'static str)],
    /// What it takes: the name of a schema.
    pub(super) body: Option<&'static str>,
    /// What it answers when all is well: the name of a schema.
    pub(super) answer: &'static str,
    /// Other answers.
    pub(super) failures: &'static [(u16, &'static str)],
    /// It needs no secret.
    pub(super) is_open: bool,
}

/// Routes in the making.
#[derive(Default)]
pub(super) struct Surface {
    router: Router<Control>,
    paths: BTreeMap<String, Map<String, Value>>,
}

// === impl Surface ===

impl Surface {
    /// Adds a route.
    #[must_use]
    pub(super) fn on<H, T>(mut self, method: Method, path: &str, about: &About, handler: H) -> Self
    where
        H: Handler<T, Control>,
        T: 'static,
    {
        let operation = about.operation(path);
        let entry = self.paths.entry(shown(path)).or_default();
        entry.insert(method.as_str().to_lowercase(), operation);
        self.hidden(method, path, handler)
    }

    /// Adds another spelling of a route, which the document need not tell.
    #[must_use]
    pub(super) fn hidden<H, T>(mut self, method: Method, path: &str, handler: H) -> Self
    where
        H: Handler<T, Control>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method).expect("routes have usual methods");
        self.router = self.router.route(path, on(filter, handler));
        self
    }

    /// Adds the routes of another part.
    #[must_use]
    pub(super) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        for (path, operations) in other.paths {
            self.paths.entry(path).or_default().extend(operations);
        }
        self
    }

    /// The routes, and the document if it is asked for with the secret.
    pub(super) fn into_router(mut self, schemas: &Map<String, Value>) -> Router<Control> {
        let about = About {
            summary: "This document",
            answer: "Object",
            ..About::default()
        };
        let operations = json!({"get": about.operation(DOCUMENT)});
        let Value::Object(operations) = operations else {
            unreachable!("it is an object")
        };
        self.paths.insert(DOCUMENT.to_owned(), operations);
        let document = document(&self.paths, schemas).to_string();
        let answer = move || {
            let document = document.clone();
            async move { ([("content-type", "application/json")], document) }
        };
        self.hidden(Method::GET, DOCUMENT, answer)
            .router
            .fallback(async || error(StatusCode::NOT_FOUND, "Not found"))
            .method_not_allowed_fallback(async || {
                error(StatusCode::METHOD_NOT_ALLOWED, "Method not supported")
            })
    }

    /// The routes alone, for those that need no secret.
    pub(super) fn into_open_router(
        self,
    ) -> (Router<Control>, BTreeMap<String, Map<String, Value>>) {
        (self.router, self.paths)
    }

    /// Describes routes that another router has.
    #[must_use]
    pub(super) fn describing(mut self, paths: BTreeMap<String, Map<String, Value>>) -> Self {
        for (path, operations) in paths {
            self.paths.entry(path).or_default().extend(operations);
        }
        self
    }
}

// === impl About ===

impl About {
    fn operation(&self, path: &str) -> Value {
        let in_path = parameters(path).map(|name| {
            json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})
        });
        let in_query = self.query.iter().map(|(name, meaning)| {
            let schema = json!({"type": "string"});
            json!({"name": name, "in": "query", "description": meaning, "schema": schema})
        });
        let parameters: Vec<_> = in_path.chain(in_query).collect();
        let mut responses = Map::new();
        responses.insert("200".into(), content("Done.", self.answer));
        for (status, meaning) in self.failures {
            responses.insert(status.to_string(), content(meaning, "Error"));
        }
        if !self.is_open {
            let wrong = content("The secret is wrong or missing.", "Error");
            responses.insert("403".into(), wrong);
        }
        let mut operation = json!({
            "summary": self.summary, "parameters": parameters, "responses": responses,
        });
        if let Some(body) = self.body {
            let mut content = content("", body);
            content["required"] = json!(true);
            operation["requestBody"] = content;
        }
        if self.is_open {
            operation["security"] = json!([]);
        }
        operation
    }
}

fn content(description: &str, schema: &str) -> Value {
    let reference = format!("#/components/schemas/{schema}");
    json!({
        "description": description,
        "content": {"application/json": {"schema": {"$ref": reference}}},
    })
}

fn document(paths: &BTreeMap<String, Map<String, Value>>, schemas: &Map<String, Value>) -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Coprocess Gateway: admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": format!(
                "Bodies have {} bytes at most, definitions {}.", answer::SMALL, answer::LARGE
            ),
        },
        "security": [{"secret": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "secret": {"type": "apiKey", "in": "header", "name": "X-Tyk-Authorization"},
            },
            "schemas": schemas,
        },
    })
}

/// A path as the document writes it: what takes the rest of a path is a parameter too.
fn shown(path: &str) -> String {
    path.replace("{*", "{")
}

fn parameters(path: &str) -> impl Iterator<Item = &str> {
    let parts = path.split('/');
    parts.filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        Some(name.trim_start_matches('*'))
    })
}
