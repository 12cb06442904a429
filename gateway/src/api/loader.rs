//! From the files in `app_path` to a table of APIs.
//!
//! A definition that cannot be loaded is left out and said; the others are not touched.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use coprocess_core::Spec;
use tracing::{error, info, warn};

use super::drivers::Drivers;
use super::plugins::HookResolver;
use super::reading::{Read, definition_files, read, read_text};
use super::steps::{Steps, asks_plugin};
use super::upstream_tls::{UpstreamTls, may_go_elsewhere};
use super::{Api, ApiTable, DefinitionReport, Effect, Finding, event_handlers, uptime_tests};
use crate::bundle::{self, Bundles, Found, InUse};
use crate::cache::Responses;
use crate::certificates::{Certificates, Material, Sources};
use crate::config::{Config, EventHandlers};
use crate::coprocess::IdExtractor;
use crate::definition::{ApiDefinition, CustomMiddleware};
use crate::events::Events;
use crate::jwt::jwks::Jwks;
use crate::limits::Limits;
use crate::policy::{self, Policies};
use crate::router::Router;
use crate::session::Sessions;
use crate::session::lifetime::Lifetime;
use crate::tally::Tallies;
use crate::tls::server::Termination;
use crate::traffic::Loop;
use crate::upstream::target::{Target, TargetError};
use crate::uptime::Uptime;

/// Loads tables of APIs.
pub struct Loader {
    /// The process configuration.
    pub config: Arc<Config>,
    /// The languages.
    pub drivers: Arc<Drivers>,
    /// Where sessions are kept.
    pub sessions: Arc<Sessions>,
    /// Where requests are counted.
    pub limits: Arc<Limits>,
    /// Where events go.
    pub events: Events,
    /// Where responses are kept.
    pub responses: Responses,
    /// The bundles, which outlive one load.
    pub bundles: Bundles,
    /// The certificate store.
    pub certificates: Arc<Certificates>,
    /// TLS with clients, whose certificates are read with the definitions.
    pub termination: Option<Arc<Termination>>,
    /// What became of requests, where that is counted.
    pub tallies: Arc<Tallies>,
    /// The tests of upstreams, which outlive one load.
    pub uptime: Arc<Uptime>,
    /// The key sets of tokens, which outlive one load.
    pub jwks: Arc<Jwks>,
}

impl Loader {
    /// Reads every definition and all plugin code anew. Blocks on files and interpreters.
    /// A folder that cannot be read is an error: it is not the same as one without APIs.
    pub fn load(&self) -> Result<ApiTable, String> {
        self.load_with(policy::load(&self.config.policies)?)
    }

    /// The same at start, where nothing was loaded before that could go on: without policies
    /// the keys that name some are refused, and everybody else is served.
    pub fn load_first(&self) -> Result<ApiTable, String> {
        let policies = policy::load(&self.config.policies);
        self.load_with(policies.unwrap_or_else(Policies::missing))
    }

    fn load_with(&self, policies: Policies) -> Result<ApiTable, String> {
        let policies = Arc::new(policies);
        for problem in &policies.problems {
            error!(problem, "Policy is not loaded.");
        }
        let mut table = ApiTable {
            policies: Arc::clone(&policies),
            ..ApiTable::empty(self.config.http_server_options.enable_strict_routes)
        };
        let mut resolver = HookResolver::new(&self.config, &self.drivers);
        let files = definition_files(&self.config.app_path).map_err(|error| {
            format!(
                "cannot read app_path {}: {error}",
                self.config.app_path.display()
            )
        })?;
        let sources = Arc::new(Sources::new(&self.certificates));
        let read: Vec<_> = files.iter().map(|file| (file, read(file))).collect();
        let found = self.get_bundles(&read);
        for (file, read) in read {
            let mut report = DefinitionReport::new(file, read.as_ref().ok(), &policies);
            let added = read
                .and_then(|read| self.build(read, &found, &policies, &mut resolver, &sources))
                .and_then(|api| {
                    add(&mut table, api).map_err(|problem| format!("{}: {problem}", file.display()))
                });
            if let Err(problem) = added {
                report.problem = Some(problem.clone());
                table.problems.push(problem);
            }
            table.definitions.push(report);
        }
        add_aliases(&mut table);
        table.certificates = self.certificates_of_configuration(&sources);
        self.load_certificates(&mut table, &sources);
        for problem in &table.problems {
            error!(problem, "API is not loaded.");
        }
        Ok(table)
    }

