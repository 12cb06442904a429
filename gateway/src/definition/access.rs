//! What keys and policies may do with which API, as the admin API and policy files write it.

use std::collections::BTreeMap;

use coprocess_core::{AccessDefinition, AccessSpec, ApiLimit, EndpointLimit};
use serde::{Deserialize, Serialize};

use crate::traffic::paths::Meaning;

/// `access_rights`, by API id
pub type AccessRights = BTreeMap<String, AccessRight>;

/// One of `access_rights`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct AccessRight {
    /// The API's name, for people.
    pub api_name: String,
    /// The API's id.
    pub api_id: String,
    /// The versions of it.
    pub versions: Vec<String>,
    /// Paths and methods; none are all.
    pub allowed_urls: Vec<AllowedUrl>,
    /// Limits on this API alone.
    pub limit: Limit,
    /// What those limits are counted under.
    pub allowance_scope: String,
    /// Rates of single paths.
    pub endpoints: Vec<Endpoint>,
}

/// One of `endpoints`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Endpoint {
    /// A pattern of paths, as those of definitions are.
    pub path: String,
    /// The methods, each with its rate.
    pub methods: Vec<EndpointMethod>,
}

/// One of `endpoints[].methods`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct EndpointMethod {
    /// The method.
    pub name: String,
    /// Its rate.
    pub limit: EndpointRate,
}

/// `endpoints[].methods[].limit`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct EndpointRate {
    /// Requests …
    pub rate: f64,
    /// … in so many seconds.
    pub per: f64,
}

/// One of `allowed_urls`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct AllowedUrl {
    /// A regular expression.
    pub url: String,
    /// The methods.
    pub methods: Vec<String>,
}

/// `limit`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Limit {
    /// Requests …
    pub rate: f64,
    /// … in so many seconds.
    pub per: f64,
    /// Seconds between attempts of a request over the rate.
    pub throttle_interval: f64,
    /// How many attempts.
    pub throttle_retry_limit: i64,
    /// Depth of a query.
    pub max_query_depth: i64,
    /// Requests …
    pub quota_max: i64,
    /// … until this Unix time …
    pub quota_renews: i64,
    /// … of which so many are left …
    pub quota_remaining: i64,
    /// … in so many seconds.
    pub quota_renewal_rate: i64,
}

// === impl Limit ===

impl Limit {
    /// What cannot be meant: -1 is "without limit", and below it is nothing.
    pub fn check(&self, path: &str) -> Result<(), String> {
        let at_least = |name: &str, value: f64| {
            if value >= -1.0 {
                return Ok(());
            }
            Err(format!(
                "{path}{name}: {value} is below -1, which means without limit"
            ))
        };
        #[expect(clippy::cast_precision_loss, reason = "only the sign matters")]
        let whole = |value: i64| value as f64;
        at_least("rate", self.rate)?;
        at_least("per", self.per)?;
        at_least("throttle_interval", self.throttle_interval)?;
        at_least("throttle_retry_limit", whole(self.throttle_retry_limit))?;
        at_least("max_query_depth", whole(self.max_query_depth))?;
        at_least("quota_max", whole(self.quota_max))?;
        at_least("quota_renewal_rate", whole(self.quota_renewal_rate))
    }
}

/// What cannot be meant in access rights.
pub fn check(rights: &AccessRights) -> Result<(), String> {
    for (id, right) in rights {
        if !right.api_id.is_empty() && right.api_id != *id {
            return Err(format!(
                "access_rights.{id}.api_id: `{}` is not `{id}`, under which it stands",
                right.api_id
            ));
        }
        right.limit.check(&format!("access_rights.{id}.limit."))?;
        for (place, endpoint) in right.endpoints.iter().enumerate() {
            let at = format!("access_rights.{id}.endpoints[{place}]");
            endpoint.check().map_err(|told| format!("{at}.{told}"))?;
        }
    }
    Ok(())
}

impl Endpoint {
    /// What cannot be meant.
    fn check(&self) -> Result<(), String> {
        Meaning::default().check(&self.path)?;
        for (place, method) in self.methods.iter().enumerate() {
            if method.name.is_empty() {
                return Err(format!("methods[{place}].name: it is missing or empty"));
            }
            let EndpointRate { rate, per } = method.limit;
            if rate < 0.0 || per < 0.0 {
                return Err(format!(
                    "methods[{place}].limit: {rate} in {per} seconds is below 0"
                ));
            }
        }
        Ok(())
    }

    /// The same, method by method.
    fn limits(self) -> impl Iterator<Item = EndpointLimit> {
        let path = self.path;
        self.methods.into_iter().map(move |method| EndpointLimit {
            path: path.clone(),
            method: method.name,
            rate: method.limit.rate,
            per: method.limit.per,
        })
    }
}

impl From<AccessRight> for AccessDefinition {
    fn from(right: AccessRight) -> Self {
        let urls = right.allowed_urls.into_iter().map(|allowed| AccessSpec {
            url: allowed.url,
            methods: allowed.methods,
        });
        let limit = ApiLimit::from(right.limit);
        Self {
            api_name: right.api_name,
            api_id: right.api_id,
            versions: right.versions,
            allowed_urls: urls.collect(),
            limit: (limit != ApiLimit::default()).then_some(limit),
            allowance_scope: right.allowance_scope,
            endpoints: right
                .endpoints
                .into_iter()
                .flat_map(Endpoint::limits)
                .collect(),
        }
    }
}

impl From<Limit> for ApiLimit {
    fn from(limit: Limit) -> Self {
        Self {
            rate: limit.rate,
            per: limit.per,
            throttle_interval: limit.throttle_interval,
            throttle_retry_limit: limit.throttle_retry_limit,
            max_query_depth: limit.max_query_depth,
            quota_max: limit.quota_max,
            quota_renews: limit.quota_renews,
            quota_remaining: limit.quota_remaining,
            quota_renewal_rate: limit.quota_renewal_rate,
        }
    }
}
