//! The gateway's own steps, one file each.

mod access_rights;
mod auth_token;
mod breaker;
mod by_path;
mod cors;
mod credential;
mod headers;
mod ip_lists;
mod key_limits;
mod organisation;
mod refuse;
mod rewrite;
mod session_state;
mod strip_auth;
mod unless_ignored;
mod upstreams;
mod version;

pub use access_rights::AccessRights;
pub use auth_token::AuthToken;
pub use breaker::{Breakers, Ticket};
pub use by_path::{Methods, SizeLimits, TimeLimits};
pub use cors::Cors;
pub use credential::Credential;
pub use headers::Headers;
pub use ip_lists::IpLists;
pub use key_limits::{KeyLimits, WholeApi};
pub use organisation::Organisation;
pub use refuse::Refuse;
pub use rewrite::Rewrite;
pub use session_state::SessionState;
pub use strip_auth::StripAuth;
pub use unless_ignored::UnlessIgnored;
pub use upstreams::{Balance, Chosen, HandOver};
pub use version::{Version, ignores_paths};
