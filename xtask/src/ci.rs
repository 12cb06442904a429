//! Everything that must pass before a merge, the cheap things first.

use crate::Result;
use crate::metadata::Metadata;
use crate::step::Step;
use crate::{codegen, matrix, quickstart, syscalls, tidy};

/// Runs every task to its end and then says which of them failed.
pub(crate) fn run(metadata: &Metadata) -> Result {
    let root = &metadata.root;
    let results = [
        ("fmt", Step::cargo("fmt --all --check").run(root)),
        ("tidy", tidy::run(metadata)),
        ("codegen --check", codegen::check(root)),
        ("cargo deny", deny(metadata)),
        ("test-matrix", matrix::run(metadata, &[])),
        ("quickstart --check", quickstart::run(metadata, true, None)),
        ("syscalls", syscalls::run(metadata)),
    ];
    let mut failed = Vec::new();
    println!();
    for (name, result) in results {
        match result {
            Ok(()) => println!("passed  {name}"),
            Err(error) => {
                println!("FAILED  {name}: {error}");
                failed.push(name);
            }
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("failed: {}", failed.join(", ")).into())
}

/// `cargo deny` is a tool of its own that not every machine has; its absence is said, so that
/// nobody takes it for a pass.
fn deny(metadata: &Metadata) -> Result {
    let installed = std::process::Command::new("cargo-deny")
        .arg("--version")
        .stdout(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if installed {
        return Step::cargo("deny check").run(&metadata.root);
    }
    println!(
        "cargo deny is not installed: licences and advisories were NOT checked; \
         `cargo install cargo-deny` brings it"
    );
    Ok(())
}
