//! Signed requests, in the form of the HTTP Signatures drafts: the caller signs what it sends
//! with a secret that the gateway shares (HMAC), or with a private key whose public key is in
//! the certificate store (RSA).

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RsaParameters, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use coprocess_core::Session;
use http::StatusCode;
use http::request::Parts;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use percent_encoding::percent_decode_str;
use tracing::info;

use super::Credential;
use crate::certificates::{Certificates, EntryError};
use crate::chain::{Flow, Middleware, Step};
use crate::error::{AuthRefusal, ProxyError};
use crate::events::{Meta, names};
use crate::exchange::Exchange;
use crate::session::owner::usable;
use crate::session::{SessionError, Sessions};

/// The header that stands in for `Date` where a client cannot set that.
const OTHER_DATE: &str = "x-aux-date";

/// How something is signed.
#[derive(Clone, Copy)]
enum Algorithm {
    Hmac(hmac::Algorithm),
    Rsa(&'static RsaParameters),
}

/// The algorithms by their names.
static ALGORITHMS: [(&str, Algorithm); 7] = [
    (
        "hmac-sha1",
        Algorithm::Hmac(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
    ),
    ("hmac-sha256", Algorithm::Hmac(hmac::HMAC_SHA256)),
    ("hmac-sha384", Algorithm::Hmac(hmac::HMAC_SHA384)),
    ("hmac-sha512", Algorithm::Hmac(hmac::HMAC_SHA512)),
    ("rsa-sha256", Algorithm::Rsa(&RSA_PKCS1_2048_8192_SHA256)),
    ("rsa-sha384", Algorithm::Rsa(&RSA_PKCS1_2048_8192_SHA384)),
    ("rsa-sha512", Algorithm::Rsa(&RSA_PKCS1_2048_8192_SHA512)),
];

/// Asks for a signature.
pub struct SignatureAuth {
    /// Where it is.
    pub credential: Credential,
    /// Where sessions are kept.
    pub sessions: Arc<Sessions>,
    /// Where public keys are kept.
    pub certificates: Arc<Certificates>,
    /// The signer's session is the request's.
    pub provides_identity: bool,
    /// Which algorithms may be used; none means all that there are.
    pub algorithms: Vec<String>,
    /// How far the request's date may be away; nothing means any time.
    pub clock_skew: Option<Duration>,
}

/// What the header says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fields {
    key_id: String,
    algorithm: String,
    headers: Vec<String>,
    signature: Vec<u8>,
}

impl SignatureAuth {
    /// The step's settings from a definition. The error says what cannot work.
    pub fn allowed(names: &[String]) -> Result<Vec<String>, String> {
        let is_known = |name: &&String| ALGORITHMS.iter().any(|(known, _)| known == name);
        let known: Vec<String> = names.iter().filter(is_known).cloned().collect();
        if known.is_empty() && !names.is_empty() {
            return Err(format!(
                "hmac_allowed_algorithms: none of {} is implemented, only {}",
                names.join(", "),
                ALGORITHMS.each_ref().map(|(name, _)| *name).join(", ")
            ));
        }
        Ok(known)
    }

    async fn authenticate(
        &self,
        header: &str,
        exchange: &mut Exchange,
    ) -> Result<Flow, ProxyError> {
        let fields = parse(header).map_err(|reason| refuse(exchange, header, reason))?;
        match self.check(&fields, exchange).await {
            Ok(()) => Ok(Flow::Continue),
            Err(Refused::Store(reason)) => Err(ProxyError::KeyStore(reason)),
            Err(Refused::Because(reason)) => Err(refuse(exchange, &fields.key_id, reason)),
        }
    }

