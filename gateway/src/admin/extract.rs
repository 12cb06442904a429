//! Paths and queries of the admin API; what cannot be read is answered as JSON, like
//! everything else.

use axum::extract::{self, FromRequestParts};
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use serde::de::DeserializeOwned;

use super::error;

/// The parameters in a path.
pub(super) struct Path<T>(pub(super) T);

/// The parameters behind a path.
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        match extract::Path::from_request_parts(parts, state).await {
            Ok(extract::Path(parameters)) => Ok(Self(parameters)),
            Err(rejection) => {
                Err(error(rejection.status(), &rejection.body_text()).into_response())
            }
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        match extract::Query::from_request_parts(parts, state).await {
            Ok(extract::Query(parameters)) => Ok(Self(parameters)),
            Err(rejection) => {
                Err(error(rejection.status(), &rejection.body_text()).into_response())
            }
        }
    }
}
