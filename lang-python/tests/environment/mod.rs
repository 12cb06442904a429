//! Where the packages are that tests compare with.

use std::path::PathBuf;

/// The environment beside the build results, with the packages that tests compare with.
pub(crate) fn test_environment() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let found = program
        .ancestors()
        .map(|folder| folder.join("test-venv"))
        .find(|folder| folder.is_dir());
    found.expect("there is no test-venv beside the build results: run `cargo xtask setup`")
}