    async fn check(&self, fields: &Fields, exchange: &mut Exchange) -> Result<(), Refused> {
        let algorithm = ALGORITHMS
            .iter()
            .find(|(name, _)| *name == fields.algorithm);
        let (_, algorithm) = algorithm.ok_or(Refused::Because("algorithm is unknown"))?;
        if !self.algorithms.is_empty() && !self.algorithms.contains(&fields.algorithm) {
            return Err(Refused::Because("algorithm is not allowed"));
        }
        self.check_date(fields, &exchange.head)?;
        let signed = signed_text(fields, &exchange.head)?;
        let org_id = &exchange.api.spec.org_id;
        let kept = match self.sessions.of_key(org_id, &fields.key_id).await {
            Ok(kept) => kept.ok_or(Refused::Because("keyId is unknown"))?,
            Err(SessionError::Store(error)) => return Err(Refused::Store(error.to_string())),
            Err(SessionError::Unreadable(_)) => {
                return Err(Refused::Because("session is not readable"));
            }
        };
        let session = usable(&kept, exchange).ok_or(Refused::Because("key is not for this API"))?;
        match algorithm {
            Algorithm::Hmac(algorithm) => {
                if !session.hmac_enabled || session.hmac_secret.is_empty() {
                    return Err(Refused::Because("key has no secret to sign with"));
                }
                let key = hmac::Key::new(*algorithm, session.hmac_secret.as_bytes());
                // In constant time.
                hmac::verify(&key, signed.as_bytes(), &fields.signature)
                    .map_err(|_| Refused::Because(WRONG))?;
            }
            Algorithm::Rsa(algorithm) => {
                let key = self.public_key(&session).await?;
                UnparsedPublicKey::new(*algorithm, key)
                    .verify(signed.as_bytes(), &fields.signature)
                    .map_err(|_| Refused::Because(WRONG))?;
            }
        }
        if self.provides_identity {
            exchange.session = Some(session);
        }
        Ok(())
    }

    /// The public key that a session names. It may be a certificate's.
    async fn public_key(&self, session: &Session) -> Result<Vec<u8>, Refused> {
        let id = session.rsa_certificate_id.as_str();
        if !session.enable_http_signature_validation || id.is_empty() {
            return Err(Refused::Because("key has no certificate to sign with"));
        }
        match self.certificates.get_recent(id).await {
            Ok(found) => found
                .and_then(|material| material.public_key())
                .ok_or(Refused::Because(
                    "the key's rsa_certificate_id is not in the store",
                )),
            Err(EntryError::Store(error)) => Err(Refused::Store(error.to_string())),
            Err(EntryError::Unusable(_)) => {
                Err(Refused::Because("the key's certificate is not readable"))
            }
        }
    }

    /// A request needs a date. Where it must be a recent one, it has to be signed too:
    /// otherwise anybody who has seen the request could send it again with another.
    fn check_date(&self, fields: &Fields, head: &Parts) -> Result<(), Refused> {
        let (_, date) = date(head).ok_or(Refused::Because("there is no date"))?;
        let date = rfc2822::parse(&date).map_err(|_| Refused::Because("date is not one"))?;
        let Some(limit) = self.clock_skew else {
            return Ok(());
        };
        let is_date = |name: &String| name == "date" || name == OTHER_DATE;
        if !fields.headers.iter().any(is_date) {
            return Err(Refused::Because("date is not signed"));
        }
        let away = Timestamp::now()
            .duration_since(date.timestamp())
            .unsigned_abs();
        if away > limit {
            return Err(Refused::Because("date is too far away"));
        }
        Ok(())
    }
}

impl Middleware for SignatureAuth {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Some(header) = self.credential.find(&exchange.head) else {
            return Step::Done(Err(refuse(exchange, "", "there is no signature")));
        };
        let header = header.into_owned();
        Step::Later(Box::pin(async move {
            self.authenticate(&header, exchange).await
        }))
    }
}

const WRONG: &str = "signature is wrong";

