//! Basic authentication (RFC 7617): a user name and a password.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use regex::bytes::Regex;
use tracing::{info, warn};

use super::Credential;
use super::password::{Checked, Passwords};
use crate::chain::{Flow, Middleware, Step};
use crate::coprocess;
use crate::definition::{ApiDefinition, BasicAuth as Settings};
use crate::error::{AuthRefusal, ProxyError};
use crate::events::{Meta, names};
use crate::exchange::Exchange;
use crate::session::owner::usable;
use crate::session::{Kept, SessionError, Sessions};

/// How long a right password is remembered where the definition does not say.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Largest body that credentials are looked for in.
const LARGEST_BODY: u64 = 1024 * 1024;

/// Asks for user name and password.
pub struct BasicAuth {
    credential: Credential,
    sessions: Arc<Sessions>,
    provides_identity: bool,
    passwords: Passwords,
    body: Option<InBody>,
    challenge: String,
}

/// Where credentials are in a body.
struct InBody {
    user: Regex,
    password: Regex,
}

/// What a caller has sent.
struct Login {
    user: String,
    password: String,
}

impl BasicAuth {
    /// The step of a definition. The error names the key that cannot work, and says why.
    pub fn new(
        definition: &ApiDefinition,
        credential: Credential,
        sessions: Arc<Sessions>,
        provides_identity: bool,
    ) -> Result<Self, String> {
        let settings = &definition.basic_auth;
        let remember_for = match (settings.disable_caching, settings.cache_ttl) {
            (true, _) => Duration::ZERO,
            (false, 0) => REMEMBERED,
            (false, seconds) => Duration::from_secs(seconds),
        };
        let realm = definition.name.replace('\\', "\\\\").replace('"', "\\\"");
        Ok(Self {
            credential,
            sessions,
            provides_identity,
            passwords: Passwords::new(remember_for)?,
            body: in_body(settings)?,
            challenge: format!("Basic realm=\"{realm}\""),
        })
    }

    async fn authenticate(
        &self,
        sent: Result<Login, ProxyError>,
        exchange: &mut Exchange,
    ) -> Result<Flow, ProxyError> {
        let login = match (sent, &self.body) {
            (Ok(login), _) => login,
            (Err(_), Some(places)) => places.find(exchange).await?,
            (Err(refusal), None) => return Err(refusal),
        };
        let kept = self.session_of(&login.user, exchange).await?;
        let stored = kept
            .as_ref()
            .and_then(|kept| kept.session.basic_auth_data.as_ref());
        let checked = match stored {
            Some(stored) => self.passwords.check(stored, &login.password).await,
            None => Checked::Wrong,
        };
        let session = match (checked, &kept) {
            (Checked::Busy, _) => {
                warn!(
                    api = exchange.api.id,
                    "Caller is refused: too many passwords to check."
                );
                return Err(refusal(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "Service temporarily unavailable.",
                ));
            }
            (Checked::Right, Some(kept)) => usable(kept, exchange),
            _ => None,
        };
        let Some(session) = session else {
            info!(
                api = exchange.api.id,
                "Caller is refused: user name or password is wrong."
            );
            let meta = || Meta::of_key("Auth Failure", exchange, &login.user);
            exchange.api.events.fire(names::AUTH_FAILURE, meta);
            return Err(self.challenge("User not authorised"));
        };
        if self.provides_identity {
            exchange.session = Some(session);
        }
        Ok(Flow::Continue)
    }

    /// The session of a user; also one that was stored before ids had their newer form.
    async fn session_of(
        &self,
        user: &str,
        exchange: &Exchange,
    ) -> Result<Option<Arc<Kept>>, ProxyError> {
        let org_id = &exchange.api.spec.org_id;
        let sessions = &self.sessions;
        let found = sessions.find(&sessions.names.generate(org_id, user)).await;
        let found = found.map_err(|error| failed(&error, exchange))?;
        if found.is_some() || sessions.names.function.is_none() {
            return Ok(found);
        }
        let older = format!("{org_id}{}", user.strip_prefix(&**org_id).unwrap_or(user));
        let found = sessions.find(&older).await;
        found.map_err(|error| failed(&error, exchange))
    }

    fn challenge(&self, message: &'static str) -> ProxyError {
        let mut refusal = AuthRefusal::new(StatusCode::UNAUTHORIZED, message);
        refusal.challenge = Some(self.challenge.clone());
        ProxyError::Auth(Box::new(refusal))
    }
}