    /// Reads the certificates for clients anew.
    fn load_certificates(&self, table: &mut ApiTable, sources: &Sources) {
        let Some(termination) = &self.termination else {
            return;
        };
        let of_apis = table.apis.values().flat_map(|api| &api.certificates);
        if let Err(error) = termination.load(sources, of_apis) {
            error!(%error, "Certificates are not read anew, those of before go on serving.");
            table.stale_certificates = Some(error.to_string());
        }
        termination.ask_clients(table.apis.values().any(|api| api.wants_certificates));
    }

    /// Whether a definition can be loaded, by the same rules as a file; its id, and what will
    /// not be as it asks for. Code of plugins is not looked at.
    pub fn check(&self, file: &Path, text: &str) -> Result<(String, Vec<String>), String> {
        let mut read = read_text(file, text)?;
        let id = read.definition.api_id.clone();
        let mut warnings: Vec<_> = read.found(Effect::Ignored).map(no_effect).collect();
        let listen_path = &read.definition.proxy.listen_path;
        Router::<Api>::new(self.config.http_server_options.enable_strict_routes)
            .is_free(listen_path)
            .map_err(|error| format!("API `{id}`: proxy.{error}"))?;
        read.definition.custom_middleware_bundle_disabled = true;
        read.definition.event_handlers = EventHandlers::default();
        let hooks = &mut read.definition.custom_middleware;
        *hooks = CustomMiddleware {
            driver: hooks.driver.clone(),
            id_extractor: hooks.id_extractor.clone(),
            ..CustomMiddleware::default()
        };
        let mut resolver = HookResolver::new(&self.config, &self.drivers);
        let policies = Arc::default();
        let sources = Arc::new(Sources::new(&self.certificates));
        let api = self.build(read, &Found::new(), &policies, &mut resolver, &sources)?;
        warnings.extend(
            api.refused
                .map(|reason| format!("the API will refuse all requests: {reason}")),
        );
        Ok((id, warnings))
    }

    /// Gets the bundles that definitions name. Those that none names are forgotten, unless
    /// a definition cannot be read: it may be one that does.
    fn get_bundles(&self, read: &[(&PathBuf, Result<Read, String>)]) -> Found {
        let definitions = read.iter().filter_map(|(_, read)| read.as_ref().ok());
        let names = definitions.filter_map(|read| read.definition.bundle());
        let found = self.bundles.refresh(names.map(str::to_owned).collect());
        if read.iter().all(|(_, read)| read.is_ok()) {
            self.bundles.retain(&found);
        }
        found
    }

    /// The API's upstream, and how TLS is set up for it and for others.
    fn upstream(
        &self,
        definition: &ApiDefinition,
        sources: &Arc<Sources>,
    ) -> Result<(Target, UpstreamTls), String> {
        let id = &definition.api_id;
        let mut target =
            target(definition).map_err(|error| format!("API `{id}`: proxy.{error}"))?;
        let tls = UpstreamTls::new(definition, &self.config, sources);
        let checked = tls.secure(&mut target).and_then(|()| {
            if may_go_elsewhere(definition) {
                tls.check()?;
            }
            Ok(())
        });
        checked.map_err(|error| format!("API `{id}`: TLS to its upstream: {error}"))?;
        Ok((target, tls))
    }

    /// What the configuration names: the files of two parts too.
    fn certificates_of_configuration(&self, sources: &Sources) -> Vec<Arc<Material>> {
        let mut found = sources.readable(self.config.certificate_names());
        if self.termination.is_some() {
            let pairs = self.config.http_server_options.certificates.iter();
            let pairs = pairs.map(|pair| Material::of_files(&pair.cert_file, &pair.key_file));
            found.extend(pairs.filter_map(Result::ok).map(Arc::new));
        }
        found
    }

