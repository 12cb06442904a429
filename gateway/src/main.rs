//! The stock executable: everything is in the library, so that a binary of your own can
//! link other languages and call the same function.

use std::process::ExitCode;

/// Hooks allocate: objects, sessions, all that their languages make. What that costs was
/// measured, and so was the memory; see docs/performance.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    gateway::cli::main()
}
