//! The command line.

use clap::{Args, Parser, Subcommand};

/// Repository tasks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Flags {
    #[command(subcommand)]
    pub(crate) task: Task,
}

/// One task; its documentation is its help text.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Builds and tests every combination of features that users may choose
    TestMatrix {
        /// Prints the rows and their commands, and runs nothing
        #[arg(long)]
        list: bool,
        /// Runs the row of this name, or else every row whose name contains it; may be repeated
        #[arg(long, value_name = "NAME")]
        only: Vec<String>,
    },
    /// Starts a gateway with example plugins and shows what each of them does
    Quickstart {
        /// Ends after the round trip, with an error when an answer is wrong
        #[arg(long)]
        check: bool,
        /// Where the gateway listens; 8080 by default, and any free port with --check
        #[arg(long, value_name = "PORT")]
        port: Option<u16>,
    },
    /// Makes what the tests need: a Python environment, and Debian packages when run as root
    Setup,
    /// Builds the release gateway with profile-guided optimisation, into target/dist
    Dist,
    /// Builds the wheel of the kit for authors of Python plugins, into target/kit
    Kit,
    /// Measures the gateway beside nginx, nginx with LuaJIT and HAProxy, and writes the results into docs
    Bench(BenchFlags),
    /// Counts the system calls of a request, and fails when there are more than there may be
    Syscalls,
    /// Writes the C header and the list of exported symbols
    Codegen {
        /// Writes nothing; fails when a generated file is stale
        #[arg(long)]
        check: bool,
    },
    /// Checks the rules of CONTRIBUTING.md that a compiler does not know
    Tidy,
    /// Runs everything that must pass before a merge
    Ci,
}

/// What is measured, and how long.
#[derive(Debug, Args)]
pub(crate) struct BenchFlags {
    /// Measures Envoy and pyvoy as well
    #[arg(long)]
    pub(crate) all: bool,
    /// How often each cell is measured
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) reps: u32,
    /// One worker on a core of its own (w1), or two that are not pinned (w2)
    #[arg(long, value_name = "MODES", default_value = "w1,w2")]
    pub(crate) modes: String,
    /// Only these servers; docs stay as they are
    #[arg(long, value_name = "A,B", conflicts_with_all = ["all", "growth"])]
    pub(crate) peers: Option<String>,
    /// Measures the gateway that `dist` has built, instead of building one
    #[arg(long, conflicts_with = "growth")]
    pub(crate) dist: bool,
    /// Length of each measured round; 5 by default, and 2 with --growth
    #[arg(long, value_name = "SECONDS")]
    pub(crate) seconds: Option<f64>,
    /// Measures how the cost grows with APIs, hooks, connections and bodies instead
    #[arg(long, conflicts_with = "all")]
    pub(crate) growth: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_consistent() {
        use clap::CommandFactory as _;
        Flags::command().debug_assert();
    }

    #[test]
    fn only_may_be_repeated() {
        let flags =
            Flags::try_parse_from(["xtask", "test-matrix", "--only", "plain", "--only", "docs"])
                .unwrap();
        let Task::TestMatrix { only, .. } = flags.task else {
            panic!("parsed as another task");
        };
        assert_eq!(only, ["plain", "docs"]);
    }
}
