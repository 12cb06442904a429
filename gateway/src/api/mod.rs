//! The runtime model: an API as it serves requests, and the table of all of them.

mod authentication;
pub mod drivers;
mod event_handlers;
mod inquiry;
pub mod loader;
mod plugins;
mod reading;
pub mod reload;
pub mod report;
mod steps;
mod upstream_tls;
mod uptime_tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use coprocess_core::Spec;

use crate::bundle::InUse;
use crate::certificates::Material;
use crate::chain::{Chain, ResponseStep};
use crate::coprocess::HookStep;
use crate::events::{ApiEvents, HandlerReport};
use crate::policy::Policies;
use crate::router::Router;
use crate::session::lifetime::Lifetime;
use crate::tally::Tally;
use crate::upstream::target::Target;
use crate::uptime::Probe;
pub use inquiry::Inquiry;
pub use reading::definition_files;
pub use report::{DefinitionReport, Effect, Finding};
pub use upstream_tls::UpstreamTls;

/// One loaded API.
pub struct Api {
    /// Its identity.
    pub id: String,
    /// A name for people.
    pub name: String,
    /// The path prefix that it listens on.
    pub listen_path: String,
    /// Whether only other APIs reach it.
    pub internal: bool,
    /// Whether the listen path comes off before forwarding.
    pub strip_listen_path: bool,
    /// Whether the upstream sees the client's `Host`.
    pub preserve_host_header: bool,
    /// Where its requests go.
    pub target: Arc<Target>,
    /// What a request passes first.
    pub request_chain: Chain,
    /// What a response passes first.
    pub response_steps: Vec<Box<dyn ResponseStep>>,
    /// What a response passes then.
    pub response_hooks: Vec<HookStep>,
    /// What hooks are told about it.
    pub spec: Arc<Spec>,
    /// How its hooks fared when it was loaded.
    pub hooks: Vec<HookReport>,
    /// Where its events go.
    pub events: ApiEvents,
    /// How its event handlers fared when it was loaded.
    pub event_handlers: Vec<HandlerReport>,
    /// The bundle that its hooks are from; it stays on the disk as long as this is held.
    pub bundle: Option<InUse>,
    /// The policies of keys.
    pub policies: Arc<Policies>,
    /// How long its sessions are kept.
    pub lifetime: Lifetime,
    /// Its definition in the classic form, as it is written or was made.
    pub text: Arc<str>,
    /// The OpenAPI document that it was made from, as it is written.
    pub oas: Option<Arc<str>>,
    /// How TLS is set up for upstreams.
    pub tls: UpstreamTls,
    /// What clients are shown on its behalf.
    pub certificates: Vec<Arc<Material>>,
    /// Quotas go on when a key is made or changed.
    pub keeps_quotas: bool,
    /// What became of its requests, where that is counted.
    pub tally: Option<Arc<Tally>>,
    /// How callers ask how their limits stand, where it has callers.
    pub inquiry: Option<Inquiry>,
    /// Tests of its upstreams.
    pub uptime_tests: Vec<Arc<Probe>>,
    /// All certificates that its definition names and that can be read.
    pub named: Vec<Arc<Material>>,
    /// Clients are asked for certificates because of it.
    pub wants_certificates: bool,
    /// Why it refuses all requests, if it does.
    pub refused: Option<String>,
}

