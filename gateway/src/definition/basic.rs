//! `basic_auth`: how user names and passwords are checked.

use serde::{Deserialize, Serialize};

/// `basic_auth`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BasicAuth {
    /// Check a password each time.
    pub disable_caching: bool,
    /// Seconds that a password which was right is remembered; 0 means 60.
    pub cache_ttl: u64,
    /// Look for the credentials in the body where the header does not have them.
    pub extract_from_body: bool,
    /// Finds the user name in the body: its first group.
    pub body_user_regexp: String,
    /// Finds the password in the body: its first group.
    pub body_password_regexp: String,
}
