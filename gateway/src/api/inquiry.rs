//! `<listen path>/tyk/rate-limits/`: callers ask how their limits stand.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, header};

use crate::chain::{Chain, Flow};
use crate::error::ProxyError;
use crate::exchange::Exchange;
use crate::json::number;
use crate::limits::LimitsToTell;
use crate::middleware::KeyLimits;
use crate::upstream::body::ResponseBody;

/// How the callers of one API ask.
pub struct Inquiry {
    /// The numbers of the steps of the API's chain that they pass.
    pub(super) first: Vec<usize>,
    /// What they pass then.
    pub(super) last: Chain,
    /// The limits that are told.
    pub(super) limits: KeyLimits,
}

impl Inquiry {
    /// Whether that is what the request asks.
    pub fn is_asked(&self, exchange: &Exchange) -> bool {
        let path = exchange.head.uri.path();
        let below = path.get(exchange.listen_length..).unwrap_or_default();
        let below = below.strip_prefix('/').unwrap_or(below);
        matches!(below, "tyk/rate-limits/" | "tyk/rate-limits")
    }

    /// The answer, for a caller who may use the API.
    pub async fn answer(
        &self,
        exchange: &mut Exchange,
    ) -> Result<Response<ResponseBody>, ProxyError> {
        let api = Arc::clone(&exchange.api);
        if let Flow::Respond(response) = api.request_chain.run_only(&self.first, exchange).await? {
            return Ok(response);
        }
        if let Flow::Respond(response) = self.last.run(exchange).await? {
            return Ok(response);
        }
        let told = self.limits.tell(exchange).await?;
        Ok(document(&told))
    }
}

fn document(told: &LimitsToTell) -> Response<ResponseBody> {
    // In the original's order.
    let document = format!(
        r#"{{"quota":{{"quota_max":{},"quota_remaining":{},"quota_renews":{}}},"rate_limit":{{"requests":{},"per_unit":{}}}}}"#,
        told.quota.max,
        told.quota.remaining,
        told.quota.renews,
        number(told.rate),
        number(told.per),
    );
    let mut response = Response::new(ResponseBody::full(Bytes::from(document)));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
