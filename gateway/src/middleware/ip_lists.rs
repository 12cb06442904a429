//! Which addresses may call.

use std::net::IpAddr;
use std::sync::Arc;

use crate::chain::{Flow, Middleware, Step};
use crate::definition::ApiDefinition;
use crate::error::ProxyError;
use crate::exchange::Exchange;
use crate::traffic::addresses::{Addresses, client};

/// Lets in who is on the one list and not on the other.
pub struct IpLists {
    allowed: Option<Addresses>,
    blocked: Option<Addresses>,
    /// Who may say whom a request is from.
    proxies: Arc<Addresses>,
}

impl IpLists {
    /// The step, if the definition has a list. One of allowed addresses that is on and empty
    /// lets nobody in.
    pub fn new(
        definition: &ApiDefinition,
        proxies: &Arc<Addresses>,
    ) -> Result<Option<Self>, String> {
        let list = |on: bool, key: &str, entries: &[String]| {
            let made = on.then(|| Addresses::parse(entries));
            let made = made.transpose();
            made.map_err(|wrong| format!("API `{}`: {key}{wrong}", definition.api_id))
        };
        let allowed = list(
            definition.enable_ip_whitelisting,
            "allowed_ips",
            &definition.allowed_ips,
        )?;
        let blocked = list(
            definition.enable_ip_blacklisting,
            "blacklisted_ips",
            &definition.blacklisted_ips,
        )?;
        let needed = allowed.is_some() || blocked.is_some();
        Ok(needed.then(|| Self {
            allowed,
            blocked,
            proxies: Arc::clone(proxies),
        }))
    }

    fn lets_in(&self, address: IpAddr) -> bool {
        let of = |list: &Option<Addresses>| list.as_ref().map(|list| list.contains(address));
        of(&self.allowed) != Some(false) && of(&self.blocked) != Some(true)
    }
}

impl Middleware for IpLists {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let peer = exchange.client.address.ip();
        let address = client(peer, &exchange.head.headers, &self.proxies);
        // Who cannot be told is on the wrong side of both lists.
        let lets_in = address.is_some_and(|address| self.lets_in(address));
        Step::Done(if lets_in {
            Ok(Flow::Continue)
        } else {
            Err(ProxyError::AddressForbidden)
        })
    }
}
