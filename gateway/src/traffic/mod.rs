//! What an API's version and its lists of paths say about a request: patterns, and what is
//! noted on the way.

pub mod addresses;
pub mod paths;
mod per_version;
mod state;

pub use per_version::PerVersion;
pub use state::Traffic;
