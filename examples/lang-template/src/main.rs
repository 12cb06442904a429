//! A gateway with this language and no other.

// Naming the crate is what links it; it registers itself.
use lang_template as _;

fn main() -> std::process::ExitCode {
    gateway::cli::main()
}
