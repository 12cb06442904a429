//! Events about certificates that end soon or have ended: of everything that the loaded APIs
//! and the configuration name, looked at after each load and once in a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use jiff::Timestamp;
use tracing::warn;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Certificates, Material};
use crate::api::ApiTable;
use crate::config::ExpiryMonitor;
use crate::events::{Events, Meta, names};
use crate::session::unix_now;
use crate::storage::keys;
use crate::tls;

const DAY: i64 = 24 * 3600;
const HOUR: i64 = 3600;

/// Looks at certificates.
pub struct Monitor {
    settings: ExpiryMonitor,
    certificates: Arc<Certificates>,
    events: Events,
    /// When this process has told of something, for when the store is away.
    told: HashMap<String, Instant>,
}

/// A certificate, as far as its end is concerned.
struct Ending {
    fingerprint: String,
    name: String,
    /// Unix seconds.
    end: i64,
}

// === impl Monitor ===

impl Monitor {
    /// Tells by these settings, with 0 for the defaults.
    pub fn new(settings: ExpiryMonitor, certificates: &Arc<Certificates>, events: &Events) -> Self {
        Self {
            settings: ExpiryMonitor {
                warning_threshold_days: or(settings.warning_threshold_days, 30),
                check_cooldown_seconds: or(settings.check_cooldown_seconds, 3600),
                event_cooldown_seconds: or(settings.event_cooldown_seconds, 24 * 3600),
            },
            certificates: Arc::clone(certificates),
            events: events.clone(),
            told: HashMap::new(),
        }
    }

    /// Looks at what is in the table for as long as this runs.
    pub async fn run(mut self, table: Arc<ArcSwap<ApiTable>>) {
        let pause = Duration::from_secs(self.settings.check_cooldown_seconds);
        loop {
            let now = table.load_full();
            self.look(&now).await;
            drop(now);
            // Either of them is a reason to look again.
            let _ = tokio::time::timeout(pause, self.certificates.loaded.notified()).await;
        }
    }

    async fn look(&mut self, table: &ApiTable) {
        for material in &table.certificates {
            for (name, ending) in self.endings(material) {
                if self.may_tell(name, "", &ending).await {
                    self.events.fire(name, || ending.meta(None));
                }
            }
        }
        for api in table.apis.values() {
            for material in &api.named {
                for (name, ending) in self.endings(material) {
                    if self.may_tell(name, &api.id, &ending).await {
                        let meta = || ending.meta(Some(&api.id));
                        api.events.fire_everywhere(name, meta);
                    }
                }
            }
        }
    }

    /// What is to be told of the certificates of one name.
    fn endings(&self, material: &Material) -> Vec<(&'static str, Ending)> {
        let soon = i64::from(self.settings.warning_threshold_days) * DAY;
        let all = material.chain.iter().filter_map(Ending::of);
        let told = all.filter_map(|ending| match ending.end - unix_now() {
            left if left < 0 => Some((names::CERTIFICATE_EXPIRED, ending)),
            left if left <= soon => Some((names::CERTIFICATE_EXPIRING_SOON, ending)),
            _ => None,
        });
        told.collect()
    }

    /// Whether nobody has told of it for a while: of several gateways that share a store one
    /// does.
    async fn may_tell(&mut self, event: &'static str, api: &str, ending: &Ending) -> bool {
        let pause = Duration::from_secs(self.settings.event_cooldown_seconds);
        let what = format!(
            "{}{event}.{api}.{}",
            keys::CERTIFICATE_EVENT,
            ending.fingerprint
        );
        self.told.retain(|_, told| told.elapsed() < pause);
        if self.told.contains_key(&what) {
            return false;
        }
        let store = &self.certificates.store;
        let value = Bytes::from_static(b"1");
        let first = store.set_if_absent(&what, value, Some(pause)).await;
        self.told.insert(what, Instant::now());
        // A second event is better than none.
        let tells = first.unwrap_or(true);
        if tells {
            let (certificate, fingerprint) = (&ending.name, &ending.fingerprint);
            let end = text_of(ending.end);
            warn!(
                event,
                api, certificate, fingerprint, end, "Certificate ends."
            );
        }
        tells
    }
}

// === impl Ending ===

impl Ending {
    fn of(certificate: &rustls::pki_types::CertificateDer<'static>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let mut names = parsed.subject().iter_common_name();
        let name = names.next().and_then(|name| name.as_str().ok());
        Some(Self {
            fingerprint: tls::fingerprint(certificate),
            name: name.unwrap_or_default().to_owned(),
            end: parsed.validity().not_after.timestamp(),
        })
    }

    fn meta(&self, api: Option<&str>) -> Meta {
        let left = self.end - unix_now();
        let (days, hours) = (left.abs() / DAY, left.abs() % DAY / HOUR);
        let span = match (days, hours) {
            (0, hours) => format!("{hours} hours"),
            (days, 0) => format!("{days} days"),
            (days, hours) => format!("{days} days and {hours} hours"),
        };
        let (said, end, count) = match left < 0 {
            true => ("expired since", "expired_at", "days_since_expiry"),
            false => ("expiring in", "expires_at", "days_remaining"),
        };
        let meta = Meta::new(&format!("Certificate {} is {said} {span}", self.name))
            .with("cert_id", &self.fingerprint)
            .with("cert_name", &self.name)
            .with(end, &text_of(self.end))
            .with_value(count, days.into());
        match api {
            Some(api) => meta.with("api_id", api),
            None => meta,
        }
    }
}

fn text_of(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

fn or<T: Default + PartialEq>(value: T, otherwise: T) -> T {
    if value == T::default() {
        otherwise
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_the_originals() {
        let said = |left: i64, api| {
            let ending = Ending {
                fingerprint: "f".into(),
                name: "test-cert".into(),
                // A moment more, so that the test may take one.
                end: unix_now() + left + if left < 0 { -10 } else { 10 },
            };
            serde_json::to_value(ending.meta(api)).unwrap()
        };
        for (left, message) in [
            (2 * DAY + 2 * HOUR, "is expiring in 2 days and 2 hours"),
            (2 * DAY, "is expiring in 2 days"),
            (5 * HOUR, "is expiring in 5 hours"),
            (-2 * DAY - 2 * HOUR, "is expired since 2 days and 2 hours"),
        ] {
            let meta = said(left, None);
            assert_eq!(meta["Message"], format!("Certificate test-cert {message}"));
        }
        let meta = said(3 * DAY, Some("api"));
        assert_eq!(
            (&meta["days_remaining"], &meta["api_id"]),
            (&3.into(), &"api".into())
        );
        assert_eq!(said(-3 * DAY, None)["days_since_expiry"], 3);
    }
}
