//! Sets of addresses, and whose address a request is from.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

/// A set of addresses: networks that do not overlap, in order.
#[derive(Debug, Default)]
pub struct Addresses(Vec<IpNet>);

impl Addresses {
    /// Reads addresses and networks. The error begins with the place of the entry.
    pub fn parse(entries: &[String]) -> Result<Self, String> {
        let mut networks = Vec::with_capacity(entries.len());
        for (place, entry) in entries.iter().enumerate() {
            let network = network(entry).ok_or_else(|| {
                format!("[{place}]: `{entry}` is neither an address nor a network like 10.0.0.0/8")
            })?;
            networks.push(network);
        }
        let mut networks = IpNet::aggregate(&networks);
        networks.sort_by_key(IpNet::network);
        Ok(Self(networks))
    }

    /// Whether an address is in it. IPv4 written as IPv6 is IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let behind = self.0.partition_point(|known| known.network() <= address);
        let before = behind.checked_sub(1).map(|place| self.0[place]);
        before.is_some_and(|known| known.contains(&address))
    }
}

/// One address or a network. IPv4 written as IPv6 is IPv4.
fn network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical().into());
    }
    let network: IpNet = text.parse().ok()?;
    let mapped = network.network().to_canonical();
    match (network, mapped) {
        (IpNet::V6(long), IpAddr::V4(_)) => {
            let length = long.prefix_len().checked_sub(96)?;
            IpNet::new(mapped, length).ok()
        }
        _ => Some(network.trunc()),
    }
}

/// Whose address a request is from: the other end's of the connection, unless that is a
/// proxy that may say who it is. Then it is the last address in `X-Forwarded-For` that is no
/// such proxy's: those before it are what the client claims. `None` when that is no address.
pub fn client(peer: IpAddr, headers: &HeaderMap, proxies: &Addresses) -> Option<IpAddr> {
    let peer = peer.to_canonical();
    if proxies.0.is_empty() || !proxies.contains(peer) {
        return Some(peer);
    }
    let fields: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    let mut found = peer;
    for field in fields.into_iter().rev() {
        for entry in field.to_str().ok()?.rsplit(',') {
            found = address(entry.trim())?;
            if !proxies.contains(found) {
                return Some(found);
            }
        }
    }
    Some(found)
}

/// An address, also with the port that some proxies write behind it.
fn address(text: &str) -> Option<IpAddr> {
    let plain = text.parse::<IpAddr>();
    let bare = plain.or_else(|_| text.parse::<std::net::SocketAddr>().map(|with| with.ip()));
    bare.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(entries: &[&str]) -> Addresses {
        let entries: Vec<_> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        Addresses::parse(&entries).unwrap()
    }

    #[test]
    fn addresses_are_found_in_networks() {
        let set = addresses(&[
            "10.0.0.0/8",
            "10.1.0.0/16",
            "192.168.1.7",
            "2001:db8::/32",
            "::ffff:172.16.0.0/108",
            "203.0.113.9/24",
        ]);
        for (address, expected) in [
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("9.255.255.255", false),
            ("192.168.1.7", true),
            ("192.168.1.8", false),
            ("::ffff:10.1.2.3", true),
            ("172.16.9.9", true),
            ("172.32.0.0", false),
            ("203.0.113.200", true),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
            ("::1", false),
        ] {
            assert_eq!(
                set.contains(address.parse().unwrap()),
                expected,
                "{address}"
            );
        }
        assert!(!addresses(&[]).contains("::1".parse().unwrap()));
        assert!(Addresses::parse(&["10.0.0.0/33".into()]).is_err());
    }

    #[test]
    fn only_trusted_proxies_say_who_calls() {
        let proxies = addresses(&["10.0.0.0/8"]);
        let found = |peer: &str, fields: &[&str]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append("x-forwarded-for", field.parse().unwrap());
            }
            let found = client(peer.parse().unwrap(), &headers, &proxies);
            found.map(|address| address.to_string())
        };
        for (peer, fields, expected) in [
            ("1.1.1.1", &["2.2.2.2"][..], Some("1.1.1.1")),
            ("10.0.0.1", &[], Some("10.0.0.1")),
            ("10.0.0.1", &["2.2.2.2"], Some("2.2.2.2")),
            ("::ffff:10.0.0.1", &["3.3.3.3, 2.2.2.2"], Some("2.2.2.2")),
            ("10.0.0.1", &["3.3.3.3, 2.2.2.2, 10.2.2.2"], Some("2.2.2.2")),
            ("10.0.0.1", &["3.3.3.3", "2.2.2.2:80"], Some("2.2.2.2")),
            ("10.0.0.1", &["10.3.3.3,10.2.2.2"], Some("10.3.3.3")),
            ("10.0.0.1", &["2.2.2.2, unknown"], None),
            ("10.0.0.1", &["2.2.2.2,"], None),
        ] {
            assert_eq!(
                found(peer, fields).as_deref(),
                expected,
                "{peer} {fields:?}"
            );
        }
    }
}
