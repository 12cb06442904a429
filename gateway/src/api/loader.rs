//! From the files in `app_path` to a table of APIs.
//!
//! A definition that cannot be loaded is left out and said; the others are not touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use coprocess_core::{HookType, Spec};
use http::HeaderName;
use tracing::{error, info, warn};

pub use super::plugins::Drivers;
use super::plugins::HookResolver;
use super::{Api, ApiTable, HookReport, event_handlers};
use crate::bundle::{self, Bundle, Bundles, Found, InUse};
use crate::chain::Chain;
use crate::config::Config;
use crate::coprocess::{AuthStep, Broken, HookStep, IdExtractor};
use crate::definition::{ApiDefinition, HookEntry, unenforced};
use crate::events::Events;
use crate::json;
use crate::middleware::{AuthToken, Refuse, SessionState};
use crate::session::Sessions;
use crate::session::lifetime::Lifetime;
use crate::upstream::target::Target;

/// Loads tables of APIs.
pub struct Loader {
    /// The process configuration.
    pub config: Arc<Config>,
    /// The languages.
    pub drivers: Drivers,
    /// Where sessions are kept.
    pub sessions: Arc<Sessions>,
    /// Where events go.
    pub events: Events,
    /// The bundles, which outlive one load.
    pub bundles: Bundles,
}

/// A definition as it was read.
struct Read {
    definition: ApiDefinition,
    /// Protective keys that nothing enforces.
    protective: Vec<String>,
}

impl Loader {
    /// Reads every definition and all plugin code anew. Blocks on files and interpreters.
    /// A folder that cannot be read is an error: it is not the same as one without APIs.
    pub fn load(&self) -> Result<ApiTable, String> {
        let mut table = ApiTable::empty(self.config.http_server_options.enable_strict_routes);
        let mut resolver = HookResolver::new(&self.config, &self.drivers);
        let files = definition_files(&self.config.app_path).map_err(|error| {
            format!(
                "cannot read app_path {}: {error}",
                self.config.app_path.display()
            )
        })?;
        let read: Vec<_> = files.iter().map(|file| (file, read(file))).collect();
        let found = self.get_bundles(&read);
        for (file, read) in read {
            match read.and_then(|read| self.build(read, &found, &mut resolver)) {
                Ok(api) => {
                    if let Err(problem) = add(&mut table, api) {
                        table
                            .problems
                            .push(format!("{}: {problem}", file.display()));
                    }
                }
                Err(problem) => table.problems.push(problem),
            }
        }
        add_aliases(&mut table);
        for problem in &table.problems {
            error!(problem, "API is not loaded.");
        }
        Ok(table)
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

    fn build(
        &self,
        mut read: Read,
        found: &Found,
        resolver: &mut HookResolver<'_>,
    ) -> Result<Api, String> {
        let bundle = take_bundle(&mut read, found)?;
        let used = bundle.as_ref().map(|used| &*used.bundle);
        let definition = &read.definition;
        let target = Target::parse(&definition.proxy.target_url)
            .map_err(|error| format!("API `{}`: proxy.{error}", definition.api_id))?;
        let extractor = extractor(definition);
        let refused = refusal(&read).or_else(|| extractor.as_ref().err().cloned());
        if let Some(reason) = &refused {
            error!(api = definition.api_id, reason, "API refuses its requests.");
        }
        let mut steps = Steps {
            loader: self,
            definition,
            extractor: extractor.ok().flatten(),
            bundle: used,
            resolver,
            reports: Vec::new(),
        };
        let mut request_chain = steps.request_chain(refused.clone())?;
        let response_hooks =
            steps.hooks(&definition.custom_middleware.response, HookType::Response);
        for twin in response_hooks.iter().filter_map(HookStep::refusing_twin) {
            request_chain.push(twin);
        }
        let hooks = steps.reports;
        let spec = Arc::new(spec(definition));
        let (events, event_handlers) =
            event_handlers::make(definition, used, &spec, &self.events, resolver);
        Ok(Api {
            id: definition.api_id.clone(),
            name: definition.name.clone(),
            listen_path: definition.proxy.listen_path.clone(),
            strip_listen_path: definition.proxy.strip_listen_path,
            preserve_host_header: definition.proxy.preserve_host_header,
            target,
            request_chain,
            response_hooks,
            spec,
            hooks,
            events,
            event_handlers,
            bundle,
            refused,
            limits_told: AtomicBool::new(false),
        })
    }
}

/// Builds the steps of one API, in the one order that there is.
struct Steps<'a, 'b> {
    loader: &'a Loader,
    extractor: Option<Arc<IdExtractor>>,
    definition: &'a ApiDefinition,
    bundle: Option<&'a Bundle>,
    resolver: &'a mut HookResolver<'b>,
    reports: Vec<HookReport>,
}

impl Steps<'_, '_> {
    fn request_chain(&mut self, refused: Option<String>) -> Result<Chain, String> {
        let definition = self.definition;
        let middleware = &definition.custom_middleware;
        let mut chain = Chain::default();
        if let Some(reason) = refused {
            chain.push(Refuse { reason });
        }
        self.push_hooks(&mut chain, &middleware.pre, HookType::Pre);
        if !definition.use_keyless {
            self.push_authentication(&mut chain)?;
            self.push_hooks(&mut chain, &middleware.post_key_auth, HookType::PostKeyAuth);
            chain.push(SessionState);
        } else if !middleware.post_key_auth.is_empty() || !middleware.auth_check.name.is_empty() {
            warn!(
                api = definition.api_id,
                "API is keyless: its auth_check and post_key_auth hooks do not run."
            );
        }
        self.push_hooks(&mut chain, &middleware.post, HookType::Post);
        Ok(chain)
    }