impl Middleware for BasicAuth {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let sent = match self.credential.find(&exchange.head) {
            None => Err(self.challenge("Authorization field missing")),
            Some(header) => parse(&header).map_err(|reason| {
                let text = format!("Attempted access with malformed header, {reason}");
                refusal(StatusCode::BAD_REQUEST, text)
            }),
        };
        if let (Err(refusal), None) = (&sent, &self.body) {
            info!(api = exchange.api.id, %refusal, "Caller is refused.");
        }
        Step::Later(Box::pin(self.authenticate(sent, exchange)))
    }
}

impl InBody {
    async fn find(&self, exchange: &mut Exchange) -> Result<Login, ProxyError> {
        let body = exchange.body.hold(LARGEST_BODY).await?.clone();
        let group = |regex: &Regex| {
            let found = regex.captures(&body)?.get(1)?;
            Some(String::from_utf8_lossy(found.as_bytes()).into_owned())
        };
        let missing = |text| refusal(StatusCode::BAD_REQUEST, text);
        let login = Login {
            user: group(&self.user).ok_or_else(|| missing("Body do not contain username"))?,
            password: group(&self.password)
                .ok_or_else(|| missing("Body do not contain password"))?,
        };
        // What was held goes on with a length.
        coprocess::apply_body(body, exchange);
        Ok(login)
    }
}

fn in_body(settings: &Settings) -> Result<Option<InBody>, String> {
    if !settings.extract_from_body {
        return Ok(None);
    }
    let compile = |key: &str, text: &str| {
        let wrong = |reason: &str| format!("basic_auth.{key}: `{text}`: {reason}");
        if text.is_empty() {
            return Err(wrong("extract_from_body needs an expression here"));
        }
        let regex = Regex::new(text).map_err(|error| wrong(&error.to_string()))?;
        match regex.captures_len() {
            1 => Err(wrong("has no group around what is looked for")),
            _ => Ok(regex),
        }
    };
    Ok(Some(InBody {
        user: compile("body_user_regexp", &settings.body_user_regexp)?,
        password: compile("body_password_regexp", &settings.body_password_regexp)?,
    }))
}

/// Takes a header apart; the error is what the caller is told.
fn parse(header: &str) -> Result<Login, &'static str> {
    let format = "header not in basic auth format";
    let (scheme, data) = header.trim().split_once(' ').ok_or(format)?;
    let data = data.trim();
    if !scheme.eq_ignore_ascii_case("basic") || data.contains(' ') {
        return Err(format);
    }
    let data = STANDARD
        .decode(data)
        .map_err(|_| "auth data not encoded correctly")?;
    let text = String::from_utf8(data).map_err(|_| "auth data not encoded correctly")?;
    // A password may have colons, and a user name may not.
    let (user, password) = text
        .split_once(':')
        .ok_or("values not in basic auth format")?;
    Ok(Login {
        user: user.to_owned(),
        password: password.to_owned(),
    })
}

fn refusal(status: StatusCode, message: impl Into<Cow<'static, str>>) -> ProxyError {
    ProxyError::Auth(Box::new(AuthRefusal::new(status, message)))
}

fn failed(error: &SessionError, exchange: &Exchange) -> ProxyError {
    match error {
        // The store says by itself that it is away.
        SessionError::Store(error) => ProxyError::KeyStore(error.to_string()),
        SessionError::Unreadable(error) => {
            warn!(api = exchange.api.id, %error, "Caller is refused.");
            ProxyError::Internal(error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_taken_apart() {
        let encoded = |text: &str| STANDARD.encode(text);
        for (header, expected) in [
            (format!("Basic {}", encoded("a:b")), Ok(("a", "b"))),
            (format!("basic  {}", encoded("a:b:c")), Ok(("a", "b:c"))),
            (format!("Basic {}", encoded(":")), Ok(("", ""))),
            (format!("Basic {}", encoded("ab")), Err("values")),
            ("Basic %".to_owned(), Err("encoded")),
            (
                format!("Basic {}", STANDARD.encode([255, 58])),
                Err("encoded"),
            ),
            (format!("Bearer {}", encoded("a:b")), Err("header not")),
            ("Basic".to_owned(), Err("header not")),
            (format!("Basic {} x", encoded("a:b")), Err("header not")),
        ] {
            match (parse(&header), expected) {
                (Ok(login), Ok((user, password))) => {
                    assert_eq!((&*login.user, &*login.password), (user, password));
                }
                (Err(reason), Err(part)) => assert!(reason.contains(part), "{header}: {reason}"),
                _ => panic!("{header}"),
            }
        }
    }
}
