//! Events: what the gateway and plugins announce, and who is told.
//!
//! An event either belongs to an API, whose definition lists the handlers, or is a system
//! event, whose handlers the process configuration lists. Firing never waits: whether
//! anybody listens is decided by name before anything is built, and what is built goes
//! through one bounded queue to the control plane. What does not fit is counted and said.

mod bounds;
mod handlers;
mod message;
mod meta;
mod plugin;
mod refusal;
pub(crate) mod template;
mod webhook;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use coprocess_core::Spec;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tracing::debug;

use crate::config::EventHandlers;
use crate::outbound::{Outbound, Verification};
use crate::storage::Store;
use bounds::{Bounds, Reserved, UnderWay};
use message::Message;

pub use handlers::{HandlerReport, Handlers};
pub use meta::Meta;
pub use plugin::{Function, PluginHandler};
pub use refusal::tell_refusal;

use handlers::Listeners;
pub(crate) use handlers::{Maker, PluginMeta};

/// The names of the gateway's own events.
pub mod names {
    /// A caller was not let in.
    pub const AUTH_FAILURE: &str = "AuthFailure";
    /// A caller's key has expired or is switched off.
    pub const KEY_EXPIRED: &str = "KeyExpired";
    /// The admin API has made a key.
    pub const TOKEN_CREATED: &str = "TokenCreated";
    /// The admin API has changed a key.
    pub const TOKEN_UPDATED: &str = "TokenUpdated";
    /// The admin API has deleted a key.
    pub const TOKEN_DELETED: &str = "TokenDeleted";
    /// A hook failed, ran too long or cannot run (an addition).
    pub const HOOK_FAILURE: &str = "HookFailure";
    /// A caller, or all callers of an API together, made too many requests in too short a time.
    pub const RATE_LIMIT_EXCEEDED: &str = "RatelimitExceeded";
    /// A caller has used its quota.
    pub const QUOTA_EXCEEDED: &str = "QuotaExceeded";
    /// An organisation's APIs were asked too often in too short a time.
    pub const ORG_RATE_LIMIT_EXCEEDED: &str = "OrgRateLimitExceeded";
    /// An organisation has used its quota.
    pub const ORG_QUOTA_EXCEEDED: &str = "OrgQuotaExceeded";
    /// A request was for a version or a path that is not open.
    pub const VERSION_FAILURE: &str = "VersionFailure";
    /// A circuit breaker has opened.
    pub const BREAKER_TRIPPED: &str = "BreakerTripped";
    /// A circuit breaker has closed.
    pub const BREAKER_RESET: &str = "BreakerReset";
    /// An upstream has failed its uptime test too often.
    pub const HOST_DOWN: &str = "HostDown";
    /// An upstream passes its uptime test again.
    pub const HOST_UP: &str = "HostUp";
    /// A certificate ends soon.
    pub const CERTIFICATE_EXPIRING_SOON: &str = "CertificateExpiringSoon";
    /// A certificate has ended.
    pub const CERTIFICATE_EXPIRED: &str = "CertificateExpired";
    /// All that an API fires; what plugins fire are system events.
    pub(super) const OF_APIS: [&str; 14] = [
        AUTH_FAILURE,
        KEY_EXPIRED,
        HOOK_FAILURE,
        RATE_LIMIT_EXCEEDED,
        QUOTA_EXCEEDED,
        ORG_RATE_LIMIT_EXCEEDED,
        ORG_QUOTA_EXCEEDED,
        VERSION_FAILURE,
        BREAKER_TRIPPED,
        BREAKER_RESET,
        HOST_DOWN,
        HOST_UP,
        CERTIFICATE_EXPIRING_SOON,
        CERTIFICATE_EXPIRED,
    ];
}

/// Most events that wait for their handlers, and most bytes of them.
const WAITING: (usize, usize) = (1024, 16 << 20);

/// How often the end of the process looks whether all events have been handled.
const PACE: Duration = Duration::from_millis(10);

/// Where events go in; cheap to clone.
#[derive(Clone)]
pub struct Events(Arc<Shared>);

struct Shared {
    queue: UnboundedSender<Fired>,
    bounds: Bounds,
    /// The handlers of system events.
    system: OnceLock<Handlers>,
    tools: Tools,
}

/// What handlers work with.
pub(crate) struct Tools {
    store: Arc<dyn Store>,
    outbound: OnceLock<Result<Outbound, String>>,
    under_way: UnderWay,
}

/// An event on its way to its handlers.
struct Fired {
    message: Message,
    handlers: Listeners,
    _place: Reserved,
}

/// Hands events to their handlers.
pub struct Dispatcher(UnboundedReceiver<Fired>);

