//! The gateway's own steps, one file each.

mod access_rights;
mod auth_token;
mod credential;
mod key_limits;
mod refuse;
mod session_state;
mod strip_auth;

pub use access_rights::AccessRights;
pub use auth_token::AuthToken;
pub use credential::Credential;
pub use key_limits::{KeyLimits, WholeApi};
pub use refuse::Refuse;
pub use session_state::SessionState;
pub use strip_auth::StripAuth;
