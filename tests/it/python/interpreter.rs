//! Which Python runs, and with which modules.

use std::process::Command;

use serde_json::json;
use test_harness::{Definition, Upstream, native};

use crate::gateway;

const SOURCE: &str = "from tyk.decorators import *\nimport only_in_this_environment\n\n\
    @Hook\ndef Imported(request, session, spec):\n    \
    request.add_header('X-Ran', only_in_this_environment.value)\n    \
    return request, session\n";

#[test]
fn the_log_says_which_interpreter_runs() {
    let upstream = Upstream::echo();
    let api = Definition::new("api").driver("python").pre("Any");
    let gateway = gateway()
        .python("empty.py", "")
        .api(api.upstream(&upstream))
        .start();
    let line = gateway.wait_for_log_with(&["Python", "3."]);
    assert!(line.contains('/'), "no path in {line:?}");
}

#[test]
fn the_interpreter_starts_with_the_first_api_that_needs_it() {
    let upstream = Upstream::echo();
    let other = Definition::new("plain").upstream(&upstream);
    let api = Definition::new("api").driver("python").upstream(&upstream);
    let gateway = gateway()
        .python(
            "quick.py",
            "from tyk.decorators import *\n\n@Hook\ndef Quick(request, session, spec):\n    \
             return request, session\n",
        )
        .conf(json!({"log_level": "info"}))
        .api(other)
        .start();
    let is_up = || gateway.log().text().contains("Language is up.");
    assert_eq!(gateway.get("/plain/").status, 200);
    assert!(!is_up(), "{}", gateway.log().text());
    gateway.write_api(&api.pre("Quick"));
    gateway.reload();
    assert_eq!(gateway.get("/api/").status, 200);
    test_harness::wait::until("the language is up", is_up);
}

#[test]
fn a_virtual_environment_in_the_configuration_is_honoured() {
    let upstream = Upstream::echo();
    let api = Definition::new("api")
        .driver("python")
        .upstream(&upstream)
        .pre("Imported");
    let builder = gateway().python("imports.py", SOURCE).api(api.clone());
    let environment = builder.folder().join("environment");
    native::run(
        Command::new("python3")
            .args(["-m", "venv", "--without-pip"])
            .arg(&environment),
    );
    let packages = native::run(Command::new(environment.join("bin/python")).args([
        "-c",
        "import sysconfig; print(sysconfig.get_paths()['purelib'], end='')",
    ]));
    let module = std::path::Path::new(&packages).join("only_in_this_environment.py");
    std::fs::write(module, "value = 'from the environment'\n").unwrap();
    let options = json!({"coprocess_options": {"python_venv": environment}});
    let gateway_with = builder.conf(options).start();
    let response = gateway_with.get("/api/");
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(
        upstream.take_one().header("X-Ran"),
        Some("from the environment")
    );

    let without = gateway().python("imports.py", SOURCE).api(api).start();
    without.get("/api/").assert_error(500, "Middleware error");
}

#[test]
fn an_environment_that_does_not_exist_is_named() {
    let api = Definition::new("api").driver("python").pre("Any");
    let builder = gateway()
        .python("empty.py", "")
        .conf(json!({"coprocess_options": {"python_venv": "no/such/environment"}}))
        .api(api);
    let gateway = builder.start();
    gateway
        .get("/api/")
        .assert_error(500, "Internal Server Error");
    gateway.wait_for_log_with(&["python_venv", "no/such/environment"]);
}

#[test]
fn the_binary_starts_without_any_set_up() {
    let upstream = Upstream::echo();
    let source = "from tyk.decorators import *\nimport json, ssl, ctypes\n\n\
                  @Hook\ndef Fine(request, session, spec):\n    return request, session\n";
    let gateway = gateway()
        .python("fine.py", source)
        .api(
            Definition::new("api")
                .driver("python")
                .upstream(&upstream)
                .pre("Fine"),
        )
        .env("LD_LIBRARY_PATH", "")
        .env("PYTHONHOME", "")
        .env("PYTHONPATH", "")
        .env("PATH", "/nonexistent")
        .start();
    assert_eq!(gateway.get("/api/").status, 200);
}
