//! How the admin API answers. The order of keys is the contract's.

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::session::SessionError;
use crate::storage::StoreError;

/// Most bytes of a key or policy.
pub(super) const SMALL: usize = 1 << 20;

/// Most bytes of a definition.
pub(super) const LARGE: usize = 8 << 20;

/// What every call says that has nothing else to say.
#[derive(Serialize)]
pub(super) struct Message<'a> {
    pub(super) status: &'static str,
    pub(super) message: &'a str,
    /// What was wrong, where the message cannot say it (an addition).
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) detail: &'a str,
}

/// What has been done to a key, a policy or an API.
#[derive(Serialize)]
pub(super) struct Done<'a> {
    pub(super) key: &'a str,
    pub(super) status: &'static str,
    pub(super) action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key_hash: Option<String>,
    /// What will not be as it was asked for (an addition).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) warnings: Vec<String>,
}

/// An answer that ends a call before its time.
pub(super) struct Refusal(Box<Response>);

/// The outcome of a call; both are answers.
pub(super) type Outcome = Result<Response, Refusal>;

impl From<Response> for Refusal {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}

pub(super) fn error(status: StatusCode, message: &str) -> Refusal {
    refuse(status, message, "")
}

/// An error with a detail behind the contract's text.
pub(super) fn refuse(status: StatusCode, message: &str, detail: &str) -> Refusal {
    let said = Message {
        status: "error",
        message,
        detail,
    };
    (status, axum::Json(said)).into_response().into()
}

/// Tells that something is done.
pub(super) fn done(key: &str, action: &'static str) -> Response {
    done_with(key, action, None, Vec::new())
}

/// The same, with what there is to add.
pub(super) fn done_with(
    key: &str,
    action: &'static str,
    key_hash: Option<String>,
    warnings: Vec<String>,
) -> Response {
    axum::Json(Done {
        key,
        status: "ok",
        action,
        key_hash,
        warnings,
    })
    .into_response()
}

/// The answer to a call whose session could not be had or stored.
pub(super) fn failed(failure: &SessionError) -> Refusal {
    let status = match failure {
        SessionError::Store(StoreError::Unavailable(_)) => StatusCode::SERVICE_UNAVAILABLE,
        SessionError::Store(StoreError::Refused(_)) | SessionError::Unreadable(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    error(status, &failure.to_string())
}

/// The text of a body, unless it is longer than it may be, breaks off or is no text.
pub(super) async fn text(body: Body, most: usize) -> Result<String, Refusal> {
    let bytes: Bytes = axum::body::to_bytes(body, most).await.map_err(|failure| {
        let is_long = std::error::Error::source(&failure)
            .is_some_and(|source| source.is::<http_body_util::LengthLimitError>());
        if is_long {
            let message = format!("Request is too large: at most {most} bytes are taken");
            return error(StatusCode::PAYLOAD_TOO_LARGE, &message);
        }
        error(StatusCode::BAD_REQUEST, "Request body broke off")
    })?;
    String::from_utf8(bytes.into()).map_err(|_| {
        let detail = "the body is not UTF-8";
        refuse(StatusCode::BAD_REQUEST, "Request malformed", detail)
    })
}
