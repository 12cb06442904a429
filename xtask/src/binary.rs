//! Builds the gateway with every language, for the tasks that run it.

use std::path::PathBuf;

use crate::Result;
use crate::metadata::Metadata;
use crate::setup;
use crate::step::Step;

/// How it is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Fast to build.
    Dev,
    /// Fast enough to be measured by what does not depend on optimisation, and built in a
    /// half of the time of a release.
    Gate,
    /// As users have it.
    Release,
}

/// Builds the gateway with every language; returns the binary.
pub(crate) fn build(metadata: &Metadata, profile: Profile) -> Result<PathBuf> {
    let (flag, folder) = match profile {
        Profile::Dev => ("", "debug"),
        Profile::Gate => ("--profile gate", "gate"),
        Profile::Release => ("--release", "release"),
    };
    let command = format!("build {flag} {}", arguments(metadata)?);
    Step::cargo(&command).run(&metadata.root)?;
    Ok(metadata.target_directory.join(folder).join("gateway"))
}

/// What a build of the gateway with every language says behind `cargo build`; an error when
/// something that they need is missing.
pub(crate) fn arguments(metadata: &Metadata) -> Result<String> {
    let languages = metadata.languages()?;
    let missing: Vec<String> = setup::tools()?
        .into_iter()
        .filter(|one| {
            languages
                .iter()
                .flat_map(|language| &language.embedded)
                .any(|crate_| one.blocks.contains(&crate_.as_str()))
        })
        .map(|one| one.why)
        .collect();
    if !missing.is_empty() {
        return Err(missing.join("\n  ").into());
    }
    let features: Vec<&str> = languages.iter().map(|one| one.feature.as_str()).collect();
    Ok(format!(
        "-p gateway --features coprocess,{}",
        features.join(",")
    ))
}
