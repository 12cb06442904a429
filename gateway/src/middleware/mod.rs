//! The gateway's own steps, one file each.

mod access_rights;
mod auth_token;
mod basic_auth;
mod client_certificate;
mod credential;
mod key_limits;
mod password;
mod refuse;
mod session_state;
mod signature;
mod strip_auth;

pub use access_rights::AccessRights;
pub use auth_token::AuthToken;
pub use basic_auth::BasicAuth;
pub use client_certificate::ClientCertificate;
pub use credential::Credential;
pub(crate) use credential::without_scheme;
pub use key_limits::{KeyLimits, WholeApi};
pub use refuse::Refuse;
pub use session_state::SessionState;
pub use signature::SignatureAuth;
pub use strip_auth::StripAuth;
