//! The kit for plugin authors: installed by pip, it does what the gateway does, its types
//! are checked, and inside the gateway it is never in the way.
//!
//! What the tests need of the package index is in the environment that `cargo xtask setup`
//! makes.
#![allow(
    clippy::unwrap_used,
    reason = "a failed unwrap in a helper is a failed test with a backtrace"
)]

mod environment;
#[path = "plugins/harness.rs"]
#[expect(dead_code, reason = "shared with the other tests, which use all of it")]
mod harness;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use environment::test_environment;
use harness::*;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const VERSION: &str = env!("COPROCESS_PYTHON_VERSION");

/// Runs a command to its end, which must be a good one.
fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}:\n{shown}");
    shown.into_owned()
}

/// An environment with the kit in it, made once: the tests' packages, and the kit by pip.
fn environment() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let tests = test_environment().join("bin/python");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kit");
        let own = folder.join("venv");
        succeed(
            Command::new(&tests)
                .args(["-m", "venv", "--clear", "--without-pip"])
                .arg(&own),
        );
        // The packages of the tests' environment are found here too.
        let packages = test_environment().join(format!("lib/python{VERSION}/site-packages"));
        let link = own.join(format!("lib/python{VERSION}/site-packages/tests.pth"));
        fs::write(link, packages.to_str().unwrap()).unwrap();
        // Building leaves files beside the sources, so it is done with a copy.
        let source = folder.join("source");
        let _ = fs::remove_dir_all(&source);
        copy(&Path::new(ROOT).join("python"), &source);
        succeed(
            Command::new(&tests)
                .args(["-m", "pip", "--python"])
                .arg(own.join("bin/python"))
                .args(["install", "--quiet", "--no-deps", "--no-build-isolation"])
                .arg(&source),
        );
        own
    })
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

/// Python in the environment with the kit, in the folder of its tests.
fn python() -> Command {
    let mut command = Command::new(environment().join("bin/python"));
    command.current_dir(Path::new(ROOT).join("tests/kit"));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

#[test]
fn tests_of_plugins_run_without_a_gateway() {
    let shown = succeed(python().args(["-m", "pytest", "-q", "-p", "no:cacheprovider"]));
    assert!(shown.contains("13 passed"), "{shown}");
}

#[test]
fn example_plugins_pass_their_own_tests() {
    let examples = Path::new(ROOT).join("../examples/plugins");
    let mut pytest = python();
    pytest.args(["-m", "pytest", "-q", "-p", "no:cacheprovider"]);
    let shown = succeed(pytest.current_dir(examples));
    assert!(shown.contains("13 passed"), "{shown}");
}

#[test]
fn types_are_complete() {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mypy");
    let strict = |file: &str, folder: &str| {
        let mut command = python();
        command
            .args(["-m", "mypy", "--strict", "--cache-dir"])
            .arg(&cache);
        command.current_dir(Path::new(ROOT).join(folder)).arg(file);
        command
    };
    succeed(&mut strict("middleware.py", "tests/kit/bundle"));
    succeed(&mut strict("typed_example.py", "tests/kit"));
    succeed(python().args([
        "-m",
        "mypy.stubtest",
        "--allowlist",
        "stubtest_allowlist.txt",
        "--mypy-config-file",
        "stubtest.ini",
        "tyk._messages",
        "tyk.testing",
        "tyk.session",
        "tyk.request",
        "tyk.object",
        "tyk.event",
        "gateway",
    ]));
}

#[test]
fn in_the_gateway_its_own_modules_win_over_an_installed_kit() {
    let venv = environment().to_str().unwrap();
    let packages = format!("{venv}/lib/python{VERSION}/site-packages");
    // First in the search path, and installed.
    let language = start(&format!(
        r#"{{"python_venv": "{venv}", "python_path_prefix": "{packages}", "python_dispatch": "thread"}}"#
    ));
    let plugin = load(
        &language,
        &hook_file(&format!(
            "import sys, os, _tyk_native, _tyk_loader, gateway, tyk.session, tyk.decorators, decorators
assert sys.path[0] == {packages:?} and os.path.exists(sys.path[0] + '/_tyk_native.py'), sys.path
assert not hasattr(_tyk_native, '__file__')
for module in (gateway, tyk, tyk.session, tyk.decorators, _tyk_loader):
    assert module.__file__.startswith('<gateway>/'), module.__file__
assert isinstance(session, tyk.session.TykSession)
for name in ('tyk.session', 'tyk', 'gateway'):
    sys.modules.pop(name)
import gateway, tyk.session
assert gateway.__file__.startswith('<gateway>/') and tyk.session.__file__.startswith('<gateway>/')
try:
    import tyk.testing
except ModuleNotFoundError:
    pass
else:
    assert 0, 'tyk.testing is for tests'"
        )),
    );
    let outcome = run(&language, object(plugin.as_ref(), "hook"));
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
