//! What `gateway check` finds: configuration, definitions, policies and plugins, and how much
//! of each definition this gateway does. `docs/check.md` describes the form for machines.

mod show;

use std::path::Path;

use serde::Serialize;

use crate::api::{Api, ApiTable, DefinitionReport, Effect, Finding};
use crate::definition::oas;
use crate::events::HandlerReport;
use crate::policy::Policies;

/// The form of the report. It grows with keys; it changes when one goes or means another thing.
const FORM: u32 = 1;

/// Everything that a check has found.
#[derive(Debug, Serialize)]
pub struct Report {
    form: u32,
    ok: bool,
    strict: bool,
    configuration: Configuration,
    definitions: Vec<Definition>,
    policies: PoliciesFound,
    /// What is of no file.
    errors: Vec<String>,
    warnings: Vec<String>,
    summary: Summary,
}

#[derive(Debug, Default, Serialize)]
struct Configuration {
    /// Absent when the defaults are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    errors: Vec<String>,
    warnings: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
struct PoliciesFound {
    loaded: usize,
    errors: Vec<String>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Definition {
    file: String,
    format: Format,
    api_id: String,
    support: Support,
    fields: Score,
    findings: Vec<Finding>,
    /// What keeps the API from serving and is of no single field.
    errors: Vec<String>,
    /// What is not as it should be and is of no single field.
    warnings: Vec<String>,
}

/// How a definition is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    Classic,
    Oas,
}

#[derive(Debug, Serialize)]
struct Score {
    set: usize,
    honoured: usize,
    percent: usize,
}

/// How much of a definition this gateway does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Support {
    /// All of it.
    Full,
    /// It serves, without some of it.
    Partial,
    /// It does not serve.
    None,
}

#[derive(Debug, Default, Serialize)]
struct Summary {
    definitions: usize,
    full: usize,
    partial: usize,
    none: usize,
    errors: usize,
    warnings: usize,
}

impl Report {
    /// A report on a configuration, of which nothing else is known yet.
    pub fn new(file: Option<&Path>, strict: bool) -> Self {
        Self {
            form: FORM,
            ok: false,
            strict,
            configuration: Configuration {
                file: file.map(|file| file.display().to_string()),
                ..Configuration::default()
            },
            definitions: Vec::new(),
            policies: PoliciesFound::default(),
            errors: Vec::new(),
            warnings: Vec::new(),
            summary: Summary::default(),
        }
    }

    /// Adds what the configuration says and has no effect.
    pub fn warn_of_configuration(&mut self, warnings: Vec<String>) {
        self.configuration.warnings = warnings;
    }

    /// Adds why the configuration cannot be used.
    pub fn refuse_configuration(&mut self, error: &dyn std::error::Error) {
        self.configuration.errors.push(error.to_string());
    }

    /// Adds why nothing could be loaded.
    pub fn fail(&mut self, error: &dyn std::error::Error) {
        self.errors.push(error.to_string());
    }

    /// Adds what was loaded, and how handlers of system events fared.
    pub fn add(&mut self, table: &ApiTable, handlers: &[HandlerReport]) {
        let definitions = table.definitions.iter();
        self.definitions = definitions
            .map(|report| Definition::new(report, table))
            .collect();
        // Those of a file are told with it.
        let of_files = |problem: &&String| {
            let mut definitions = table.definitions.iter();
            definitions.any(|report| report.problem.as_ref() == Some(problem))
        };
        let problems = table.problems.iter();
        self.errors
            .extend(problems.filter(|p| !of_files(p)).cloned());
        for handler in handlers {
            let place = format!("event_handlers.events.{}", handler.event);
            let problem = handler.problem.iter();
            let errors = &mut self.configuration.errors;
            errors.extend(problem.map(|problem| format!("{place}: {problem}")));
        }
        self.warnings.extend(table.warnings());
        self.policies = PoliciesFound::new(&table.policies, table);
    }

