//! Builds the wheel of the kit for authors of Python plugins.

use std::path::Path;

use xshell::{Shell, cmd};

use crate::Result;
use crate::metadata::Metadata;

/// The task: `target/kit` has the wheel afterwards.
pub(crate) fn run(metadata: &Metadata) -> Result {
    let target: &Path = &metadata.target_directory;
    let python = target.join("test-venv/bin/python");
    if !python.exists() {
        return Err("there is no target/test-venv to build with: run `cargo xtask setup`".into());
    }
    let shell = Shell::new()?;
    let folder = target.join("kit");
    let source = folder.join("source");
    shell.remove_path(&folder)?;
    shell.create_dir(&folder)?;
    // Building leaves files beside the sources, so it is done with a copy.
    let sources = metadata.root.join("lang-python/python");
    cmd!(shell, "cp -r {sources} {source}").run()?;
    cmd!(
        shell,
        "{python} -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir {folder} {source}"
    )
    .run()?;
    shell.remove_path(&source)?;
    for wheel in shell.read_dir(&folder)? {
        println!("{}", wheel.display());
    }
    Ok(())
}
