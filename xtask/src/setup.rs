//! Makes what the tests need beyond a Rust toolchain: environments of their own for Python and
//! Node, in `target/test-venv` and `target/test-node`, and, on a Debian machine where this runs as root, missing packages.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use xshell::{Shell, cmd};

use crate::Result;
use crate::matrix::SUITE;
use crate::metadata::Metadata;

/// What tests need from the package index: to build a native module, to compare message
/// classes with, to check what plugin authors install, and to serve plugins.
const PYTHON_PACKAGES: [&str; 7] = [
    "cython>=3,<4",
    "grpcio>=1.85,<2",
    "grpcio-tools>=1.85,<2",
    "setuptools>=77",
    "protobuf>=7,<8",
    "pytest>=9,<10",
    "mypy>=2,<3",
];

/// What tests with a server of plugins in Node need.
pub(crate) const NODE: &str = "npm";

/// What such a server loads.
const NODE_PACKAGES: [&str; 2] = ["@grpc/grpc-js@1", "@grpc/proto-loader@0.8"];

/// Something that is not there, and what cannot be built or tested without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    /// What is missing and what to do, for a person.
    pub(crate) why: String,
    /// The Debian packages that bring it; none when packages do not help.
    packages: &'static [&'static str],
    /// Interpreter crates, or rows of the matrix, that cannot work without it.
    pub(crate) blocks: &'static [&'static str],
}

impl Missing {
    /// Packages that one task needs, and no row of the matrix.
    pub(crate) fn packages(why: &str, packages: &'static [&'static str]) -> Self {
        Self {
            why: why.to_owned(),
            packages,
            blocks: &[],
        }
    }
}

/// The task: everything that is missing is an error here.
pub(crate) fn run(metadata: &Metadata) -> Result {
    let missing = prepare(metadata)?;
    if missing.is_empty() {
        return Ok(());
    }
    let reasons: Vec<String> = missing.into_iter().map(|one| one.why).collect();
    Err(reasons.join("\n  ").into())
}

/// Makes what the tests need and returns what is still missing; the caller knows which of its
/// work that concerns.
pub(crate) fn prepare(metadata: &Metadata) -> Result<Vec<Missing>> {
    let mut missing = tools()?;
    let target = &metadata.target_directory;
    let mut make = |language, tool, make: fn(&Path) -> Result, blocks| {
        if missing.iter().any(|one| one.blocks.contains(&tool)) {
            return;
        }
        if let Err(error) = make(target) {
            let one = Missing {
                why: format!("the tests' {language} environment could not be made: {error}"),
                packages: &[],
                blocks,
            };
            println!("missing: {}", one.why);
            missing.push(one);
        }
    };
    make("Python", "pyo3", make_environment, &["pyo3", "tonic"]);
    make("Node", NODE, make_node, &[NODE]);
    Ok(missing)
}

/// Looks for compilers and interpreters, installs them where it may, and returns what is
/// still missing.
pub(crate) fn tools() -> Result<Vec<Missing>> {
    println!("== setup");
    bring(probe)
}

/// The same for whatever `probe` looks for.
pub(crate) fn bring(probe: impl Fn() -> Vec<Missing>) -> Result<Vec<Missing>> {
    let mut missing = probe();
    let packages = packages_for(&missing);
    if !packages.is_empty() {
        if on_debian_as_root() {
            install(&packages)?;
            missing = probe();
        } else {
            println!(
                "something is missing; on Debian this brings it:\n    \
                 apt-get install -y --no-install-recommends {packages}"
            );
        }
    }
    for one in &missing {
        println!("missing: {}", one.why);
    }
    Ok(missing)
}

/// A program that one task needs and nothing else; missing unless it is in PATH.
pub(crate) fn program(name: &str, packages: &'static [&'static str]) -> Option<Missing> {
    let why = || {
        let packages = packages.join(" and ");
        format!("no `{name}` in PATH; install Debian's {packages}")
    };
    let found = find_in_path(name).is_some();
    (!found).then(|| Missing::packages(&why(), packages))
}

