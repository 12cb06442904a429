//! The command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use coprocess_core::LanguageRegistry;
use tracing::warn;

use crate::bundle::command::BundleCommand;
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
    /// Load configuration, definitions and plugins, say what is wrong, and end
    Check,
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
    let Loaded { config, warnings } = load_config(arguments, &registry)?;
    if let Some(Command::Plugin(command)) = &arguments.command {
        return Ok(plugin_run::run(command, config, &registry));
    }
    log::init(log::parse_level(&config.log_level).unwrap_or(tracing::Level::INFO));
    for warning in &warnings {
        warn!("{warning}");
    }
    let purpose = match arguments.command {
        Some(Command::Check) => Purpose::Check,
        _ => Purpose::Serve,
    };
    let gateway = Gateway::build(config, &registry, purpose)?;
    let healthy = gateway.is_healthy() && warnings.is_empty();
    if arguments.strict && (!healthy || gateway.has_warnings()) {
        return Err("--strict: there were warnings or errors, see above".into());
    }
    if purpose == Purpose::Check {
        return Ok(if gateway.is_healthy() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    gateway.serve()?;
    Ok(ExitCode::SUCCESS)
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
    let default = Path::new(DEFAULT_CONFIG);
    let path = arguments
        .conf
        .as_deref()
        .or_else(|| default.exists().then_some(default));
    // Variables that are not text cannot be ours.
    let variables = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
    Config::load(path, variables, &options)
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
