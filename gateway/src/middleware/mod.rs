//! The gateway's own steps, one file each.

mod auth_token;
mod cors;
mod ip_lists;
mod refuse;
mod session_state;
mod unless_ignored;
mod version;

pub use auth_token::AuthToken;
pub use cors::Cors;
pub use ip_lists::IpLists;
pub use refuse::Refuse;
pub use session_state::SessionState;
pub use unless_ignored::UnlessIgnored;
pub use version::{Version, ignores_paths};