/// Makes both ends. The second value says how the handlers of system events fared; the
/// gateway starts without those that cannot be made.
pub fn start(
    config: &EventHandlers,
    store: Arc<dyn Store>,
) -> (Events, Vec<HandlerReport>, Dispatcher) {
    let (queue, fired) = mpsc::unbounded_channel();
    let under_way = UnderWay::default();
    let events = Events(Arc::new(Shared {
        queue,
        bounds: Bounds::new(WAITING, &under_way),
        system: OnceLock::new(),
        tools: Tools {
            store,
            outbound: OnceLock::new(),
            under_way,
        },
    }));
    let (handlers, reports) = events.maker(None).make(config, &mut |_| {
        Err("system events have no plugins".to_owned())
    });
    // Set here and nowhere else.
    let _ = events.0.system.set(handlers);
    (events, reports, Dispatcher(fired))
}

// === impl Events ===

impl Events {
    /// Makes handlers; of the API, if one is named.
    pub(crate) fn maker<'a>(&'a self, api: Option<&'a str>) -> Maker<'a> {
        Maker {
            tools: &self.0.tools,
            api,
        }
    }

    /// A handler that is a function of a plugin, for the API that `spec` describes.
    pub(crate) fn plugin_handler(&self, function: Function, spec: Arc<Spec>) -> PluginHandler {
        PluginHandler::new(function, spec, &self.0.tools.under_way)
    }

    /// Waits until all that was fired has been handled; gives up after `limit` and tells
    /// how much is lost.
    pub async fn finish(&self, limit: Duration) -> Result<(), usize> {
        let under_way = &self.0.tools.under_way;
        let finished = async {
            while under_way.count() > 0 {
                tokio::time::sleep(PACE).await;
            }
        };
        let outcome = tokio::time::timeout(limit, finished).await;
        outcome.map_err(|_| under_way.count())
    }

    /// Fires a system event with a message. A name without a handler ends here, in silence.
    pub fn fire_system(&self, name: &str, message: &str) {
        self.fire(name, || Meta::new(message));
    }

    /// Fires a system event.
    pub fn fire(&self, name: &str, meta: impl FnOnce() -> Meta) {
        self.fire_to(self.0.system.get(), name, meta);
    }

    /// Fires a system event about a key.
    pub fn fire_of_key(&self, name: &str, message: &str, org_id: &str, key: &str) {
        self.fire(name, || {
            Meta::new(message).with("Org", org_id).with("Key", key)
        });
    }

    fn fire_to(&self, handlers: Option<&Handlers>, name: &str, meta: impl FnOnce() -> Meta) {
        let Some(handlers) = handlers.and_then(|handlers| handlers.of(name)) else {
            debug!(event = name, "Event has no handler.");
            return;
        };
        let message = Message {
            name: name.to_owned(),
            meta: meta(),
            time: SystemTime::now(),
        };
        let Some(place) = self.0.bounds.reserve(message.size(), |dropped| {
            tracing::warn!(event = name, dropped, "Event queue is full, event dropped.");
        }) else {
            return;
        };
        // Nobody takes events any more when the process ends.
        let _ = self.0.queue.send(Fired {
            message,
            handlers,
            _place: place,
        });
    }
}

/// The events of one API.
pub struct ApiEvents {
    events: Events,
    handlers: Handlers,
}

impl ApiEvents {
    /// The events of an API that has these handlers.
    pub fn new(events: Events, handlers: Handlers) -> Self {
        Self { events, handlers }
    }

    /// Fires an event of this API. `meta` is asked for when somebody listens.
    pub fn fire(&self, name: &str, meta: impl FnOnce() -> Meta) {
        self.events.fire_to(Some(&self.handlers), name, meta);
    }

    /// Fires an event that is the operator's matter as much as the API's: the handlers of
    /// system events hear of it too.
    pub fn fire_everywhere(&self, name: &str, meta: impl Fn() -> Meta) {
        self.fire(name, &meta);
        self.events.fire_to(self.events.0.system.get(), name, meta);
    }
}

// === impl Tools ===

impl Tools {
    /// The client of web hooks, made when the first of them is.
    fn outbound(&self) -> Result<Outbound, String> {
        let made = || Outbound::new(Verification::Full).map_err(|error| error.to_string());
        self.outbound.get_or_init(made).clone()
    }
}

// === impl Dispatcher ===

impl Dispatcher {
    /// Runs until the last sender is gone.
    pub async fn run(mut self) {
        while let Some(fired) = self.0.recv().await {
            handlers::handle(&fired.handlers, fired.message);
        }
    }
}
