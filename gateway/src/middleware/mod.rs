//! The gateway's own steps, one file each.

mod access_rights;
mod auth_token;
mod key_limits;
mod refuse;
mod session_state;

pub use access_rights::AccessRights;
pub use auth_token::AuthToken;
pub use key_limits::{KeyLimits, WholeApi};
pub use refuse::Refuse;
pub use session_state::SessionState;
