//! Refusals of the mechanisms that authenticate, with the texts of the original.

use std::borrow::Cow;

use http::StatusCode;

/// Why a mechanism does not let a caller in, as the caller is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct AuthRefusal {
    /// The status.
    pub status: StatusCode,
    /// The text.
    pub message: Cow<'static, str>,
    /// The value of `WWW-Authenticate`, if the caller may try again with credentials.
    pub challenge: Option<String>,
}

impl AuthRefusal {
    /// A refusal with status and text.
    pub fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            message: message.into(),
            challenge: None,
        }
    }
}
