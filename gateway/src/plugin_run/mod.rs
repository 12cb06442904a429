//! `gateway plugin run` and `gateway plugin test`: one hook, one request, no server.
//!
//! The language is the real one and so are the rules by which a request becomes what a hook
//! sees and what it left is taken back: the hook runs as the only step of an API's chain.
//! Nothing listens, nothing is sent; what plugins store is in memory.

mod call;
mod case;
mod code;
mod host;
mod input;
mod outcome;
mod show;
mod trial;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use coprocess_core::LanguageRegistry;

use crate::config::Config;

/// What can be done with a plugin without serving it.
#[derive(Subcommand)]
pub enum PluginCommand {
    /// Run one hook on one request and show what it changed
    Run(RunArguments),
    /// Run the cases of a bundle's `tests` folder and compare with what they expect
    Test(TestArguments),
}

/// Where the code is.
#[derive(Args, Clone)]
pub struct CodeArguments {
    /// Folder with a manifest.json, a bundle's zip file, or a folder with files of a plugin
    #[arg(long, value_name = "DIR", conflicts_with = "file")]
    bundle: Option<PathBuf>,
    /// One file of code, in the place of a folder
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The language, where no manifest names it
    #[arg(long)]
    driver: Option<String>,
}

/// `gateway plugin run`
#[derive(Args)]
pub struct RunArguments {
    #[command(flatten)]
    code: CodeArguments,
    /// The function
    #[arg(long, value_name = "NAME")]
    hook: String,
    /// pre, auth_check, post_key_auth, post or response, where the manifest does not say
    #[arg(long = "type", value_name = "TYPE")]
    hook_type: Option<String>,
    /// The request as JSON or as an HTTP message; `-` reads standard input [default: GET /]
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
    /// Run it this many times more and say how long a call takes
    #[arg(long, value_name = "N", default_value_t = 0)]
    repeat: u32,
}

/// `gateway plugin test`
#[derive(Args)]
pub struct TestArguments {
    #[command(flatten)]
    code: CodeArguments,
    /// Cases, or folders with them [default: the folder `tests` beside the code]
    #[arg(value_name = "PATH")]
    cases: Vec<PathBuf>,
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
enum Problem {
    /// The command line or a file that it names cannot be used.
    Usage(String),
    /// The plugin does not load, or its hook failed.
    Hook(String),
}

impl Problem {
    fn text(&self) -> &str {
        match self {
            Self::Usage(text) | Self::Hook(text) => text,
        }
    }

    fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Hook(_) => 1,
            Self::Usage(_) => 2,
        })
    }
}

/// Runs a command to its exit code.
pub fn run(command: &PluginCommand, config: Config, registry: &LanguageRegistry) -> ExitCode {
    let outcome = match command {
        PluginCommand::Run(arguments) => run_once(arguments, config, registry),
        PluginCommand::Test(arguments) => case::run_all(arguments, config, registry),
    };
    outcome.unwrap_or_else(|problem| {
        eprintln!("gateway: {}", problem.text());
        problem.code()
    })
}

fn run_once(
    arguments: &RunArguments,
    config: Config,
    registry: &LanguageRegistry,
) -> Result<ExitCode, Problem> {
    let input = match &arguments.request {
        Some(path) => input::read(path)?,
        None => input::Input::default(),
    };
    let wanted = code::parse_type(arguments.hook_type.as_deref())?;
    let code = code::Code::find(&arguments.code, &config)?;
    let runner = call::Runner::start(config, registry);
    let loaded = runner.load(&code, &arguments.hook, wanted)?;
    let outcome = runner.run(&loaded, &input)?;
    let times = match (arguments.repeat, &outcome.result) {
        (0, _) | (_, Err(_)) => None,
        (calls, Ok(_)) => Some(runner.measure(&loaded, &input, calls)?),
    };
    if arguments.json {
        show::json(&loaded, &outcome, times.as_ref());
    } else {
        show::text(&loaded, &outcome, times.as_ref());
    }
    Ok(match outcome.result {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}
