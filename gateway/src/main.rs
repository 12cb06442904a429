//! The stock executable: everything is in the library, so that a binary of your own can
//! link other languages and call the same function.

use std::process::ExitCode;

fn main() -> ExitCode {
    gateway::cli::main()
}
