#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    reason = "a task runner's output is its standard output"
)]
//! Repository tasks, run as `cargo xtask <task>` from anywhere in the tree.
//!
//! - `test-matrix` builds and tests every combination of features that users may choose.
//! - `quickstart` starts a gateway with example plugins and shows what each of them does.
//! - `setup` makes what the tests need: a Python environment, and Debian packages.
//! - `kit` builds the wheel of the kit for authors of Python plugins.
//! - `dist` builds the gateway with what a run of it has counted.
//! - `bench` measures the gateway beside other servers.
//! - `syscalls` counts the system calls of a request against their limit.
//! - `codegen` writes the C header, the list of exported symbols, and code of language crates.
//! - `tidy` checks the rules of CONTRIBUTING.md that a compiler does not know.
//! - `ci` runs all of these as the build server does.
//!
//! Everyone compiles this crate before anything else, so it has few dependencies.

mod bench;
mod binary;
mod ci;
mod codegen;
mod dist;
mod flags;
mod kit;
mod matrix;
mod metadata;
mod quickstart;
mod setup;
mod step;
mod syscalls;
mod tidy;

use std::process::ExitCode;

use clap::Parser;
use flags::{Flags, Task};
use metadata::Metadata;

/// What a task returns. Errors are sentences for a person: what was wrong, where, what to do.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match run(Flags::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is::<matrix::Failed>() {
                eprintln!("error: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result {
    let metadata = Metadata::load()?;
    match task {
        Task::TestMatrix { list: true, only } => matrix::list(&metadata, &only),
        Task::TestMatrix { list: false, only } => matrix::run(&metadata, &only),
        Task::Quickstart { check, port } => quickstart::run(&metadata, check, port),
        Task::Setup => setup::run(&metadata),
        Task::Dist => dist::run(&metadata),
        Task::Kit => kit::run(&metadata),
        Task::Bench(flags) => bench::run(&metadata, &flags),
        Task::Syscalls => syscalls::run(&metadata),
        Task::Codegen { check: true } => codegen::check(&metadata.root),
        Task::Codegen { check: false } => {
            codegen::write(&metadata.root)?;
            codegen::write_languages(&metadata)
        }
        Task::Tidy => tidy::run(&metadata),
        Task::Ci => ci::run(&metadata),
    }
}
