//! Key sets that servers have: fetched on the control plane when they are needed, remembered,
//! and fetched again when they are old or a token names a key that is not among them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{Request, Uri};
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::runtime::Handle;
use tracing::{info, warn};

use super::token::Family;
use super::{Refused, invalid};
use crate::config::Config;
use crate::outbound::{Bounds, Outbound, Verification};

/// How long a set is used without another look.
const FRESH: Duration = Duration::from_secs(240);

/// How long the last set is used while its server is away.
const STALE: Duration = Duration::from_secs(3600);

/// The time between two looks, however many tokens name keys that are not there.
const PAUSE: Duration = Duration::from_secs(2);

/// What a look may take.
const BOUNDS: Bounds = Bounds {
    time: Duration::from_secs(10),
    bytes: 1024 * 1024,
};

/// All sets of a process. A reload keeps them.
pub struct Jwks {
    control: Handle,
    verification: Verification,
    client: OnceLock<Result<Outbound, String>>,
    sets: Mutex<HashMap<String, Arc<KeySet>>>,
}

/// The set behind one URL.
pub(super) struct KeySet {
    url: Uri,
    family: Family,
    all: Arc<Jwks>,
    known: ArcSwapOption<Known>,
    /// One looks, the others wait; when the last one looked.
    looked: tokio::sync::Mutex<Option<Instant>>,
}

/// A set as it was fetched.
struct Known {
    keys: HashMap<String, (DecodingKey, Option<String>)>,
    fetched: Instant,
}

// === impl Jwks ===

impl Jwks {
    /// Sets that are fetched on the runtime `control`, on which they do not hold up requests.
    pub fn new(control: &Handle, config: &Config) -> Arc<Self> {
        Arc::new(Self {
            control: control.clone(),
            verification: match config.jwt_ssl_insecure_skip_verify {
                true => Verification::None,
                false => Verification::Full,
            },
            client: OnceLock::new(),
            sets: Mutex::default(),
        })
    }

    /// The set behind `url`, for keys of this kind.
    pub(super) fn set(self: &Arc<Self>, url: &str, family: Family) -> Result<Arc<KeySet>, String> {
        let uri: Uri = url
            .parse()
            .map_err(|error| format!("`{url}` is no URL: {error}"))?;
        if uri.host().is_none_or(str::is_empty) {
            return Err(format!("`{url}` has no host"));
        }
        let name = format!("{:?} {url}", family.0);
        let mut sets = self.sets.lock().expect("nobody panics while holding it");
        // Those that no API uses any more.
        sets.retain(|known, set| Arc::strong_count(set) > 1 || *known == name);
        let set = sets.entry(name).or_insert_with(|| {
            Arc::new(KeySet {
                url: uri,
                family,
                all: Arc::clone(self),
                known: ArcSwapOption::empty(),
                looked: tokio::sync::Mutex::new(None),
            })
        });
        Ok(Arc::clone(set))
    }

    fn client(&self) -> Result<Outbound, String> {
        let client = self
            .client
            .get_or_init(|| Outbound::new(self.verification).map_err(|error| error.to_string()));
        client.clone()
    }
}

// === impl KeySet ===

impl KeySet {
    /// The key of this name, for this algorithm.
    pub(super) async fn key(
        self: &Arc<Self>,
        kid: &str,
        algorithm: Algorithm,
    ) -> Result<DecodingKey, Refused> {
        if let Some(known) = &*self.known.load()
            && known.fetched.elapsed() < STALE
            && let Some(key) = known.find(kid, algorithm)
        {
            if known.fetched.elapsed() > FRESH && self.looked.try_lock().is_ok() {
                // Nobody waits for a look that may find the same.
                let looking = Arc::clone(self);
                let wanted = kid.to_owned();
                let look = async move { looking.look(&wanted, algorithm).await };
                drop(self.all.control.spawn(look));
            }
            return Ok(key);
        }
        let looking = Arc::clone(self);
        let wanted = kid.to_owned();
        // Goes on although the caller has gone, so that the next one finds the set.
        let looked = self
            .all
            .control
            .spawn(async move { looking.look(&wanted, algorithm).await });
        looked.await.map_err(|error| invalid(error.to_string()))?;
        let known = self.known.load();
        let usable = known
            .as_ref()
            .filter(|known| known.fetched.elapsed() < STALE);
        let found = usable.and_then(|known| known.find(kid, algorithm));
        found.ok_or_else(|| invalid(format!("no key `{kid}` in the set of {}", self.url)))
    }

    /// Fetches the set, unless somebody else just has.
    async fn look(&self, kid: &str, algorithm: Algorithm) {
        let mut looked = self.looked.lock().await;
        if let Some(known) = &*self.known.load()
            && known.fetched.elapsed() < FRESH
            && known.find(kid, algorithm).is_some()
        {
            return;
        }
        if looked.is_some_and(|looked| looked.elapsed() < PAUSE) {
            return;
        }
        match self.fetch().await {
            Ok(known) => {
                info!(url = %self.url, keys = known.keys.len(), "Key set is fetched.");
                self.known.store(Some(Arc::new(known)));
            }
            Err(reason) => warn!(
                url = %self.url,
                reason,
                "Key set cannot be fetched: tokens are refused whose keys are not known."
            ),
        }
        *looked = Some(Instant::now());
    }

    async fn fetch(&self) -> Result<Known, String> {
        // Reads the system's authorities the first time.
        let all = Arc::clone(&self.all);
        let client = tokio::task::spawn_blocking(move || all.client()).await;
        let client = client.map_err(|error| error.to_string())??;
        let request = Request::get(self.url.clone())
            .header("accept", "application/json")
            .body(Bytes::new())
            .map_err(|error| error.to_string())?;
        let answer = client.send(request, BOUNDS).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if !answer.status().is_success() {
            return Err(format!("status {}", answer.status()));
        }
        self.parse(answer.body())
    }

    /// The keys of a set that are of the right kind. Others may be there too.
    fn parse(&self, body: &[u8]) -> Result<Known, String> {
        let set: SetOfAny = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let all = set.keys.into_iter();
        let usable = all.filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        let set = JwkSet {
            keys: usable.collect(),
        };
        let mut keys = HashMap::new();
        for jwk in &set.keys {
            let is_for_signatures =
                !matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption));
            let kid = jwk.common.key_id.clone().filter(|_| is_for_signatures);
            if let (Some(kid), Ok(key)) = (kid, DecodingKey::from_jwk(jwk))
                && key.family() == self.family.0
            {
                let algorithm = jwk
                    .common
                    .key_algorithm
                    .map(|algorithm| algorithm.to_string());
                keys.entry(kid).or_insert((key, algorithm));
            }
        }
        Ok(Known {
            keys,
            fetched: Instant::now(),
        })
    }
}

/// A set with keys of any kind, also such that are not known here.
#[derive(serde::Deserialize)]
struct SetOfAny {
    keys: Vec<serde_json::Value>,
}

// === impl Known ===

impl Known {
    fn find(&self, kid: &str, algorithm: Algorithm) -> Option<DecodingKey> {
        let (key, only) = self.keys.get(kid)?;
        let fits = only
            .as_ref()
            .is_none_or(|only| *only == format!("{algorithm:?}"));
        fits.then(|| key.clone())
    }
}