    /// Counts what was found and says whether all is well.
    #[must_use]
    pub fn finish(mut self) -> Self {
        let own = |support| {
            let definitions = self.definitions.iter();
            definitions.filter(|found| found.support == support).count()
        };
        let (mut errors, mut warnings) = (0, 0);
        for (wrong, odd) in [
            (&self.configuration.errors, &self.configuration.warnings),
            (&self.policies.errors, &self.policies.warnings),
            (&self.errors, &self.warnings),
        ] {
            errors += wrong.len();
            warnings += odd.len();
        }
        for definition in &self.definitions {
            let findings = &definition.findings;
            let refusing = findings.iter().filter(|f| f.effect == Effect::Refuses);
            let refusing = refusing.count();
            errors += refusing + definition.errors.len();
            warnings += findings.len() - refusing + definition.warnings.len();
        }
        self.summary = Summary {
            definitions: self.definitions.len(),
            full: own(Support::Full),
            partial: own(Support::Partial),
            none: own(Support::None),
            errors,
            warnings,
        };
        self.ok = errors == 0 && !(self.strict && warnings > 0);
        self
    }

    /// Whether the check has passed.
    pub fn is_ok(&self) -> bool {
        self.ok
    }

    /// For machines.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("the report is plain data")
    }
}

impl Definition {
    fn new(report: &DefinitionReport, table: &ApiTable) -> Self {
        let mut found = Self {
            file: report.file.display().to_string(),
            format: match report.is_oas {
                true => Format::Oas,
                false => Format::Classic,
            },
            api_id: report.api_id.clone(),
            support: Support::None,
            fields: Score {
                set: report.fields.set,
                honoured: report.fields.honoured,
                percent: match report.problem {
                    Some(_) => 0,
                    None => report.fields.percent(),
                },
            },
            findings: report.findings.clone(),
            errors: report.problem.iter().cloned().collect(),
            warnings: Vec::new(),
        };
        let api = table.apis.get(&report.api_id);
        if let Some(api) = api.filter(|_| report.problem.is_none()) {
            found.look_at(api);
        }
        found.support = found.support();
        found
    }

    /// Adds what only shows when the API is made.
    fn look_at(&mut self, api: &Api) {
        for hook in &api.hooks {
            let Some(problem) = &hook.problem else {
                continue;
            };
            let place = hook.place.map(|place| format!("[{place}]"));
            self.findings.push(Finding {
                path: self.path_of(api, hook.hook) + &place.unwrap_or_default(),
                effect: Effect::Refuses,
                message: format!("{} `{}`: {problem}", hook.driver, hook.name),
            });
        }
        for handler in &api.event_handlers {
            let place = format!("event_handlers.events.{}", handler.event);
            let (problem, note) = (handler.problem.iter(), handler.note.iter());
            self.errors
                .extend(problem.map(|problem| format!("{place}: {problem}")));
            self.warnings
                .extend(note.map(|note| format!("{place}: {note}")));
        }
        let is_told = self.findings.iter().any(|f| f.effect == Effect::Refuses);
        self.errors
            .extend(api.refused.iter().filter(|_| !is_told).cloned());
    }

    /// Where a kind of hook is declared.
    fn path_of(&self, api: &Api, hook: &str) -> String {
        let is_oas = self.format == Format::Oas;
        let path = match (api.bundle.is_some(), is_oas) {
            (true, _) => return format!("manifest.json: custom_middleware.{hook}"),
            (false, false) => return format!("custom_middleware.{hook}"),
            (false, true) => match hook {
                "pre" => "middleware.global.prePlugins",
                "post_key_auth" => "middleware.global.postAuthenticationPlugins",
                "post" => "middleware.global.postPlugins",
                "response" => "middleware.global.responsePlugins",
                _ => "server.authentication.custom.config",
            },
        };
        format!("{}.{path}", oas::EXTENSION)
    }

    fn support(&self) -> Support {
        let refuses = self.findings.iter().any(|f| f.effect == Effect::Refuses);
        if refuses || !self.errors.is_empty() {
            Support::None
        } else if self.findings.is_empty() && self.warnings.is_empty() {
            Support::Full
        } else {
            Support::Partial
        }
    }
}

impl PoliciesFound {
    fn new(policies: &Policies, table: &ApiTable) -> Self {
        let mut warnings = policies.unread.clone();
        for policy in policies.all() {
            let named = policy.definition.access_rights.keys();
            let missing = named.filter(|id| !table.apis.contains_key(*id));
            let policy = &policy.definition.id;
            warnings.extend(
                missing
                    .map(|id| format!("policy `{policy}`: access_rights.{id}: no API of this id")),
            );
        }
        Self {
            loaded: policies.all().count(),
            errors: policies.problems.clone(),
            warnings,
        }
    }
}