    /// What clients are shown on behalf of an API.
    fn certificates_of(
        &self,
        definition: &ApiDefinition,
        sources: &Sources,
    ) -> Result<Vec<Arc<Material>>, String> {
        let id = &definition.api_id;
        if !definition.certificates.is_empty() && self.termination.is_none() {
            warn!(api = id, "certificates have no effect: use_ssl is off.");
        }
        let wrong = |error| format!("API `{id}`: certificates: {error}");
        let mut found = Vec::new();
        for name in &definition.certificates {
            if let Some(material) = sources.get(name).map_err(wrong)? {
                material.certified().map_err(wrong)?;
                found.push(material);
            }
        }
        Ok(found)
    }

    fn build(
        &self,
        mut read: Read,
        found: &Found,
        policies: &Arc<Policies>,
        resolver: &mut HookResolver<'_>,
        sources: &Arc<Sources>,
    ) -> Result<Api, String> {
        let bundle = take_bundle(&mut read, found)?;
        let used = bundle.as_ref().map(|used| &*used.bundle);
        let definition = &read.definition;
        let (target, tls) = self.upstream(definition, sources)?;
        let certificates = self.certificates_of(definition, sources)?;
        let extractor = extractor(definition);
        let refused = refused(&read, extractor.as_ref().err());
        let steps = Steps {
            loader: self,
            definition,
            sources,
            extractor: extractor.ok().flatten(),
            bundle: used,
            resolver,
            reports: Vec::new(),
            asked: Vec::new(),
        };
        let made = steps.make(refused.clone())?;
        let spec = Arc::new(spec(definition));
        let (events, event_handlers) =
            event_handlers::make(definition, used, &spec, &self.events, resolver);
        Ok(Api {
            id: definition.api_id.clone(),
            name: definition.name.clone(),
            listen_path: definition.proxy.listen_path.clone(),
            internal: definition.internal,
            strip_listen_path: definition.proxy.strip_listen_path,
            preserve_host_header: definition.proxy.preserve_host_header,
            target: Arc::new(target),
            request_chain: made.request_chain,
            response_steps: made.response_steps,
            response_hooks: made.response_hooks,
            spec,
            hooks: made.hooks,
            events,
            event_handlers,
            bundle,
            policies: Arc::clone(policies),
            lifetime: lifetime(&self.config, definition),
            text: Arc::clone(&read.text),
            keeps_quotas: definition.dont_set_quota_on_create,
            tally: self.tallies.of(&definition.api_id),
            inquiry: made.inquiry,
            uptime_tests: uptime_tests::make(definition, &tls)?,
            oas: read.oas.as_ref().map(|oas| Arc::clone(&oas.text)),
            tls,
            certificates,
            named: sources.readable(definition.certificate_names()),
            wants_certificates: definition.wants_certificates(),
            refused,
        })
    }
}

/// The upstream. Where another API takes over, or one of a list is chosen, it is one that is
/// never asked.
fn target(definition: &ApiDefinition) -> Result<Target, TargetError> {
    let proxy = &definition.proxy;
    match (proxy.target_url.as_str(), proxy.target_list.first()) {
        (url, _) if Loop::parse(url).is_some() => Target::parse("http://localhost:0/"),
        ("", Some(first)) if proxy.enable_load_balancing => Target::parse(first),
        (url, _) => Target::parse(url),
    }
}

fn no_effect(found: &Finding) -> String {
    match found.message.as_str() {
        "" => format!("{}: unknown or not implemented, has no effect", found.path),
        reason => format!("{}: has no effect: {reason}", found.path),
    }
}

/// The bundle of an API, whose hooks take the place of the definition's own.
fn take_bundle(read: &mut Read, found: &Found) -> Result<Option<InUse>, String> {
    let definition = &mut read.definition;
    let Some(name) = definition.bundle() else {
        return Ok(None);
    };
    let used = match &found[name] {
        Ok(used) => used.clone(),
        Err(error) => return Err(format!("API `{}`: {error}", definition.api_id)),
    };
    let manifest = &used.bundle.manifest;
    let own = std::mem::take(&mut definition.custom_middleware);
    definition.custom_middleware = manifest.custom_middleware.clone();
    // Whose threads wait for a hook is for who runs the gateway to say.
    if own.dispatch.is_some() {
        definition.custom_middleware.dispatch = own.dispatch;
    }
    // So it is where their servers are.
    if !own.driver_options.is_empty() {
        definition.custom_middleware.driver_options = own.driver_options;
    }
    let protective = manifest.protective.iter().map(|key| Finding {
        path: key.clone(),
        effect: Effect::Refuses,
        message: "in the bundle's manifest.json".into(),
    });
    read.findings.extend(protective);
    Ok(Some(used))
}

