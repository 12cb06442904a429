//! A token as it was sent, and the check of its signature.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Validation};
use serde_json::Value;

use super::claims::Claims;
use super::{Object, Refused, invalid};

/// Longest token that is looked at.
const LONGEST: usize = 16 * 1024;

/// The kind of keys that a definition has. A token cannot choose another one: a public key
/// must never be taken for a shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Family(pub(super) AlgorithmFamily);

/// A token whose signature is not checked yet.
pub(super) struct Token<'a> {
    raw: &'a str,
    header: Object,
}

// === impl Family ===

impl Family {
    /// The value of `jwt_signing_method`; empty means `hmac`, as in the original.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        Ok(Self(match name {
            "hmac" | "" => AlgorithmFamily::Hmac,
            "rsa" => AlgorithmFamily::Rsa,
            "ecdsa" => AlgorithmFamily::Ec,
            "eddsa" => AlgorithmFamily::Ed,
            name => {
                return Err(format!(
                    "jwt_signing_method: `{name}` is not one of hmac, rsa, ecdsa, eddsa"
                ));
            }
        }))
    }

    /// A key from a file or a setting: a secret, or a public key or certificate in PEM.
    pub(super) fn key(self, bytes: &[u8]) -> Result<DecodingKey, String> {
        let parsed = match self.0 {
            AlgorithmFamily::Hmac if bytes.is_empty() => return Err("the secret is empty".into()),
            // Whoever has read the public key could sign with it.
            AlgorithmFamily::Hmac if is_pem(bytes) => {
                return Err(
                    "this is a key in PEM, and no secret; set jwt_signing_method to its kind"
                        .into(),
                );
            }
            AlgorithmFamily::Hmac => return Ok(DecodingKey::from_secret(bytes)),
            AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(bytes),
            AlgorithmFamily::Ec => DecodingKey::from_ec_pem(bytes),
            AlgorithmFamily::Ed => DecodingKey::from_ed_pem(bytes),
        };
        parsed.map_err(|error| format!("no public key of the kind {:?}: {error}", self.0))
    }
}

// === impl Token ===

impl<'a> Token<'a> {
    /// Takes the header apart.
    pub(super) fn parse(raw: &'a str) -> Result<Self, Refused> {
        if raw.len() > LONGEST {
            return Err(invalid(format!("token is longer than {LONGEST} bytes")));
        }
        let mut parts = raw.split('.');
        let header = parts.next().unwrap_or_default();
        if parts.count() != 2 {
            return Err(invalid("token does not have three parts"));
        }
        let header = object(header)?;
        if header.contains_key("crit") {
            // RFC 7515, 4.1.11: what is not understood must not be passed over.
            return Err(invalid("extensions in crit are not understood"));
        }
        Ok(Self { raw, header })
    }

    /// The algorithm, which has to be of the definition's kind.
    pub(super) fn algorithm(&self, family: Family) -> Result<Algorithm, Refused> {
        let name = self.header.get("alg").and_then(Value::as_str);
        let name = name.unwrap_or_default();
        match name.parse::<Algorithm>() {
            Ok(algorithm) if family.0.algorithms().contains(&algorithm) => Ok(algorithm),
            _ => Err(Refused::Algorithm(name.to_owned())),
        }
    }

    /// The name of the key.
    pub(super) fn kid(&self) -> Option<&str> {
        self.header.get("kid").and_then(Value::as_str)
    }

    /// The claims before the signature is checked: to find the key, and for nothing else.
    pub(super) fn unverified_claims(&self) -> Result<Claims, Refused> {
        object(self.raw.split('.').nth(1).unwrap_or_default()).map(Claims)
    }

    /// The claims, if the signature is right.
    pub(super) fn verify(
        &self,
        key: &DecodingKey,
        algorithm: Algorithm,
    ) -> Result<Claims, Refused> {
        let mut rules = Validation::new(algorithm);
        // Times and parties are checked by the definition's own rules.
        rules.validate_exp = false;
        rules.validate_aud = false;
        rules.required_spec_claims.clear();
        jsonwebtoken::decode::<Object>(self.raw, key, &rules)
            .map(|token| Claims(token.claims))
            .map_err(|error| invalid(error.to_string()))
    }
}

fn is_pem(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"-----BEGIN ")
}

fn object(part: &str) -> Result<Object, Refused> {
    let bytes = URL_SAFE_NO_PAD.decode(part);
    let bytes = bytes.map_err(|error| invalid(format!("token is not base64: {error}")))?;
    serde_json::from_slice(&bytes).map_err(|error| invalid(format!("token is not JSON: {error}")))
}
