//! What a definition says of JSON Web Tokens, beside the plain keys of [`super::ApiDefinition`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ApiDefinition;

/// `scopes`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Scopes {
    /// Those of JSON Web Tokens.
    pub jwt: ScopeClaim,
}

/// `scopes.jwt`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ScopeClaim {
    /// The claim that has the scopes; dots lead into objects.
    pub scope_claim_name: String,
    /// Which policy a scope stands for.
    pub scope_to_policy: BTreeMap<String, String>,
}

impl ApiDefinition {
    /// The scopes of tokens, by the newer or the older keys.
    pub fn jwt_scopes(&self) -> ScopeClaim {
        let newer = &self.scopes.jwt;
        let (claim, policies) = match newer.scope_to_policy.is_empty() {
            true => (
                &self.jwt_scope_claim_name,
                &self.jwt_scope_to_policy_mapping,
            ),
            false => (&newer.scope_claim_name, &newer.scope_to_policy),
        };
        ScopeClaim {
            scope_claim_name: match claim.as_str() {
                "" => "scope".to_owned(),
                claim => claim.to_owned(),
            },
            scope_to_policy: policies.clone(),
        }
    }
}
