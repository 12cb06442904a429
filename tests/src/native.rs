//! Building native modules against the gateway's C header, as a plugin's author would.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder that holds `api.h`.
#[must_use]
pub fn include_folder() -> PathBuf {
    workspace().join("coprocess-core/include")
}

/// The names that the executable exports, one per line of `exports.txt`.
#[must_use]
#[track_caller]
pub fn exported_names() -> Vec<String> {
    let path = include_folder().join("exports.txt");
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let names: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    assert!(!names.is_empty(), "{} names nothing", path.display());
    names
}

/// Compiles C source against `api.h` into a shared library in `folder`.
#[track_caller]
pub fn compile_library(folder: &Path, name: &str, source: &str) -> PathBuf {
    let file = folder.join(format!("{name}.c"));
    std::fs::write(&file, source).unwrap();
    let library = folder.join(format!("{name}.so"));
    run(Command::new("cc")
        .args(["-shared", "-fPIC", "-Wall", "-Werror", "-I"])
        .arg(include_folder())
        .arg("-o")
        .arg(&library)
        .arg(&file));
    library
}

/// The virtual environment for tests, which lies in the folder of build results.
#[must_use]
#[track_caller]
pub fn test_environment(binary: &str) -> PathBuf {
    let folder = Path::new(binary)
        .ancestors()
        .find(|folder| folder.join("test-venv").is_dir());
    match folder {
        Some(folder) => folder.join("test-venv"),
        None => panic!("there is no test-venv beside the build results: run `cargo xtask setup`"),
    }
}

/// Builds a Cython module in `folder` with the Cython and the interpreter of `environment`.
#[track_caller]
pub fn build_cython(environment: &Path, folder: &Path, name: &str, source: &str) -> PathBuf {
    let python = environment.join("bin/python");
    let pyx = folder.join(format!("{name}.pyx"));
    std::fs::write(&pyx, source).unwrap();
    let c = folder.join(format!("{name}.c"));
    run(Command::new(&python)
        .args(["-m", "cython", "-3", "-o"])
        .arg(&c)
        .arg(&pyx));
    let headers = run(Command::new(&python).args([
        "-c",
        "import sysconfig; print(sysconfig.get_paths()['include'], end='')",
    ]));
    let library = folder.join(format!("{name}.so"));
    run(Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-w", "-I"])
        .arg(include_folder())
        .arg("-I")
        .arg(headers)
        .arg("-o")
        .arg(&library)
        .arg(&c));
    library
}

/// Runs a command to its end and returns what it printed. A tool that is missing or fails fails
/// the test.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => panic!("cannot run {command:?}: {error}"),
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?} failed: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap().to_owned()
}
