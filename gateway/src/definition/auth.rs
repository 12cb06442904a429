//! Where a caller's credential is in a request: `auth`, and the entries of `auth_configs`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ApiDefinition;

/// The entry of `auth_configs` for keys.
pub const TOKEN: &str = "authToken";

/// The entry of `auth_configs` for JSON Web Tokens.
pub const JWT: &str = "jwt";

/// The entry of `auth_configs` for basic authentication.
pub const BASIC: &str = "basic";

/// The entry of `auth_configs` for signatures.
pub const HMAC: &str = "hmac";

/// `auth`, or one entry of `auth_configs`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Auth {
    /// The header that carries it; empty means `Authorization`.
    pub auth_header_name: String,
    /// Do not look at the header.
    pub disable_header: bool,
    /// Look at the query too; what is there counts more than the header.
    pub use_param: bool,
    /// The parameter of the query; empty means the header's name.
    pub param_name: String,
    /// Look at the cookies too; what is there counts more than header and query.
    pub use_cookie: bool,
    /// The cookie; empty means the header's name.
    pub cookie_name: String,
    /// Without a key, the client's certificate stands for one (keys only).
    pub use_certificate: bool,
}

/// `auth_configs`: where each mechanism finds its credential.
pub type AuthConfigs = BTreeMap<String, Auth>;

impl ApiDefinition {
    /// Where the credential of a mechanism is, and the path of the settings that say so. A
    /// mechanism without settings of its own has those of `auth`.
    pub fn auth_of(&self, mechanism: &str) -> (&Auth, String) {
        match self.auth_configs.get(mechanism) {
            Some(auth) => (auth, format!("auth_configs.{mechanism}")),
            None => (&self.auth, "auth".to_owned()),
        }
    }

    /// The names of all certificates that the API uses.
    pub fn certificate_names(&self) -> impl Iterator<Item = &String> {
        let shown = (!self.upstream_certificates_disabled).then_some(&self.upstream_certificates);
        let taken = self
            .use_mutual_tls_auth
            .then_some(&self.client_certificates);
        let own = self.certificates.iter();
        let shown = shown.into_iter().flat_map(|entries| entries.values());
        own.chain(shown).chain(taken.into_iter().flatten())
    }

    /// Whether clients are asked for certificates because of this API.
    pub fn wants_certificates(&self) -> bool {
        let by_key = !self.use_keyless && self.auth_of(TOKEN).0.use_certificate;
        self.use_mutual_tls_auth || by_key
    }
}
