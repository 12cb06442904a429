//! Scripts of other origins: answers what browsers ask before they send the request itself,
//! and says on every answer who may read it (Fetch standard, CORS protocol).

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

use crate::chain::{Flow, Middleware, Step};
use crate::definition::Cors as Written;
use crate::exchange::Exchange;
use crate::upstream::body::ResponseBody;

/// What scripts may always send.
const USUAL_HEADERS: [&str; 4] = ["origin", "accept", "content-type", "x-requested-with"];

/// Answers for other origins.
pub struct Cors {
    /// `None` is all.
    origins: Option<Vec<Origin>>,
    methods: Vec<Method>,
    /// In lower case; `None` is all.
    headers: Option<Vec<String>>,
    exposed: Option<HeaderValue>,
    credentials: bool,
    max_age: Option<HeaderValue>,
    passes_options: bool,
}

/// One of the origins that may call, in lower case.
enum Origin {
    Exact(String),
    /// What stands before and behind the one `*`.
    Between(String, String),
}

impl Cors {
    /// The step for these settings.
    pub fn new(written: &Written) -> Result<Self, String> {
        let names = |key: &str, names: &[String]| {
            let lower = names.iter().map(|name| {
                let parsed = HeaderName::from_bytes(name.trim().as_bytes());
                let parsed = parsed.map_err(|_| format!("CORS.{key}: `{name}` is no header"))?;
                Ok(parsed.as_str().to_owned())
            });
            lower.collect::<Result<Vec<String>, String>>()
        };
        let is_all = |list: &[String]| list.iter().any(|entry| entry.trim() == "*");
        let origins = &written.allowed_origins;
        let origins = (!origins.is_empty() && !is_all(origins))
            .then(|| origins.iter().map(|origin| Origin::new(origin)).collect());
        let headers = if is_all(&written.allowed_headers) {
            None
        } else {
            let mut allowed = names("allowed_headers", &written.allowed_headers)?;
            if allowed.is_empty() {
                allowed.extend(USUAL_HEADERS.map(str::to_owned));
            }
            allowed.push("origin".into());
            Some(allowed)
        };
        let exposed = if is_all(&written.exposed_headers) {
            "*".to_owned()
        } else {
            names("exposed_headers", &written.exposed_headers)?.join(", ")
        };
        Ok(Self {
            origins,
            methods: methods(&written.allowed_methods)?,
            headers,
            exposed: (!exposed.is_empty())
                .then(|| HeaderValue::try_from(exposed).expect("names are a value")),
            credentials: written.allow_credentials,
            max_age: (written.max_age > 0).then(|| written.max_age.into()),
            passes_options: written.options_passthrough,
        })
    }

    fn check(&self, exchange: &mut Exchange) -> Flow {
        let head = &exchange.head;
        let is_options = head.method == Method::OPTIONS;
        let asked = head.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD);
        let asks = is_options && asked.is_some();
        let allowed = if asks {
            self.permission(head)
        } else {
            self.mark(head)
        };
        if asks && !self.passes_options {
            let mut response = Response::new(ResponseBody::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            *response.headers_mut() = allowed;
            return Flow::Respond(response);
        }
        exchange.notes().answer_headers.extend(allowed);
        if is_options && self.passes_options {
            return Flow::Forward;
        }
        Flow::Continue
    }

    /// The answer to what a browser asks first. Without the right headers it means no.
    fn permission(&self, head: &Parts) -> HeaderMap {
        let mut answer = HeaderMap::new();
        let vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
        answer.insert(header::VARY, HeaderValue::from_static(vary));
        let asked = &head.headers;
        let method = asked.get(header::ACCESS_CONTROL_REQUEST_METHOD);
        let method = method.filter(|method| {
            Method::from_bytes(method.as_bytes()).is_ok_and(|method| self.takes(&method))
        });
        let headers: Vec<_> = asked
            .get_all(header::ACCESS_CONTROL_REQUEST_HEADERS)
            .iter()
            .collect();
        let (Some(origin), Some(method)) = (self.origin(asked), method) else {
            return answer;
        };
        if !headers.iter().all(|value| self.takes_headers(value)) {
            return answer;
        }
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method.clone());
        for value in headers.into_iter().filter(|value| !value.is_empty()) {
            answer.append(header::ACCESS_CONTROL_ALLOW_HEADERS, value.clone());
        }
        self.add_credentials(&mut answer);
        if let Some(seconds) = &self.max_age {
            answer.insert(header::ACCESS_CONTROL_MAX_AGE, seconds.clone());
        }
        answer
    }

    /// What the answer to a request gets.
    fn mark(&self, head: &Parts) -> HeaderMap {
        let mut answer = HeaderMap::new();
        answer.insert(header::VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = self
            .origin(&head.headers)
            .filter(|_| self.takes(&head.method))
        else {
            return answer;
        };
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if let Some(exposed) = &self.exposed {
            answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
        self.add_credentials(&mut answer);
        answer
    }

    /// What `Access-Control-Allow-Origin` says, if the caller's origin may call.
    fn origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        let Some(origins) = &self.origins else {
            return Some(HeaderValue::from_static("*"));
        };
        let text = origin.to_str().ok()?.to_ascii_lowercase();
        let mut origins = origins.iter();
        origins
            .any(|known| known.is_of(&text))
            .then(|| origin.clone())
    }

    fn takes(&self, method: &Method) -> bool {
        *method == Method::OPTIONS || self.methods.contains(method)
    }

    fn takes_headers(&self, asked: &HeaderValue) -> bool {
        let Some(allowed) = &self.headers else {
            return true;
        };
        let Ok(asked) = asked.to_str() else {
            return false;
        };
        let mut names = asked.split(',').map(str::trim);
        names.all(|name| {
            let mut allowed = allowed.iter();
            name.is_empty() || allowed.any(|known| known.eq_ignore_ascii_case(name))
        })
    }

    fn add_credentials(&self, answer: &mut HeaderMap) {
        if self.credentials {
            let name = header::ACCESS_CONTROL_ALLOW_CREDENTIALS;
            answer.insert(name, HeaderValue::from_static("true"));
        }
    }
}

impl Middleware for Cors {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        Step::Done(Ok(self.check(exchange)))
    }
}

fn methods(written: &[String]) -> Result<Vec<Method>, String> {
    if written.is_empty() {
        return Ok(vec![Method::GET, Method::POST, Method::HEAD]);
    }
    let methods = written.iter().map(|text| {
        Method::from_bytes(text.trim().to_ascii_uppercase().as_bytes())
            .map_err(|_| format!("CORS.allowed_methods: `{text}` is no method"))
    });
    methods.collect()
}

// === impl Origin ===

impl Origin {
    fn new(written: &str) -> Self {
        let lower = written.trim().to_ascii_lowercase();
        match lower.split_once('*') {
            Some((before, behind)) => Self::Between(before.to_owned(), behind.to_owned()),
            None => Self::Exact(lower),
        }
    }

    fn is_of(&self, origin: &str) -> bool {
        match self {
            Self::Exact(known) => known == origin,
            Self::Between(before, behind) => {
                origin.len() >= before.len() + behind.len()
                    && origin.starts_with(before)
                    && origin.ends_with(behind)
            }
        }
    }
}
