//! The steps of one API.

use std::sync::Arc;

use coprocess_core::HookType;
use tracing::warn;

use super::loader::Loader;
use super::plugins::HookResolver;
use super::{HookReport, Inquiry};
use crate::bundle::Bundle;
use crate::certificates::Sources;
use crate::chain::{Chain, ResponseStep};
use crate::coprocess::{HookStep, IdExtractor};
use crate::definition::{ApiDefinition, HookEntry, auth};
use crate::limits::window::Rate;
use crate::middleware::{
    AccessRights, Balance, Bodies, Breakers, Cors, HandOver, Headers, IpLists, KeyLimits, Methods,
    MockResponses, Organisation, PathRates, PlainResponses, Refuse, ResponseCache, Rewrite,
    Schemas, SessionState, SizeLimits, StripAuth, TimeLimits, UnlessIgnored, Version, WholeApi,
    ignores_paths,
};
use crate::traffic::addresses::Addresses;
use crate::traffic::paths::Meaning;

/// Builds the steps of one API, in the one order that there is.
pub(super) struct Steps<'a, 'b> {
    pub(super) loader: &'a Loader,
    pub(super) extractor: Option<Arc<IdExtractor>>,
    pub(super) definition: &'a ApiDefinition,
    pub(super) sources: &'a Sources,
    pub(super) bundle: Option<&'a Bundle>,
    pub(super) resolver: &'a mut HookResolver<'b>,
    pub(super) reports: Vec<HookReport>,
    /// The numbers of the steps that a caller passes who asks how its limits stand.
    pub(super) asked: Vec<usize>,
}

/// What became of them.
pub(super) struct Made {
    pub(super) request_chain: Chain,
    pub(super) inquiry: Option<Inquiry>,
    pub(super) response_steps: Vec<Box<dyn ResponseStep>>,
    pub(super) response_hooks: Vec<HookStep>,
    pub(super) hooks: Vec<HookReport>,
}

impl Steps<'_, '_> {
    /// The steps, and how the hooks among them fared.
    pub(super) fn make(mut self, refused: Option<String>) -> Result<Made, String> {
        let mut request_chain = self.request_chain(refused)?;
        let response_hooks = self.hooks(
            &self.definition.custom_middleware.response,
            HookType::Response,
        );
        for twin in response_hooks.iter().filter_map(HookStep::refusing_twin) {
            request_chain.push(twin);
        }
        Ok(Made {
            inquiry: self.inquiry()?,
            request_chain,
            response_steps: self.response_steps()?,
            response_hooks,
            hooks: self.reports,
        })
    }

    /// The order of the chain. Each group is a function of its own; within a group the order
    /// is that of the function.
    fn request_chain(&mut self, refused: Option<String>) -> Result<Chain, String> {
        let definition = self.definition;
        let middleware = &definition.custom_middleware;
        let mut chain = Chain::default();
        if let Some(reason) = refused {
            chain.push(Refuse { reason });
            self.asked.push(0);
        }
        self.push_version_and_cors(&mut chain)?;
        self.push_hooks(&mut chain, &middleware.pre, HookType::Pre);
        self.push_guards(&mut chain)?;
        if !definition.use_keyless {
            let first = chain.len();
            self.push_authentication(&mut chain)?;
            self.let_ignored_paths_pass(&mut chain, first);
            self.asked.extend(first..chain.len());
            self.push_hooks(&mut chain, &middleware.post_key_auth, HookType::PostKeyAuth);
            let first = chain.len();
            self.push_session_checks(&mut chain)?;
            self.let_ignored_paths_pass(&mut chain, first);
        } else if !middleware.post_key_auth.is_empty() || !middleware.auth_check.name.is_empty() {
            warn!(
                api = definition.api_id,
                "API is keyless: its auth_check and post_key_auth hooks do not run."
            );
        }
        self.push_limits(&mut chain)?;
        self.push_transforms(&mut chain)?;
        self.push_answers(&mut chain)?;
        self.push_hooks(&mut chain, &middleware.post, HookType::Post);
        self.push_upstreams(&mut chain)?;
        Ok(chain)
    }

    /// What a response passes before its hooks, in this order.
    fn response_steps(&self) -> Result<Vec<Box<dyn ResponseStep>>, String> {
        let mut steps: Vec<Box<dyn ResponseStep>> = Vec::new();
        if let Some(step) = self.response_bodies()? {
            steps.push(Box::new(step));
        }
        if let Some(step) = Headers::of_responses(self.definition, self.meaning())? {
            steps.push(Box::new(step));
        }
        Ok(steps)
    }