fn packages_for(missing: &[Missing]) -> String {
    let mut packages: Vec<&str> = missing
        .iter()
        .flat_map(|one| one.packages)
        .copied()
        .collect();
    packages.sort_unstable();
    packages.dedup();
    packages.join(" ")
}

fn probe() -> Vec<Missing> {
    let tool = |name: &str| find_in_path(name).is_some();
    let mut missing = Vec::new();
    if !tool("cc") {
        missing.push(Missing {
            why: "no C compiler `cc` in PATH; install Debian's gcc and libc6-dev".into(),
            packages: &["gcc", "libc6-dev"],
            blocks: &["mlua", "pyo3", "xtask"],
        });
    }
    if !tool("c++") {
        missing.push(Missing {
            why: "no C++ compiler `c++` in PATH to check api.h with; install Debian's g++".into(),
            packages: &["g++"],
            blocks: &["xtask"],
        });
    }
    if !tool("make") {
        missing.push(Missing {
            why: "no `make` in PATH to build LuaJIT with; install Debian's make".into(),
            packages: &["make"],
            blocks: &["mlua"],
        });
    }
    if !tool("redis-server") {
        missing.push(Missing {
            why: "no `redis-server` in PATH to test storage with; install Debian's redis-server"
                .into(),
            packages: &["redis-server"],
            blocks: &[SUITE],
        });
    }
    if !tool("node") || !tool("npm") {
        missing.push(Missing {
            why:
                "no `node` and `npm` in PATH to serve plugins with; install Debian's nodejs and npm"
                    .into(),
            packages: &["nodejs", "npm"],
            blocks: &[NODE],
        });
    }
    missing.extend(probe_python());
    missing
}

/// What keeps pyo3 from embedding the interpreter that it would choose.
fn probe_python() -> Option<Missing> {
    const DEBIAN: &[&str] = &["python3", "python3-dev", "python3-venv"];
    let missing = |why: String, packages| {
        Some(Missing {
            why,
            packages,
            blocks: &["pyo3", "tonic"],
        })
    };
    let Some(python) = python() else {
        return missing(
            "no Python 3 in PATH; install Debian's python3-dev and python3-venv, or name an \
             interpreter in PYO3_PYTHON"
                .into(),
            DEBIAN,
        );
    };
    // One line per thing that is missing, so that the text here is all a person needs.
    let script = "
import os, sysconfig as s
lib = s.get_config_var('LDLIBRARY') or ''
dirs = [s.get_config_var(k) or '' for k in ('LIBDIR', 'LIBPL')]
if not os.path.exists(os.path.join(s.get_path('include'), 'Python.h')):
    print('its headers (python3-dev)')
if not lib.endswith(('.so', '.dylib')) or not any(os.path.exists(os.path.join(d, lib)) for d in dirs):
    print('its shared library (python3-dev, or a build with --enable-shared)')
try:
    import venv, ensurepip
except ImportError:
    print('the modules venv and ensurepip (python3-venv)')
";
    match output_of(Command::new(&python).args(["-c", script])) {
        Ok(lines) if lines.is_empty() => None,
        Ok(lines) => {
            let what: Vec<&str> = lines.lines().collect();
            // Packages only help the interpreter that comes from packages.
            let packages = if python.starts_with("/usr/bin") {
                DEBIAN
            } else {
                &[]
            };
            missing(
                format!(
                    "Python at {} lacks {}; install it, or name another interpreter in PYO3_PYTHON",
                    python.display(),
                    what.join(" and ")
                ),
                packages,
            )
        }
        Err(error) => missing(
            format!(
                "Python at {} cannot be run: {error}; install Debian's python3-dev and \
                 python3-venv, or name a working interpreter in PYO3_PYTHON",
                python.display()
            ),
            &[],
        ),
    }
}

