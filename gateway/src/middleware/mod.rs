//! The gateway's own steps, one file each.

mod auth_token;
mod refuse;
mod session_state;

pub use auth_token::AuthToken;
pub use refuse::Refuse;
pub use session_state::SessionState;
