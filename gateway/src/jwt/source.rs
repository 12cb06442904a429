//! Where the key of a token comes from.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use jsonwebtoken::DecodingKey;

use super::jwks::{Jwks, KeySet};
use super::token::Family;

/// Where keys are.
pub(super) enum Source {
    /// In the definition.
    Key(Box<DecodingKey>),
    /// In a set that a server has.
    Url(Arc<KeySet>),
    /// In the session that the token names: each caller has a key of its own.
    Session,
}

impl Source {
    /// What `jwt_source` says: nothing, a URL, or a key in base64; also a URL in base64, and
    /// PEM as it is.
    pub(super) fn new(text: &str, family: Family, jwks: &Arc<Jwks>) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::Session);
        }
        if is_url(text) {
            return jwks.set(text, family).map(Self::Url);
        }
        if text.trim_start().starts_with("-----BEGIN") {
            return Ok(Self::Key(Box::new(family.key(text.as_bytes())?)));
        }
        let bytes = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text));
        let bytes = bytes.map_err(|error| {
            format!("it is no http or https URL, no PEM, and no base64: {error}")
        })?;
        match std::str::from_utf8(&bytes) {
            Ok(url) if is_url(url) => jwks.set(url, family).map(Self::Url),
            _ => Ok(Self::Key(Box::new(family.key(&bytes)?))),
        }
    }
}

fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}
