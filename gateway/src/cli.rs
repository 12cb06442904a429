//! The command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use coprocess_core::LanguageRegistry;
use tracing::{Level, warn};

use crate::bundle::command::BundleCommand;
use crate::check::Report;
use crate::config::{Config, Loaded};
use crate::gateway::{Gateway, Purpose};
use crate::plugin_run::{self, PluginCommand};
use crate::telemetry::log;

/// The configuration that is read when none is named.
const DEFAULT_CONFIG: &str = "tyk.conf";

/// An HTTP API gateway whose middleware is written in any language.
#[derive(Parser)]
#[command(name = "gateway", version, about)]
struct Arguments {
    /// Configuration file; without it ./tyk.conf, or the defaults where there is none
    #[arg(long, short, global = true, value_name = "FILE")]
    conf: Option<PathBuf>,
    /// Treat what is usually a warning as an error: unknown keys, hooks that cannot run
    #[arg(long, global = true)]
    strict: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve; what happens without a command
    Serve,
    /// Load configuration, definitions, policies and plugins, say what is wrong and how much
    /// of each definition is supported, and end
    Check {
        /// Print the report as JSON
        #[arg(long)]
        json: bool,
    },
    /// Work on plugins without serving them
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Build and verify plugin bundles
    #[command(subcommand)]
    Bundle(BundleCommand),
    /// Print the version and the languages in this binary
    Version,
}

/// Runs the command line of this process. A binary of your own calls this from its `main`.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("gateway: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn std::error::Error>> {
    if let Some(Command::Bundle(command)) = &arguments.command {
        command.run()?;
        return Ok(ExitCode::SUCCESS);
    }
    let registry = LanguageRegistry::collect()?;
    if matches!(arguments.command, Some(Command::Version)) {
        version(&registry);
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(Command::Check { json }) = arguments.command {
        return Ok(check(arguments, &registry, json));
    }
    let Loaded { config, warnings } = load_config(arguments, &registry)?;
    if let Some(Command::Plugin(command)) = &arguments.command {
        return Ok(plugin_run::run(command, config, &registry));
    }
    log::init(log::parse_level(&config.log_level).unwrap_or(Level::INFO));
    for warning in &warnings {
        warn!("{warning}");
    }
    let gateway = Gateway::build(config, &registry, Purpose::Serve)?;
    let healthy = gateway.is_healthy() && warnings.is_empty();
    if arguments.strict && (!healthy || gateway.has_warnings()) {
        return Err("--strict: there were warnings or errors, see above".into());
    }
    gateway.serve()?;
    Ok(ExitCode::SUCCESS)
}

/// Loads everything, prints what was found, and says how the process ends.
#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn check(arguments: &Arguments, registry: &LanguageRegistry, json: bool) -> ExitCode {
    let mut report = Report::new(config_file(arguments), arguments.strict);
    match load_config(arguments, registry) {
        Err(error) => report.refuse_configuration(&error),
        Ok(Loaded { config, warnings }) => {
            report.warn_of_configuration(warnings);
            // That an API is loaded is in the report.
            let level = log::parse_level(&config.log_level).unwrap_or(Level::INFO);
            log::init(if level == Level::INFO {
                Level::WARN
            } else {
                level
            });
            match Gateway::build(config, registry, Purpose::Check) {
                Ok(gateway) => gateway.report(&mut report),
                Err(error) => report.fail(&error),
            }
        }
    }
    let report = report.finish();
    if json {
        println!("{}", report.json());
    } else {
        print!("{report}");
    }
    if report.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The configuration that is named, or the one that is there.
fn config_file(arguments: &Arguments) -> Option<&Path> {
    let default = Path::new(DEFAULT_CONFIG);
    let named = arguments.conf.as_deref();
    named.or_else(|| default.exists().then_some(default))
}

fn load_config(
    arguments: &Arguments,
    registry: &LanguageRegistry,
) -> Result<Loaded, crate::config::ConfigError> {
    let options: Vec<_> = registry
        .registrations()
        .iter()
        .flat_map(|language| language.options)
        .copied()
        .collect();
    // Variables that are not text cannot be ours.
    let variables = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
    Config::load(config_file(arguments), variables, &options)
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn version(registry: &LanguageRegistry) {
    let names: Vec<_> = registry
        .registrations()
        .iter()
        .map(|language| language.name)
        .collect();
    println!("gateway {}", env!("CARGO_PKG_VERSION"));
    println!("languages: {}", names.join(", "));
}