    fn response_bodies(&self) -> Result<Option<Arc<Bodies>>, String> {
        let limit = self.loader.config.coprocess_options.max_body_bytes;
        let (definition, meaning) = (self.definition, self.meaning());
        let bodies = Bodies::new(
            definition,
            meaning,
            limit,
            "transform_response",
            |version| &version.extended().transform_response,
        );
        Ok(bodies?.map(Arc::new))
    }

    /// Requests for paths that are not authenticated pass the steps from this one on.
    fn let_ignored_paths_pass(&self, chain: &mut Chain, first: usize) {
        if ignores_paths(self.definition) {
            chain.wrap(first, UnlessIgnored);
        }
    }

    /// Version, lists of paths, CORS.
    fn push_version_and_cors(&mut self, chain: &mut Chain) -> Result<(), String> {
        let first = chain.len();
        chain.push_some(Version::new(self.definition, self.meaning())?);
        self.asked.extend(first..chain.len());
        if self.definition.cors.enable {
            let api = &self.definition.api_id;
            let step = Cors::new(&self.definition.cors);
            chain.push(step.map_err(|wrong| format!("API `{api}`: {wrong}"))?);
        }
        Ok(())
    }

    /// How the definition's patterns of paths are meant.
    fn meaning(&self) -> Meaning {
        Meaning::new(&self.loader.config)
    }

    /// Addresses, client certificates, organisation, size, context variables.
    fn push_guards(&mut self, chain: &mut Chain) -> Result<(), String> {
        let proxies = &self.loader.config.http_server_options.trusted_proxies;
        let proxies = Arc::new(Addresses::parse(proxies)?);
        let first = chain.len();
        chain.push_some(IpLists::new(self.definition, &proxies)?);
        self.push_client_certificate(chain)?;
        chain.push_some(self.organisation());
        self.asked.extend(first..chain.len());
        chain.push_some(SizeLimits::new(self.definition, self.meaning())?);
        Ok(())
    }

    /// The organisation that the API belongs to, where it is held to something.
    fn organisation(&self) -> Option<Organisation> {
        let (config, id) = (&self.loader.config, &self.definition.org_id);
        let is_held = config.enforce_org_quotas && !id.is_empty();
        is_held.then(|| {
            let limits = &self.loader.limits;
            let fresh_for = config.sessions().fresh_for;
            Organisation::new(id, limits.store(), Arc::clone(limits), fresh_for)
        })
    }

    /// Stripping of credentials, expiry and rights of the key.
    fn push_session_checks(&mut self, chain: &mut Chain) -> Result<(), String> {
        self.push_strip_auth(chain)?;
        chain.push(SessionState);
        chain.push(self.access_rights(true));
        Ok(())
    }

    fn access_rights(&self, paths_count: bool) -> AccessRights {
        let versions = &self.definition.version_data;
        let names = versions.used().into_iter();
        AccessRights {
            versions: match versions.is_versioned() {
                true => names.map(|(name, _)| name.to_owned()).collect(),
                false => Vec::new(),
            },
            paths_count,
        }
    }

    /// How callers ask how their limits stand; keyless APIs have none.
    fn inquiry(&mut self) -> Result<Option<Inquiry>, String> {
        if self.definition.use_keyless {
            return Ok(None);
        }
        let mut last = Chain::default();
        last.push(SessionState);
        last.push(self.access_rights(false));
        Ok(Some(Inquiry {
            first: std::mem::take(&mut self.asked),
            last,
            limits: self.key_limits()?,
        }))
    }

    /// Rate and quota of the key and the rate of the whole API, which are counted together.
    /// Requests for paths that are not authenticated have the last one only.
    fn push_limits(&mut self, chain: &mut Chain) -> Result<(), String> {
        let definition = self.definition;
        if !definition.use_keyless {
            chain.push(self.key_limits()?);
            return Ok(());
        }
        let limits = self.limits()?;
        if limits.api.is_some() || limits.paths.is_some() {
            chain.push(limits);
        }
        Ok(())
    }

    /// The limits of keys, and that of the API.
    fn key_limits(&self) -> Result<KeyLimits, String> {
        let definition = self.definition;
        Ok(KeyLimits {
            has_rates: !definition.disable_rate_limit,
            has_quotas: !definition.disable_quota,
            ..self.limits()?
        })
    }

