//! `gateway bundle build` and `gateway bundle verify`.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use test_harness::gateway::Ended;
use test_harness::{BundleServer, GatewayBuilder};

use super::{api, assert_loaded};
use crate::{BINARY, gateway};

fn fixture(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/bundles/");
    format!("{folder}{name}")
}

fn manifest() -> Value {
    json!({
        "file_list": ["middleware.cob", "vendor/dep.cob"],
        "custom_middleware": {
            "pre": [{"name": "Hook", "timeout_ms": 50}],
            "post": null,
            "auth_check": {"name": "Check"},
            "driver": "cobol"
        }
    })
}

fn folder(manifest: &Value) -> GatewayBuilder {
    gateway()
        .file("manifest.json", manifest.to_string())
        .file("middleware.cob", "STOP RUN.")
        .file("vendor/dep.cob", "signed")
}

/// Where a test's bundle goes to; the folder of the gateway is gone after its run.
struct Output(tempfile::TempDir);

impl Output {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("out.zip")
    }

    /// Builds into it.
    fn build(&self, folder: GatewayBuilder, arguments: &[&str]) -> Ended {
        let path = self.path();
        let first = ["bundle", "build", "-o", path.to_str().unwrap()];
        folder.run(&[&first, arguments].concat())
    }

    fn verify(&self, arguments: &[&str]) -> Ended {
        let path = self.path();
        let first = ["bundle", "verify", path.to_str().unwrap()];
        gateway().run(&[&first, arguments].concat())
    }
}

#[track_caller]
fn assert_says(ended: &Ended, success: bool, parts: &[&str]) {
    assert_eq!(ended.status.success(), success, "{}", ended.log);
    for part in parts {
        assert!(
            ended.log.contains(part),
            "`{part}` is missing: {}",
            ended.log
        );
    }
}

#[test]
fn what_is_built_is_loaded() {
    let output = Output::new();
    let ended = output.build(folder(&manifest()), &["-y"]);
    assert_says(&ended, true, &["unsigned"]);
    let server = BundleServer::start();
    server.put("b.zip", fs::read(output.path()).unwrap());
    let gateway = gateway()
        .with_plugins()
        .conf(server.conf())
        .api(api("a", "b.zip").set("/use_keyless", false))
        .start();
    assert_loaded(&gateway, "a");
    let hooks = gateway.admin("/tyk/apis/a/plugins").json()["hooks"].clone();
    assert_eq!(hooks[0]["name"], "Hook");
    let told = output.verify(&[]);
    assert_says(
        &told,
        true,
        &[
            "hook      pre Hook (cobol)",
            "hook      auth_check Check (cobol)",
            "file      vendor/dep.cob",
            "signature none",
            "(valid)",
        ],
    );
}