/// The interpreter that pyo3's build script chooses: the same places in the same order.
pub(crate) fn python() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    if let Some(python) = variable("PYO3_PYTHON") {
        return Some(python);
    }
    if let Some(environment) = variable("VIRTUAL_ENV").or_else(|| variable("CONDA_PREFIX")) {
        return Some(environment.join("bin/python"));
    }
    ["python", "python3"]
        .into_iter()
        .find_map(|name| {
            let path = find_in_path(name)?;
            let version = output_of(Command::new(&path).arg("--version")).ok()?;
            version.starts_with("Python 3").then_some(path)
        })
        .map(real_executable)
}

/// A shim of a version manager stands for the interpreter that it starts.
fn real_executable(path: PathBuf) -> PathBuf {
    let script = "import sys; print(sys.executable)";
    match output_of(Command::new(&path).args(["-c", script])) {
        Ok(text) if !text.is_empty() => text.into(),
        _ => path,
    }
}

/// Makes `target/test-venv` from that interpreter, anew when it belongs to another one.
fn make_environment(target: &Path) -> Result {
    let python = python().ok_or("no Python 3 in PATH")?;
    let folder = target.join("test-venv");
    let own = folder.join("bin/python");
    let prefix = "import sys; print(sys.base_prefix, sys.version_info[:3])";
    let wanted = output_of(Command::new(&python).args(["-c", prefix]))?;
    if output_of(Command::new(&own).args(["-c", prefix]))
        .ok()
        .as_ref()
        != Some(&wanted)
    {
        let shell = Shell::new()?;
        cmd!(shell, "{python} -m venv --clear {folder}").run()?;
    }
    let present = "import Cython, google.protobuf, grpc, grpc_tools, mypy, pytest, setuptools; \
                   print(Cython.__version__)";
    if output_of(Command::new(&own).args(["-c", present])).is_err() {
        let shell = Shell::new()?;
        cmd!(
            shell,
            "{own} -m pip install --quiet --disable-pip-version-check --no-input {PYTHON_PACKAGES...}"
        )
        .run()?;
    }
    let cython = output_of(Command::new(&own).args(["-c", present]))?;
    println!(
        "Python environment of the tests: {} (from {}, Cython {cython})",
        folder.display(),
        python.display()
    );
    Ok(())
}

/// Makes `target/test-node`, with what servers in Node load.
fn make_node(target: &Path) -> Result {
    let folder = target.join("test-node");
    let modules = folder.join("node_modules/@grpc");
    if !["grpc-js", "proto-loader"]
        .iter()
        .all(|name| modules.join(name).is_dir())
    {
        std::fs::create_dir_all(&folder)?;
        let shell = Shell::new()?;
        cmd!(
            shell,
            "npm install --silent --no-audit --no-fund --prefix {folder} {NODE_PACKAGES...}"
        )
        .run()?;
    }
    println!("Node environment of the tests: {}", folder.display());
    Ok(())
}

fn on_debian_as_root() -> bool {
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    root && Path::new("/etc/debian_version").exists() && find_in_path("apt-get").is_some()
}

fn install(packages: &str) -> Result {
    let shell = Shell::new()?;
    shell.set_var("DEBIAN_FRONTEND", "noninteractive");
    let packages = packages.split(' ');
    cmd!(shell, "apt-get update").run()?;
    cmd!(
        shell,
        "apt-get install -y --no-install-recommends {packages...}"
    )
    .run()?;
    Ok(())
}

/// What a command prints, without the last line's end; an error when it fails.
fn output_of(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(format!("ended with {}: {reason}", output.status).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn find_in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_named_once_and_in_order() {
        let one = |packages| Missing {
            why: String::new(),
            packages,
            blocks: &[],
        };
        let missing = [one(&["make"]), one(&["gcc", "make"]), one(&[])];
        assert_eq!(packages_for(&missing), "gcc make");
        assert_eq!(packages_for(&[]), "");
    }

    #[test]
    fn failing_command_tells_its_reason() {
        let error = output_of(Command::new("sh").args(["-c", "echo why >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().contains("why"), "{error}");
        assert_eq!(
            output_of(Command::new("sh").args(["-c", "echo fine"])).unwrap(),
            "fine"
        );
    }
}
