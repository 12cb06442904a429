//! What an API's version and its lists of paths say about a request: patterns, and what is
//! noted on the way.

pub mod addresses;
mod looping;
pub mod paths;
mod per_version;
mod state;
pub mod text;

pub use looping::{Loop, MAX_DEPTH};
pub use per_version::PerVersion;
pub use state::Traffic;
