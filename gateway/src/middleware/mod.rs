//! The gateway's own steps, one file each.

mod auth_token;
mod refuse;
mod session_state;
mod unless_ignored;
mod version;

pub use auth_token::AuthToken;
pub use refuse::Refuse;
pub use session_state::SessionState;
pub use unless_ignored::UnlessIgnored;
pub use version::{Version, ignores_paths};