enum Refused {
    Because(&'static str),
    Store(String),
}

fn refuse(exchange: &Exchange, key: &str, reason: &str) -> ProxyError {
    info!(api = exchange.api.id, reason, "Signature is refused.");
    let meta = || Meta::of_key("Auth Failure", exchange, key);
    exchange.api.events.fire(names::AUTH_FAILURE, meta);
    ProxyError::Auth(Box::new(AuthRefusal::new(
        StatusCode::BAD_REQUEST,
        "Authorization field missing, malformed or invalid",
    )))
}

/// The date and the name that it is signed under.
fn date(head: &Parts) -> Option<(&'static str, String)> {
    [OTHER_DATE, "date"].into_iter().find_map(|name| {
        let value = head.headers.get(name)?.to_str().ok()?;
        (!value.is_empty()).then(|| (name, value.to_owned()))
    })
}

/// What was signed: a line for each of the headers that the caller names.
fn signed_text(fields: &Fields, head: &Parts) -> Result<String, Refused> {
    let mut lines = Vec::with_capacity(fields.headers.len());
    for name in &fields.headers {
        lines.push(match name.as_str() {
            "(request-target)" => {
                let path = percent_decode_str(head.uri.path()).decode_utf8_lossy();
                let method = head.method.as_str().to_ascii_lowercase();
                format!("(request-target): {method} {path}")
            }
            "date" => {
                let (name, value) = date(head).ok_or(Refused::Because("there is no date"))?;
                format!("{name}: {}", value.trim())
            }
            name => {
                let mut values = head.headers.get_all(name).iter();
                let value = values.next().and_then(|value| value.to_str().ok());
                let value = value.ok_or(Refused::Because("a signed header is missing"))?;
                if values.next().is_some() {
                    return Err(Refused::Because("a signed header is there twice"));
                }
                format!("{name}: {}", value.trim())
            }
        });
    }
    Ok(lines.join("\n"))
}

/// Takes `Signature keyId="…",algorithm="…",headers="…",signature="…"` apart.
fn parse(header: &str) -> Result<Fields, &'static str> {
    let header = header.trim();
    let rest = match header.get(..9) {
        Some(scheme) if scheme.eq_ignore_ascii_case("signature") => &header[9..],
        _ => header,
    };
    let mut fields = Fields::default();
    for pair in split(rest) {
        let (name, value) = pair.split_once('=').ok_or("a field has no value")?;
        let value = value.trim();
        let quoted = value
            .strip_prefix('"')
            .and_then(|value| value.strip_suffix('"'));
        let value = quoted.unwrap_or(value).to_owned();
        match name.trim().to_ascii_lowercase().as_str() {
            "keyid" => fields.key_id = value,
            "algorithm" => fields.algorithm = value,
            "headers" => {
                let names = value.split(' ').filter(|name| !name.is_empty());
                fields.headers = names.map(str::to_ascii_lowercase).collect();
            }
            "signature" => {
                let base64: Vec<u8> = percent_decode_str(&value).collect();
                fields.signature = STANDARD
                    .decode(base64)
                    .map_err(|_| "signature is no base64")?;
            }
            _ => return Err("a field is unknown"),
        }
    }
    if fields.headers.is_empty() {
        fields.headers.push("date".into());
    }
    Ok(fields)
}

/// The parts between commas that are not in quotes.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut in_quotes = false;
    text.split(move |letter: char| {
        in_quotes ^= letter == '"';
        letter == ',' && !in_quotes
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_taken_apart() {
        let parsed = |text: &str| parse(text);
        let expected = Fields {
            key_id: "a,b".into(),
            algorithm: "hmac-sha256".into(),
            headers: vec!["(request-target)".into(), "x-b".into()],
            signature: b"sig+".to_vec(),
        };
        let signature = STANDARD.encode("sig+").replace('=', "%3d");
        let text = format!(
            "Signature keyId=\"a,b\", algorithm=\"hmac-sha256\",headers=\"(request-target)  X-B\",\
             signature=\"{signature}\""
        );
        assert_eq!(parsed(&text), Ok(expected));
        let fields = parsed("signature keyid=k,algorithm=x").unwrap();
        assert_eq!(
            (&*fields.key_id, &fields.headers[..]),
            ("k", &["date".to_owned()][..])
        );
        for text in [
            "Signature x",
            "Signature a=b",
            "keyId=x,signature=\"%%%\"",
            "x=\"=,\"",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn algorithms_have_to_be_known() {
        let names = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(SignatureAuth::allowed(&[]), Ok(Vec::new()));
        let some = names(&["rsa-md5", "hmac-sha512", "rsa-sha256"]);
        let known = names(&["hmac-sha512", "rsa-sha256"]);
        assert_eq!(SignatureAuth::allowed(&some), Ok(known));
        let said = SignatureAuth::allowed(&names(&["rsa-md5"])).unwrap_err();
        assert!(
            said.contains("rsa-md5") && said.contains("hmac-sha1"),
            "{said}"
        );
    }
}