/// How one hook entry fared at load.
#[derive(Debug, Clone, serde::Serialize)]
pub struct HookReport {
    /// `pre`, `auth_check`, …
    pub hook: &'static str,
    /// Its place in the list, where there is one.
    #[serde(skip)]
    pub place: Option<usize>,
    /// The function.
    pub name: String,
    /// Its language.
    pub driver: String,
    /// Why it cannot run; absent when it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Api {
    /// An API for one call of one hook, which never gets to an upstream.
    pub fn without_hooks(spec: Spec, events: ApiEvents) -> Self {
        Self {
            id: spec.api_id.clone(),
            name: spec.api_id.clone(),
            listen_path: spec.listen_path.clone(),
            internal: false,
            strip_listen_path: false,
            preserve_host_header: false,
            target: Arc::new(Target::parse("http://localhost/").expect("this is a URL")),
            request_chain: Chain::default(),
            response_steps: Vec::new(),
            response_hooks: Vec::new(),
            spec: Arc::new(spec),
            hooks: Vec::new(),
            events,
            event_handlers: Vec::new(),
            bundle: None,
            policies: Arc::default(),
            lifetime: Lifetime::default(),
            text: "{}".into(),
            oas: None,
            tls: UpstreamTls::default(),
            certificates: Vec::new(),
            keeps_quotas: false,
            tally: None,
            inquiry: None,
            uptime_tests: Vec::new(),
            named: Vec::new(),
            wants_certificates: false,
            refused: None,
        }
    }

    /// Whether it serves as its definition says.
    pub fn is_healthy(&self) -> bool {
        self.refused.is_none() && self.hooks.iter().all(|hook| hook.problem.is_none())
    }
}

/// All loaded APIs. A request takes one snapshot of it, so a reload never changes a request
/// midway.
pub struct ApiTable {
    /// By path.
    pub router: Router<Api>,
    /// By identity.
    pub apis: BTreeMap<String, Arc<Api>>,
    /// Definitions that could not be loaded, one sentence each.
    pub problems: Vec<String>,
    /// Why the certificates for clients are not those of the files, if so.
    pub stale_certificates: Option<String>,
    /// All certificates that the configuration names and that can be read.
    pub certificates: Vec<Arc<Material>>,
    /// The policies of keys, which were read just before the APIs.
    pub policies: Arc<Policies>,
    /// What became of each file of a definition.
    pub definitions: Vec<DefinitionReport>,
}

impl ApiTable {
    /// A table without APIs.
    pub fn empty(strict_routes: bool) -> Self {
        Self {
            router: Router::new(strict_routes),
            apis: BTreeMap::new(),
            problems: Vec::new(),
            stale_certificates: None,
            certificates: Vec::new(),
            policies: Arc::default(),
            definitions: Vec::new(),
        }
    }

    /// Whether some definition or policy says what has no effect.
    pub fn has_keys_without_effect(&self) -> bool {
        let mut findings = self.definitions.iter().flat_map(|report| &report.findings);
        findings.any(|finding| finding.effect != Effect::Refuses)
            || !self.policies.unread.is_empty()
    }

    /// Whether all event handlers were made. An API serves without them.
    pub fn has_all_event_handlers(&self) -> bool {
        let mut reports = self.apis.values().flat_map(|api| &api.event_handlers);
        reports.all(|handler| handler.problem.is_none())
    }

    /// Whether some event handler is there and is never called.
    pub fn has_idle_event_handlers(&self) -> bool {
        let mut reports = self.apis.values().flat_map(|api| &api.event_handlers);
        reports.any(|handler| handler.note.is_some())
    }

    /// Whether everything that was asked for is served.
    pub fn is_healthy(&self) -> bool {
        let loaded = self.problems.is_empty() && self.policies.problems.is_empty();
        loaded && self.apis.values().all(|api| api.is_healthy())
    }

    /// What is served, but not as it should be; one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let stale = |api: &Arc<Api>| {
            let used = api.bundle.as_ref()?;
            let (id, bundle, reason) = (&api.id, &used.bundle.name, used.stale.as_ref()?);
            Some(format!(
                "API `{id}`: bundle `{bundle}`: its last good version serves: {reason}"
            ))
        };
        let certificates = self.stale_certificates.iter();
        let certificates =
            certificates.map(|reason| format!("certificates of before go on serving: {reason}"));
        self.apis
            .values()
            .filter_map(stale)
            .chain(certificates)
            .collect()
    }
}
