//! The command line.

use clap::{Parser, Subcommand};

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
    /// Builds the wheel of the kit for authors of Python plugins, into target/kit
    Kit,
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