#[test]
fn the_same_files_give_the_same_bundle() {
    let archives: Vec<Vec<u8>> = (0..2)
        .map(|_| {
            let output = Output::new();
            let key = fixture("private_2048.pem");
            let ended = output.build(folder(&manifest()), &["--key", &key]);
            assert_says(&ended, true, &["signed"]);
            fs::read(output.path()).unwrap()
        })
        .collect();
    assert_eq!(archives[0], archives[1]);
    let position = |name: &str| {
        let windows = archives[0].windows(name.len());
        windows
            .enumerate()
            .find(|(_, bytes)| *bytes == name.as_bytes())
    };
    let places: Vec<_> = ["middleware.cob", "vendor/dep.cob", "manifest.json"]
        .map(|name| position(name).unwrap().0)
        .to_vec();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn signatures_fit_their_public_key() {
    for key in ["private_2048.pem", "private_pkcs8_2048.pem"] {
        let output = Output::new();
        let ended = output.build(folder(&manifest()), &["-k", &fixture(key)]);
        assert_says(&ended, true, &["signed"]);
        let told = output.verify(&["--public-key", &fixture("public_2048.pem")]);
        assert_says(&told, true, &["signature valid"]);
        let told = output.verify(&["--public-key", &fixture("public_1024.pem")]);
        assert_says(&told, false, &["signature is not valid"]);
    }
    let output = Output::new();
    assert_says(&output.build(folder(&manifest()), &["-y"]), true, &[]);
    let told = output.verify(&["--public-key", &fixture("public_2048.pem")]);
    assert_says(&told, false, &["Bundle isn't signed"]);
}

#[test]
fn what_cannot_be_built_is_told_and_nothing_is_written() {
    let with = |pointer: &str, value: Value| {
        let mut manifest = manifest();
        *manifest.pointer_mut(pointer).unwrap() = value;
        folder(&manifest)
    };
    let without_hooks = json!({"driver": "cobol", "pre": [], "auth_check": null});
    let key = fixture("ec_public.pem");
    for (folder, arguments, told) in [
        (
            folder(&manifest()),
            &["-y", "-m", "absent.json"][..],
            "Couldn't load manifest file: absent.json",
        ),
        (
            folder(&manifest()).file("manifest.json", "{"),
            &["-y"],
            "Couldn't load manifest file: manifest.json: manifest.json:1:1: EOF",
        ),
        (
            with("/custom_middleware", without_hooks),
            &["-y"],
            "No hooks defined",
        ),
        (
            with("/custom_middleware/driver", json!("")),
            &["-y"],
            "No driver specified",
        ),
        (
            with("/file_list/1", json!("vendor/absent.cob")),
            &["-y"],
            "Referencing a nonexistent file: vendor/absent.cob",
        ),
        (
            with("/file_list/1", json!("../outside")),
            &["-y"],
            "file_list[1]: `../outside` leads out",
        ),
        (
            folder(&manifest()).file("vendor/dep.cob", vec![0; 8 * 1024 * 1024]),
            &["-y"],
            "no gateway would load the bundle: entry `vendor/dep.cob`",
        ),
        (folder(&manifest()), &["-k", &key], "RSA PRIVATE KEY"),
        (folder(&manifest()), &["-k", "absent.pem"], "absent.pem"),
        (folder(&manifest()), &[], "-y/--skip-signing"),
    ] {
        let output = Output::new();
        let ended = output.build(folder, arguments);
        assert_says(&ended, false, &[told]);
        assert_eq!(fs::read_dir(output.0.path()).unwrap().count(), 0, "{told}");
    }
}

#[test]
fn an_unsigned_bundle_is_asked_about_on_a_terminal() {
    for (answer, built) in [("y\n", true), ("n\n", false), ("\n", false)] {
        let folder = folder(&manifest());
        let mut child = Command::new("script")
            .args(["-qec", &format!("{BINARY} bundle build"), "/dev/null"])
            .current_dir(folder.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`script` makes a terminal: install bsdutils");
        child
            .stdin
            .take()
            .unwrap()
            .write_all(answer.as_bytes())
            .unwrap();
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(said.contains("will not be signed. Continue?"), "{said}");
        assert_eq!(ended.status.success(), built, "{said}");
        assert_eq!(folder.folder().join("bundle.zip").exists(), built, "{said}");
    }
}

#[test]
fn a_bundle_that_no_gateway_would_take_fails_verification() {
    let output = Output::new();
    fs::write(output.path(), "no zip").unwrap();
    assert_says(&output.verify(&[]), false, &["not a zip file"]);
    fs::remove_file(output.path()).unwrap();
    assert_says(&output.verify(&[]), false, &["out.zip"]);
}

#[test]
fn a_check_leaves_the_folder_of_bundles_alone() {
    let server = BundleServer::start();
    server.put("b.zip", super::sample().zip());
    let middleware = tempfile::tempdir().unwrap();
    let ended = gateway()
        .with_plugins()
        .conf(server.conf())
        .conf(json!({"middleware_path": middleware.path()}))
        .api(api("a", "b.zip"))
        .run(&["check", "--conf", "tyk.conf"]);
    assert!(ended.log.contains("Bundle is ready"), "{}", ended.log);
    assert_eq!(fs::read_dir(middleware.path()).unwrap().count(), 0);
}

#[test]
fn a_bundle_cannot_forge_the_report_on_it() {
    let output = Output::new();
    let forged = "Hook\nsignature valid\u{1b}[2K";
    let bundle = super::sample().pre(forged);
    fs::write(output.path(), bundle.zip()).unwrap();
    let told = output.verify(&[]);
    let escaped = "hook      pre Hook\\nsignature valid\\u{1b}[2K (cobol)";
    assert_says(&told, true, &["signature none", escaped]);
    assert!(!told.log.contains("\nsignature valid"), "{}", told.log);
    let mut manifest = bundle.manifest();
    manifest["file_list"] = json!([forged]);
    fs::write(output.path(), bundle.zip_with(&manifest)).unwrap();
    let told = output.verify(&[]);
    assert_says(&told, false, &["has a control character"]);
    assert!(!told.log.contains("\nsignature valid"), "{}", told.log);
}
