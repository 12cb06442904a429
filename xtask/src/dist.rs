//! Builds the gateway for those who do not build it themselves: a release with every language,
//! laid out by what a run of it has counted (profile-guided optimisation).
//!
//! A build that counts serves what the harness calls `train`: the benchmark's scenarios, keys with
//! limits, TLS and HTTP/2. The final build keeps together what ran often and moves away what did
//! not. Both are builds of the release profile in one folder, because Cargo names functions by
//! profile and the counts are found by name.

use std::path::{Path, PathBuf};

use crate::Result;
use crate::bench::Harness;
use crate::binary;
use crate::metadata::Metadata;
use crate::step::Step;

/// The task: `target/dist/gateway` is the binary afterwards.
pub(crate) fn run(metadata: &Metadata) -> Result {
    let folder = folder(metadata);
    let counts = folder.join("counts");
    let merged = folder.join("gateway.profdata");
    let toolchain = Toolchain::find(&metadata.root)?;
    // Cargo does not notice that counts have changed, so nothing is used again.
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&counts)?;

    let flag = format!("-Cprofile-generate={}", counts.display());
    let counting = build(metadata, &toolchain, &flag)?;
    // One file per process, so that none waits for another's.
    let report = Harness::of(metadata, counting)?
        .env("LLVM_PROFILE_FILE", counts.join("%p.profraw"))
        .run("train", &[])?;
    if !report.failures.is_empty() {
        let failures = report.failures.join("\n  ");
        return Err(format!("the counting gateway was not measured:\n  {failures}").into());
    }
    merge(&toolchain, &counts, &merged, &metadata.root)?;
    let flag = format!("-Cprofile-use={}", merged.display());
    let built = build(metadata, &toolchain, &flag)?;
    std::fs::copy(built, folder.join("gateway"))?;
    println!("target/dist/gateway is the release with profile-guided optimisation");
    Ok(())
}

/// The binary that the task has built; an error when it did not run yet.
pub(crate) fn binary(metadata: &Metadata) -> Result<PathBuf> {
    let binary = folder(metadata).join("gateway");
    if binary.exists() {
        return Ok(binary);
    }
    Err("there is no target/dist/gateway: run `cargo xtask dist`".into())
}

fn folder(metadata: &Metadata) -> PathBuf {
    metadata.target_directory.join("dist")
}

/// A release with this flag. It is for the gateway alone: with a target named, Cargo keeps it
/// away from build scripts and procedural macros.
fn build(metadata: &Metadata, toolchain: &Toolchain, flag: &str) -> Result<PathBuf> {
    let arguments = binary::arguments(metadata)?;
    let (host, target) = (&toolchain.host, folder(metadata).join("build"));
    let command = format!("build --release --target {host} {arguments}");
    Step::cargo(&command)
        // Not `RUSTFLAGS`, which is split at spaces, and paths may have some.
        .env("CARGO_ENCODED_RUSTFLAGS", flag)
        .env("CARGO_TARGET_DIR", &target.to_string_lossy())
        .run(&metadata.root)?;
    Ok(target.join(host).join("release").join("gateway"))
}

/// Adds up what the processes have counted.
fn merge(toolchain: &Toolchain, counts: &Path, merged: &Path, root: &Path) -> Result {
    let tool = toolchain.profdata.to_string_lossy();
    let (merged, counts) = (merged.to_string_lossy(), counts.to_string_lossy());
    Step::program(&[&tool, "merge", "--output", &merged, &counts]).run(root)
}

/// What the compiler says of itself.
#[derive(Debug)]
struct Toolchain {
    /// The target that it runs on.
    host: String,
    /// The tool that understands this compiler's counts.
    profdata: PathBuf,
}

impl Toolchain {
    fn find(root: &Path) -> Result<Self> {
        let version = Step::program(&["rustc", "--version", "--verbose"]).read(root)?;
        let host = host(&version).ok_or("`rustc --version --verbose` has no line `host:`")?;
        let sysroot = Step::program(&["rustc", "--print", "sysroot"]).read(root)?;
        let profdata = Path::new(sysroot.trim())
            .join("lib/rustlib")
            .join(host)
            .join("bin/llvm-profdata");
        if !profdata.exists() {
            let why = "the toolchain has no llvm-profdata: run `rustup component add llvm-tools`";
            return Err(why.into());
        }
        Ok(Self {
            host: host.to_owned(),
            profdata,
        })
    }
}

fn host(version: &str) -> Option<&str> {
    version.lines().find_map(|line| line.strip_prefix("host: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_is_read_from_the_compiler() {
        let version = "rustc 1.95.0\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nLLVM: 21\n";
        assert_eq!(host(version), Some("x86_64-unknown-linux-gnu"));
        assert_eq!(host("rustc 1.95.0\n"), None);
    }
}
