//! The gateway's own steps, one file each.

mod auth_token;
mod bodies;
mod breaker;
mod by_path;
mod cache;
mod cors;
mod headers;
mod ip_lists;
mod path_lists;
mod refuse;
mod rewrite;
mod session_state;
mod unless_ignored;
mod upstreams;
mod version;

pub use auth_token::AuthToken;
pub use bodies::{Bodies, PlainResponses, Schemas};
pub use breaker::{Breakers, Ticket};
pub use by_path::{Methods, SizeLimits, TimeLimits};
pub use cache::ResponseCache;
pub use cors::Cors;
pub use headers::Headers;
pub use ip_lists::IpLists;
pub use refuse::Refuse;
pub use rewrite::Rewrite;
pub use session_state::SessionState;
pub use unless_ignored::UnlessIgnored;
pub use upstreams::{Balance, Chosen, HandOver};
pub use version::{Version, ignores_paths};
