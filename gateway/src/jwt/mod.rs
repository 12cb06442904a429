//! Authentication by JSON Web Tokens: the step, and what becomes of a token that is valid.

pub mod claims;
pub mod jwks;
mod session;
mod source;
mod token;

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value};
use tracing::{info, warn};

use crate::chain::{Flow, Middleware, Step};
use crate::definition::ApiDefinition;
use crate::error::{AuthRefusal, ProxyError};
use crate::events::{Meta, names};
use crate::exchange::Exchange;
use crate::middleware::{Credential, without_scheme};
use crate::session::Sessions;
use crate::session::lifetime::Lifetime;
use claims::{Claims, TimeRules};
use jwks::Jwks;
use source::Source;
use token::Token;

/// Asks for a token.
pub struct JwtAuth {
    /// Where it is.
    pub credential: Credential,
    /// Where sessions are kept.
    pub sessions: Arc<Sessions>,
    /// How long.
    pub lifetime: Lifetime,
    /// The token's session is the request's.
    pub provides_identity: bool,
    rules: Rules,
}

/// What a definition asks of tokens.
struct Rules {
    family: token::Family,
    source: Source,
    identity_claim: String,
    skips_kid: bool,
    time: TimeRules,
    issuers: Vec<String>,
    audiences: Vec<String>,
    policies: session::PolicyRules,
}

/// Why a token is refused. What clients are told is in `answer`, the rest is for the log.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("algorithm `{0}` is not the definition's")]
    Algorithm(String),
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Time(&'static str),
    #[error("{0}")]
    Identity(String),
    #[error("{0}")]
    Policy(&'static str),
    #[error("{0}")]
    Store(String),
}

impl JwtAuth {
    /// The step of a definition. The error names the key that cannot work, and says why.
    pub fn new(
        definition: &ApiDefinition,
        jwks: &Arc<Jwks>,
        credential: Credential,
        sessions: Arc<Sessions>,
        (lifetime, provides_identity): (Lifetime, bool),
    ) -> Result<Self, String> {
        let family = token::Family::named(&definition.jwt_signing_method)?;
        let source = Source::new(&definition.jwt_source, family, jwks)
            .map_err(|reason| format!("jwt_source: {reason}"))?;
        Ok(Self {
            credential,
            sessions,
            lifetime,
            provides_identity,
            rules: Rules {
                family,
                source,
                identity_claim: definition.jwt_identity_base_field.clone(),
                skips_kid: definition.jwt_skip_kid,
                time: TimeRules {
                    expires: definition.jwt_expires_at_validation_skew,
                    issued: definition.jwt_issued_at_validation_skew,
                    not_before: definition.jwt_not_before_validation_skew,
                },
                issuers: definition.jwt_allowed_issuers.clone(),
                audiences: definition.jwt_allowed_audiences.clone(),
                policies: session::PolicyRules::new(definition),
            },
        })
    }

    async fn authenticate(&self, raw: &str, exchange: &mut Exchange) -> Result<(), Refused> {
        let token = Token::parse(raw)?;
        let algorithm = token.algorithm(self.rules.family)?;
        let (key, owner) = match &self.rules.source {
            Source::Key(key) => (Cow::Borrowed(&**key), None),
            Source::Url(keys) => {
                let kid = token.kid().ok_or_else(|| invalid("kid is not a string"))?;
                (Cow::Owned(keys.key(kid, algorithm).await?), None)
            }
            Source::Session => {
                let (key, owner) = self.key_of_session(&token, exchange).await?;
                (Cow::Owned(key), Some(owner))
            }
        };
        let claims = token.verify(&key, algorithm)?;
        claims.check_time(self.rules.time)?;
        claims.check_parties(&self.rules.issuers, &self.rules.audiences)?;
        match owner {
            Some(kept) => self.adopt_owner(&kept, exchange),
            None => self.adopt_made(&claims, exchange).await,
        }
    }

    fn identity(&self, claims: &Claims) -> Result<String, Refused> {
        claims.identity(&self.rules.identity_claim)
    }
}

impl Middleware for JwtAuth {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Some(credential) = self.credential.find(&exchange.head) else {
            tell(exchange, "");
            return Step::Done(Err(refusal(
                StatusCode::BAD_REQUEST,
                "Authorization field missing",
            )));
        };
        let raw = without_scheme(&credential).trim().to_owned();
        Step::Later(Box::pin(async move {
            match self.authenticate(&raw, exchange).await {
                Ok(()) => Ok(Flow::Continue),
                Err(refused) => Err(answer(&refused, exchange)),
            }
        }))
    }
}

fn invalid(reason: impl Into<String>) -> Refused {
    Refused::Invalid(reason.into())
}

fn refusal(status: StatusCode, message: impl Into<Cow<'static, str>>) -> ProxyError {
    ProxyError::Auth(Box::new(AuthRefusal::new(status, message)))
}

fn tell(exchange: &Exchange, key: &str) {
    let meta = || Meta::of_key("Auth Failure", exchange, key);
    exchange.api.events.fire(names::AUTH_FAILURE, meta);
}

/// What a client is told of a refusal: the texts are the original's.
fn answer(refused: &Refused, exchange: &Exchange) -> ProxyError {
    let api = &*exchange.api.id;
    if let Refused::Store(reason) = refused {
        warn!(api, reason, "Token cannot be judged.");
        return ProxyError::KeyStore(reason.clone());
    }
    info!(api, %refused, "Token is refused.");
    tell(exchange, "");
    match refused {
        Refused::Algorithm(_) => refusal(
            StatusCode::FORBIDDEN,
            "Key not authorized: Unexpected signing method",
        ),
        Refused::Time(reason) => refusal(
            StatusCode::UNAUTHORIZED,
            format!("Key not authorized: {reason}"),
        ),
        Refused::Identity(reason) => refusal(StatusCode::FORBIDDEN, reason.clone()),
        Refused::Policy(reason) => refusal(
            StatusCode::FORBIDDEN,
            format!("key not authorized: {reason}"),
        ),
        Refused::Invalid(_) | Refused::Store(_) => {
            refusal(StatusCode::FORBIDDEN, "Key not authorized")
        }
    }
}

/// The members of a JSON object.
type Object = Map<String, Value>;