    /// The limit of the API, without those of keys.
    fn limits(&self) -> Result<KeyLimits, String> {
        let definition = self.definition;
        let limit = &definition.global_rate_limit;
        if let Some(problem) = limit.problem() {
            return Err(format!("API `{}`: {problem}", definition.api_id));
        }
        let is_on = !limit.disabled && !definition.disable_rate_limit;
        let rate = Rate::new(limit.rate, limit.per).filter(|_| is_on);
        let hooks = &definition.custom_middleware;
        Ok(KeyLimits {
            limits: Arc::clone(&self.loader.limits),
            headers: self.loader.config.rate_limit_response_headers,
            has_rates: false,
            has_quotas: false,
            api: rate.map(|rate| WholeApi {
                name: format!("{}-{}", definition.org_id, definition.api_id),
                rate,
            }),
            paths: PathRates::new(definition, self.meaning())?,
            meaning: self.meaning(),
            is_shown: !hooks.post.is_empty() || !hooks.response.is_empty(),
        })
    }

    /// Validation and transforms of body and headers, URL rewrite, method.
    fn push_transforms(&mut self, chain: &mut Chain) -> Result<(), String> {
        let (definition, meaning) = (self.definition, self.meaning());
        let limit = self.loader.config.coprocess_options.max_body_bytes;
        chain.push_some(Schemas::new(definition, meaning, limit)?);
        let bodies = Bodies::new(definition, meaning, limit, "transform", |version| {
            &version.extended().transform
        });
        chain.push_some(bodies?);
        chain.push_some(Headers::of_requests(definition, meaning)?);
        chain.push_some(TimeLimits::new(definition, meaning)?);
        chain.push_some(Rewrite::new(definition, meaning, &self.loader.config)?);
        chain.push_some(Methods::new(definition, meaning)?);
        chain.push_some(
            self.response_bodies()?
                .map(|bodies| PlainResponses::new(&bodies)),
        );
        Ok(())
    }

    /// What answers in the upstream's place: mock responses, the cache.
    fn push_answers(&mut self, chain: &mut Chain) -> Result<(), String> {
        let limit = self.loader.config.coprocess_options.max_body_bytes;
        chain.push_some(MockResponses::new(self.definition, self.meaning())?);
        let responses = &self.loader.responses;
        let cache = ResponseCache::new(self.definition, self.meaning(), responses, limit);
        chain.push_some(cache?);
        Ok(())
    }

    /// Which upstream is asked, and whether it is asked at all.
    fn push_upstreams(&mut self, chain: &mut Chain) -> Result<(), String> {
        let definition = self.definition;
        chain.push_some(Breakers::new(definition, self.meaning())?);
        if let Some(step) = HandOver::new(&definition.proxy.target_url) {
            let api = &definition.api_id;
            let wrong = |wrong| format!("API `{api}`: proxy.target_url: {wrong}");
            chain.push(step.map_err(wrong)?);
        } else {
            chain.push_some(Balance::new(definition, &self.loader.uptime)?);
        }
        Ok(())
    }

    fn push_strip_auth(&self, chain: &mut Chain) -> Result<(), String> {
        let definition = self.definition;
        if !definition.strip_auth_data {
            return Ok(());
        }
        let mut places = vec![self.credential(auth::TOKEN)?];
        for mechanism in definition.auth_configs.keys() {
            let place = self.credential(mechanism)?;
            if !places.contains(&place) {
                places.push(place);
            }
        }
        chain.push(StripAuth { places });
        Ok(())
    }

    fn push_hooks(&mut self, chain: &mut Chain, entries: &[HookEntry], hook_type: HookType) {
        for step in self.hooks(entries, hook_type) {
            chain.push(step);
        }
    }

    fn hooks(&mut self, entries: &[HookEntry], hook_type: HookType) -> Vec<HookStep> {
        let entries = entries.iter().enumerate();
        let enabled = entries.filter(|(_, entry)| !entry.disabled);
        enabled
            .map(|(place, entry)| {
                let step = self.step(entry, hook_type);
                if let Some(report) = self.reports.last_mut() {
                    report.place = Some(place);
                }
                step
            })
            .collect()
    }

    pub(super) fn step(&mut self, entry: &HookEntry, hook_type: HookType) -> HookStep {
        let (api, middleware) = (&self.definition.api_id, &self.definition.custom_middleware);
        let step = self
            .resolver
            .step(api, self.bundle, middleware, entry, hook_type);
        self.reports.push(HookReport {
            hook: hook_type.as_str(),
            place: None,
            name: entry.name.clone(),
            driver: step.driver.to_string(),
            problem: step
                .state
                .as_ref()
                .err()
                .map(|broken| broken.reason().to_owned()),
        });
        step
    }
}

/// Whether a plugin authenticates, on an API that authenticates at all.
pub(super) fn asks_plugin(definition: &ApiDefinition) -> bool {
    let by_plugin = definition.custom_plugin_auth_enabled || definition.enable_coprocess_auth;
    by_plugin && !definition.custom_middleware.auth_check.disabled
}