    fn push_authentication(&mut self, chain: &mut Chain) -> Result<(), String> {
        let definition = self.definition;
        let entry = &definition.custom_middleware.auth_check;
        if asks_plugin(definition) {
            let mut hook = self.step(entry, HookType::CustomKeyCheck);
            if entry.name.is_empty() && hook.state.is_ok() {
                let reason = "plugin authentication is on but auth_check names no function";
                hook.state = Err(Broken::Code(reason.into()));
            }
            chain.push(self.plugin_authentication(hook));
            return Ok(());
        }
        if !entry.name.is_empty() {
            warn!(
                api = definition.api_id,
                "The auth_check hook does not run: custom_plugin_auth_enabled is off or the entry \
                 is disabled."
            );
        }
        let name = match definition.auth.auth_header_name.as_str() {
            "" => "authorization",
            name => name,
        };
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            format!(
                "API `{}`: auth.auth_header_name: `{name}` is no header",
                definition.api_id
            )
        })?;
        chain.push(AuthToken { header });
        Ok(())
    }

    fn plugin_authentication(&self, hook: HookStep) -> AuthStep {
        let (config, definition) = (&self.loader.config, self.definition);
        AuthStep {
            hook,
            extractor: self.extractor.clone(),
            sessions: Arc::clone(&self.loader.sessions),
            lifetime: Lifetime {
                forced: config.forced_session_lifetime(),
                of_api: definition.session_lifetime,
                respects_expiry: definition.session_lifetime_respects_key_expiration,
            },
            provides_identity: matches!(
                definition.base_identity_provided_by.as_str(),
                "" | "custom_auth"
            ),
        }
    }

    fn push_hooks(&mut self, chain: &mut Chain, entries: &[HookEntry], hook_type: HookType) {
        for step in self.hooks(entries, hook_type) {
            chain.push(step);
        }
    }

    fn hooks(&mut self, entries: &[HookEntry], hook_type: HookType) -> Vec<HookStep> {
        let enabled = entries.iter().filter(|entry| !entry.disabled);
        enabled.map(|entry| self.step(entry, hook_type)).collect()
    }

    fn step(&mut self, entry: &HookEntry, hook_type: HookType) -> HookStep {
        let (api, middleware) = (&self.definition.api_id, &self.definition.custom_middleware);
        let step = self
            .resolver
            .step(api, self.bundle, middleware, entry, hook_type);
        self.reports.push(HookReport {
            hook: hook_type.as_str(),
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

fn definition_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files: Vec<_> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.is_file() && name.ends_with(".json") && !name.ends_with("-oas.json")
    });
    // Which of two APIs gets a listen path must not depend on the file system's order.
    files.sort();
    Ok(files)
}

fn read(file: &Path) -> Result<Read, String> {
    let text = fs::read_to_string(file)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let parsed = json::parse::<ApiDefinition>(file, &text).map_err(|error| error.to_string())?;
    let found = unenforced::sort(&parsed.raw, &parsed.unread);
    for key in &found.ignored {
        let file = file.display();
        warn!(%file, key, "Key is unknown or not implemented, has no effect.");
    }
    if parsed.value.api_id.is_empty() {
        return Err(format!("{}: api_id is missing or empty", file.display()));
    }
    Ok(Read {
        definition: parsed.value,
        protective: found.protective,
    })
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
    let protective = manifest.protective.iter();
    let protective = protective.map(|key| format!("{key} (in the bundle's manifest.json)"));
    read.protective.extend(protective);
    Ok(Some(used))
}

/// Why an API must not serve although its definition can be read.
fn refusal(read: &Read) -> Option<String> {
    let definition = &read.definition;
    let mut keys = read.protective.clone();
    let versions = &definition.version_data.versions;
    if !definition.version_data.not_versioned && !versions.is_empty() {
        keys.push("version_data.not_versioned = false".into());
    }
    // The year that templates put in for never is far beyond this.
    let ends = |expires: &str| !matches!(expires, "" | "-1") && expires < "2900";
    if versions.values().any(|version| ends(&version.expires)) {
        keys.push("version_data.versions.*.expires".into());
    }
    (!keys.is_empty()).then(|| {
        format!(
            "its definition asks for what is not implemented: {}",
            keys.join(", ")
        )
    })
}

/// Whether a plugin authenticates, on an API that authenticates at all.
fn asks_plugin(definition: &ApiDefinition) -> bool {
    let by_plugin = definition.custom_plugin_auth_enabled || definition.enable_coprocess_auth;
    by_plugin && !definition.custom_middleware.auth_check.disabled
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
    for (id, api) in &table.apis {
        if let Ok(false) = table.router.insert(&format!("/{id}/"), Arc::clone(api)) {
            warn!(
                api = id,
                "API is not reachable under its id: another one listens there."
            );
        }
    }
}
