//! Every way in which a request fails, and the one place where a failure becomes an answer.
//!
//! Status and message are the contract's to the byte; clients and monitoring match on them.

mod auth;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use crate::limits::headers::LimitValues;
use crate::upstream::body::ResponseBody;
pub use auth::AuthRefusal;

/// What `Allow` says of every resource: the gateway knows no more of an upstream's.
pub const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

const VERSION_EXPIRED: &str =
    "Api Version has expired, please check documentation or contact administrator";
const API_EXPIRED: &str = "API has expired, please check documentation or contact administrator";
const ORG_INACTIVE: &str =
    "this organisation access has been disabled, please contact your API administrator";
const ORG_QUOTA: &str =
    "This organisation quota has been exceeded, please contact your API administrator";
const ORG_RATE: &str =
    "This organisation rate limit has been exceeded, please contact your API administrator";
const NO_SESSION: &str = "Session state is missing or unset! Please make sure that auth headers \
                          are properly applied";

/// Why a request is answered by the gateway and not by its upstream.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The request is malformed; the reason is for the log and the client.
    #[error("malformed request: {0}")]
    Malformed(&'static str),
    /// The request is well-formed but asks for what a gateway does not do.
    #[error("unsupported request: {1}")]
    Unsupported(StatusCode, &'static str),
    /// No API listens on the path.
    #[error("no API listens on this path")]
    RouteNotFound,
    /// The request carries no key.
    #[error("request carries no key")]
    KeyMissing,
    /// The request carries nothing that names a session.
    #[error("no session id can be extracted")]
    ExtractorMiss,
    /// Nothing that authenticates left a session.
    #[error("no session")]
    SessionMissing,
    /// The key is unknown, or not for this API.
    #[error("key is not known")]
    KeyUnknown,
    /// The session's key has expired.
    #[error("key has expired")]
    KeyExpired,
    /// The session's key is switched off.
    #[error("key is inactive")]
    KeyInactive,
    /// A plugin looked at the credentials and did not accept them.
    #[error("plugin did not accept the caller")]
    AuthRejected,
    /// The hook that authenticates did not do its work.
    #[error("auth_check hook failed: {0}")]
    AuthHook(String),
    /// A hook did not do its work.
    #[error("hook failed: {0}")]
    Hook(String),
    /// The language of a hook cannot be used at all.
    #[error("driver cannot be used: {0}")]
    Driver(String),
    /// The body is longer than a hook may be shown.
    #[error("body is longer than {0} bytes")]
    BodyTooLarge(u64),
    /// The client's body broke off or is malformed.
    #[error("request body: {0}")]
    DownstreamBody(hyper::Error),
    /// The client paused too long in the middle of its body.
    #[error("request body stalled")]
    DownstreamStalled,
    /// The upstream's name does not resolve.
    #[error("upstream host lookup failed: {0}")]
    UpstreamLookup(std::io::Error),
    /// The upstream cannot be reached or broke off before its answer.
    #[error("upstream: {0}")]
    Upstream(String),
    /// The upstream's answer is not HTTP, or breaks its rules.
    #[error("upstream answered what cannot be passed on: {0}")]
    UpstreamProtocol(String),
    /// The upstream did not begin its answer in time.
    #[error("upstream did not answer in time")]
    UpstreamTimeout,
    /// The definition asks for what this gateway cannot enforce.
    #[error("API is refused: {0}")]
    Refused(String),
    /// The gateway is shutting down its control plane, or has failed.
    #[error("internal: {0}")]
    Internal(String),
    /// A mechanism that authenticates does not let the caller in.
    #[error("caller is not let in: {0}")]
    Auth(Box<AuthRefusal>),
    /// The key is for this API, and not for this path or method of it.
    #[error("key is not for this path and method")]
    PathNotAllowed,
    /// The key has made too many requests in too short a time. What its client is told of
    /// that, where it is.
    #[error("rate limit of the key")]
    RateLimited(Option<LimitValues>),
    /// All keys together have made too many requests in too short a time.
    #[error("rate limit of the API")]
    ApiRateLimited(Option<LimitValues>),
    /// The key has used its quota.
    #[error("quota of the key")]
    QuotaExceeded,
    /// The organisation is switched off.
    #[error("organisation is inactive")]
    OrgInactive,
    /// The organisation has used its quota.
    #[error("quota of the organisation")]
    OrgQuotaExceeded,
    /// The organisation's APIs were asked too often in too short a time.
    #[error("rate limit of the organisation")]
    OrgRateLimited,
    /// The store that knows keys cannot be asked.
    #[error("key cannot be looked up: {0}")]
    KeyStore(String),
    /// The request does not say which version it is for, and there is no default.
    #[error("request names no version")]
    VersionMissing,
    /// There is no such version.
    #[error("version does not exist")]
    VersionUnknown,
    /// The version has ended.
    #[error("version has expired")]
    VersionExpired,
    /// The API has ended.
    #[error("API has expired")]
    ApiExpired,
    /// The path is on a list of closed ones, or not on that of the open ones.
    #[error("path is not open")]
    PathForbidden,
    /// The caller's address is on a list of blocked ones, or not on that of the allowed ones.
    #[error("address is not allowed")]
    AddressForbidden,
    /// The body has a limit and does not say how long it is.
    #[error("body has no length")]
    LengthRequired,
    /// The body is longer than the definition allows.
    #[error("body is longer than the definition allows")]
    RequestTooLarge,
    /// The upstream has failed too often lately.
    #[error("circuit breaker is open")]
    BreakerOpen,
    /// Every upstream fails its uptime test.
    #[error("all upstreams are down by their uptime tests")]
    HostsDown,
    /// The request is to be handed over to an API that is not there.
    #[error("there is no API `{0}` to hand the request over to")]
    LoopTarget(String),
    /// The request has been handed over too often.
    #[error("request is handed over from API to API without an end")]
    LoopTooDeep,
    /// The body is not what its schema says.
    #[error("body is not valid: {1}")]
    Invalid(StatusCode, String),
}

impl ProxyError {
    /// Status and message, as clients see them.
    fn answer(&self) -> (StatusCode, &str) {
        use StatusCode as S;
        match self {
            Self::Malformed(reason) => (S::BAD_REQUEST, reason),
            Self::Unsupported(status, reason) => (*status, reason),
            Self::RouteNotFound => (S::NOT_FOUND, "Not Found"),
            Self::KeyMissing => (S::UNAUTHORIZED, "Authorization field missing"),
            Self::ExtractorMiss => (S::BAD_REQUEST, "Authorization field missing"),
            Self::SessionMissing => (S::BAD_REQUEST, NO_SESSION),
            Self::KeyUnknown => (S::FORBIDDEN, "Access to this API has been disallowed"),
            Self::KeyExpired => (S::UNAUTHORIZED, "Key has expired, please renew"),
            Self::KeyInactive => (S::FORBIDDEN, "Key is inactive, please renew"),
            Self::AuthRejected => (S::FORBIDDEN, "Forbidden"),
            Self::AuthHook(_) => (S::FORBIDDEN, "Key not authorised"),
            Self::Hook(_) => (S::INTERNAL_SERVER_ERROR, "Middleware error"),
            Self::Driver(_) | Self::Refused(_) | Self::Internal(_) => {
                (S::INTERNAL_SERVER_ERROR, "Internal Server Error")
            }
            Self::Auth(refusal) => (refusal.status, &refusal.message),
            Self::BodyTooLarge(_) => (S::PAYLOAD_TOO_LARGE, "Request is too large"),
            Self::DownstreamBody(_) => (S::BAD_REQUEST, "Request body is malformed"),
            Self::DownstreamStalled => (S::REQUEST_TIMEOUT, "Request body timeout"),
            Self::UpstreamLookup(_) => (S::INTERNAL_SERVER_ERROR, "Upstream host lookup failed"),
            Self::Upstream(_) => (
                S::INTERNAL_SERVER_ERROR,
                "There was a problem proxying the request",
            ),
            Self::UpstreamProtocol(_) => {
                (S::BAD_GATEWAY, "There was a problem proxying the request")
            }
            Self::PathNotAllowed => (S::FORBIDDEN, "Access to this resource has been disallowed"),
            Self::RateLimited(_) => (S::TOO_MANY_REQUESTS, "Rate Limit Exceeded"),
            Self::ApiRateLimited(_) => (S::TOO_MANY_REQUESTS, "API Rate Limit Exceeded"),
            Self::QuotaExceeded => (S::FORBIDDEN, "Quota exceeded"),
            Self::OrgInactive => (S::FORBIDDEN, ORG_INACTIVE),
            Self::OrgQuotaExceeded => (S::FORBIDDEN, ORG_QUOTA),
            Self::OrgRateLimited => (S::FORBIDDEN, ORG_RATE),
            Self::UpstreamTimeout => (S::GATEWAY_TIMEOUT, "Upstream service reached hard timeout."),
            Self::KeyStore(_) => (S::SERVICE_UNAVAILABLE, "Service temporarily unavailable."),
            Self::VersionMissing => (S::FORBIDDEN, "Version information not found"),
            Self::VersionUnknown => (S::FORBIDDEN, "This API version does not seem to exist"),
            Self::VersionExpired => (S::FORBIDDEN, VERSION_EXPIRED),
            Self::ApiExpired => (S::FORBIDDEN, API_EXPIRED),
            Self::AddressForbidden => (S::FORBIDDEN, "access from this IP has been disallowed"),
            Self::LengthRequired => (
                S::LENGTH_REQUIRED,
                "Content length is required for this request",
            ),
            Self::RequestTooLarge => (S::BAD_REQUEST, "Request is too large"),
            Self::BreakerOpen => (S::SERVICE_UNAVAILABLE, "Service temporarily unavailable."),
            Self::HostsDown => (S::SERVICE_UNAVAILABLE, "all hosts are down"),
            Self::Invalid(status, message) => (*status, message),
            Self::LoopTarget(_) => (S::INTERNAL_SERVER_ERROR, "Couldn't detect target"),
            Self::LoopTooDeep => (
                S::INTERNAL_SERVER_ERROR,
                "Loop level too deep. Found more than 5 loops in single request",
            ),
            Self::PathForbidden => (S::FORBIDDEN, "Requested endpoint is forbidden"),
        }
    }

    /// What clients are told.
    pub fn message(&self) -> &str {
        self.answer().1
    }

    /// Whether the connection cannot be trusted to be in step after this answer.
    fn ends_connection(&self) -> bool {
        matches!(
            self,
            Self::Malformed(_)
                | Self::Unsupported(..)
                | Self::BodyTooLarge(_)
                | Self::DownstreamBody(_)
                | Self::DownstreamStalled
                | Self::LengthRequired
                | Self::RequestTooLarge
        )
    }

    /// The answer.
    pub fn into_response(self, style: &ErrorStyle) -> Response<ResponseBody> {
        let (status, message) = self.answer();
        let mut response = if matches!(self, Self::RouteNotFound | Self::HostsDown) {
            plain(status, message)
        } else {
            style.render(status, message)
        };
        let headers = response.headers_mut();
        if let Self::RateLimited(Some(values)) | Self::ApiRateLimited(Some(values)) = &self {
            values.put(headers);
        }
        if self.ends_connection() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Self::Auth(refusal) = &self
            && let Some(challenge) = &refusal.challenge
            && let Ok(challenge) = HeaderValue::from_str(challenge)
        {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            // RFC 9110, 15.5.6: the field must be there; an empty list would be a lie.
            headers.insert(header::ALLOW, HeaderValue::from_static(METHODS));
        }
        response
    }
}

/// How an error answer looks: decided by the request and the configuration.
#[derive(Debug, Clone, Copy)]
pub struct ErrorStyle {
    /// The content type, which is the request's where that is XML.
    pub format: ErrorFormat,
    /// Leave `X-Generator` out.
    pub hide_generator: bool,
}

/// The forms of an error body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorFormat {
    /// `application/json`
    Json,
    /// One of the XML types, answered with the same.
    Xml(&'static str),
}

impl ErrorFormat {
    /// The form for a request with this content type.
    pub fn for_content_type(content_type: Option<&HeaderValue>) -> Self {
        let Some(value) = content_type.and_then(|value| value.to_str().ok()) else {
            return Self::Json;
        };
        let essence = value.split(';').next().unwrap_or_default().trim();
        ["application/xml", "text/xml", "application/soap+xml"]
            .into_iter()
            .find(|xml| essence.eq_ignore_ascii_case(xml))
            .map_or(Self::Json, Self::Xml)
    }
}

impl ErrorStyle {
    /// An error body in this style.
    pub fn render(&self, status: StatusCode, message: &str) -> Response<ResponseBody> {
        let (content_type, body) = match self.format {
            ErrorFormat::Json => ("application/json", json_body(message)),
            ErrorFormat::Xml(content_type) => (content_type, xml_body(message)),
        };
        let mut response = Response::new(ResponseBody::full(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if !self.hide_generator {
            headers.insert("x-generator", HeaderValue::from_static("tyk.io"));
        }
        response
    }
}

fn json_body(message: &str) -> Bytes {
    let quoted = serde_json::to_string(message).expect("text is JSON");
    format!("{{\n    \"error\": {quoted}\n}}").into()
}

fn xml_body(message: &str) -> Bytes {
    let mut escaped = String::with_capacity(message.len());
    for letter in message.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    format!("<?xml version = \"1.0\" encoding = \"UTF-8\"?>\n<error>{escaped}</error>").into()
}

/// A plain text answer.
pub fn plain(status: StatusCode, text: &str) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::full(Bytes::copy_from_slice(text.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: ErrorStyle = ErrorStyle {
        format: ErrorFormat::Json,
        hide_generator: false,
    };

    #[test]
    fn json_body_is_the_contracts_to_the_byte() {
        assert_eq!(
            json_body("Middleware error"),
            "{\n    \"error\": \"Middleware error\"\n}"
        );
        assert_eq!(json_body("a\"b\n"), "{\n    \"error\": \"a\\\"b\\n\"\n}");
    }

    #[test]
    fn xml_requests_get_xml_back() {
        for (sent, expected) in [
            ("text/xml", ErrorFormat::Xml("text/xml")),
            (
                "application/XML; charset=utf-8",
                ErrorFormat::Xml("application/xml"),
            ),
            ("application/json", ErrorFormat::Json),
        ] {
            let value = HeaderValue::from_static(sent);
            assert_eq!(ErrorFormat::for_content_type(Some(&value)), expected);
        }
        let body = xml_body("a<b");
        assert!(body.ends_with(b"<error>a&lt;b</error>"));
    }

    #[test]
    fn malformed_requests_end_their_connection() {
        let response = ProxyError::Malformed("x").into_response(&STYLE);
        assert_eq!(response.headers()[header::CONNECTION], "close");
        let response = ProxyError::AuthRejected.into_response(&STYLE);
        assert!(!response.headers().contains_key(header::CONNECTION));
        assert_eq!(response.headers()["x-generator"], "tyk.io");
    }
}