/// Why an API must not serve although its definition can be read.
fn refused(read: &Read, mistake: Option<&String>) -> Option<String> {
    let keys = read.found(Effect::Refuses).map(ToString::to_string);
    let keys: Vec<_> = keys.collect();
    let missing = (!keys.is_empty()).then(|| {
        format!(
            "its definition asks for what is not implemented: {}",
            keys.join(", ")
        )
    });
    let reason = missing.or_else(|| mistake.cloned())?;
    let api = &read.definition.api_id;
    error!(api, reason, "API refuses its requests.");
    Some(reason)
}

/// The API's ID extractor, or why its settings cannot work. Without a plugin to be spared
/// there is nothing to extract.
fn extractor(definition: &ApiDefinition) -> Result<Option<Arc<IdExtractor>>, String> {
    let extractor = IdExtractor::new(&definition.custom_middleware.id_extractor);
    if definition.use_keyless || !asks_plugin(definition) {
        if !matches!(extractor, Ok(None)) {
            warn!(
                api = definition.api_id,
                "The id_extractor has no effect: no auth_check hook runs."
            );
        }
        return Ok(None);
    }
    match extractor {
        Ok(extractor) => Ok(extractor.map(Arc::new)),
        Err(mistake) => Err(mistake.to_string()),
    }
}

/// How long the API's sessions are kept.
pub(super) fn lifetime(config: &Config, definition: &ApiDefinition) -> Lifetime {
    Lifetime {
        forced: config.forced_session_lifetime(),
        of_api: definition.session_lifetime,
        respects_expiry: definition.session_lifetime_respects_key_expiration,
    }
}

fn spec(definition: &ApiDefinition) -> Spec {
    let shown = !definition.config_data.is_empty() && !definition.config_data_disabled;
    Spec {
        org_id: definition.org_id.clone(),
        api_id: definition.api_id.clone(),
        bundle_hash: bundle::hash_of_name(&definition.custom_middleware_bundle),
        config_data: shown.then(|| {
            serde_json::to_string(&definition.config_data).expect("what was JSON is JSON")
        }),
        listen_path: definition.proxy.listen_path.clone(),
    }
}

/// Puts an API where requests find it. A listen path that is taken gets the API's id behind
/// it, so that both can be reached.
fn add(table: &mut ApiTable, mut api: Api) -> Result<(), String> {
    if table.apis.contains_key(&api.id) {
        return Err(format!("api_id `{}` is used by another definition", api.id));
    }
    if api.internal {
        info!(
            api = api.id,
            name = api.name,
            "API loaded, for other APIs only."
        );
        table.apis.insert(api.id.clone(), Arc::new(api));
        return Ok(());
    }
    let wrong = |error| format!("proxy.{error}");
    if !table.router.is_free(&api.listen_path).map_err(wrong)? {
        let moved = format!("{}-{}", api.listen_path, api.id);
        warn!(
            api = api.id,
            listen_path = api.listen_path,
            moved,
            "Listen path is taken, API is moved."
        );
        let spec = Arc::make_mut(&mut api.spec);
        spec.listen_path.clone_from(&moved);
        api.listen_path = moved;
    }
    let api = Arc::new(api);
    if !table
        .router
        .insert(&api.listen_path, Arc::clone(&api))
        .map_err(wrong)?
    {
        return Err(format!("listen path `{}` is taken", api.listen_path));
    }
    info!(
        api = api.id,
        name = api.name,
        listen_path = api.listen_path,
        "API loaded."
    );
    table.apis.insert(api.id.clone(), api);
    Ok(())
}

/// Every API is also there under its id, behind all listen paths: an API that listens on
/// such a path itself has it.
fn add_aliases(table: &mut ApiTable) {
    for (id, api) in table.apis.iter().filter(|(_, api)| !api.internal) {
        if let Ok(false) = table.router.insert(&format!("/{id}/"), Arc::clone(api)) {
            warn!(
                api = id,
                "API is not reachable under its id: another one listens there."
            );
        }
    }
}
