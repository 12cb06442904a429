//! The gateway's own file.

use std::fs;

use serde_json::json;

use crate::gateway;

const FILE: &str = "gateway.redb";

#[test]
fn the_file_is_in_the_working_directory_and_told_by_the_probe() {
    let gateway = gateway().start();
    assert!(gateway.folder().join(FILE).is_file());
    let hello = gateway.get("/hello").json();
    assert_eq!(hello["status"], "pass", "{hello}");
    let details = &hello["details"]["embedded"];
    assert_eq!(details["status"], "pass", "{hello}");
    assert_eq!(details["componentType"], "datastore", "{hello}");
    assert!(
        details["time"]
            .as_str()
            .is_some_and(|time| time.contains('T'))
    );
    assert!(gateway.stop().success());
}

#[test]
fn data_in_memory_leaves_no_file() {
    let gateway = gateway()
        .conf(json!({"storage": {"type": "memory"}}))
        .start();
    assert!(!gateway.folder().join(FILE).exists());
    assert_eq!(
        gateway.get("/hello").json()["details"]["memory"]["status"],
        "pass"
    );
}

#[test]
fn checking_makes_no_file_and_needs_no_lock() {
    let running = gateway().start();
    let path = running.folder().join(FILE);
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    for command in ["check", "version"] {
        let builder = gateway().conf(json!({"storage": {"path": path.to_str().unwrap()}}));
        let ended = builder.run(&[command, "--conf", "tyk.conf"]);
        assert!(ended.status.success(), "{command}: {}", ended.log);
    }
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new");
    let builder = gateway().conf(json!({"storage": {"path": path.to_str().unwrap()}}));
    assert!(
        builder
            .run(&["check", "--conf", "tyk.conf"])
            .status
            .success()
    );
    assert!(!path.exists());
}

#[test]
fn two_gateways_do_not_share_a_file() {
    let first = gateway().start();
    let path = first.folder().join(FILE);
    let second = gateway()
        .conf(json!({"storage": {"path": path.to_str().unwrap()}}))
        .start_expecting_failure();
    assert!(!second.status.success());
    for part in [
        "storage.path",
        path.to_str().unwrap(),
        "in use by another process",
        "redis",
    ] {
        assert!(second.log.contains(part), "{part}: {}", second.log);
    }
    assert_eq!(first.get("/ready").status, 200);
}

#[test]
fn a_damaged_file_is_told_and_left_as_it_is() {
    for content in ["", "{}", "redb and then something else"] {
        let builder = gateway().file(FILE, content);
        let path = builder.folder().join(FILE);
        let kept = fs::File::open(&path).unwrap();
        let ended = builder.start_expecting_failure();
        assert!(!ended.status.success(), "{content:?}");
        for part in ["storage.path", "damaged", "move it away"] {
            assert!(ended.log.contains(part), "{part}: {}", ended.log);
        }
        assert_eq!(kept.metadata().unwrap().len(), content.len() as u64);
    }
}

#[test]
fn what_cannot_be_configured_is_told_with_its_key() {
    for (storage, parts) in [
        (
            json!({"path": "no/such/folder/file"}),
            ["storage.path", "No such file"],
        ),
        (json!({"path": "apps"}), ["storage.path", "Is a directory"]),
        (json!({"path": ""}), ["storage.path", "empty"]),
        (
            json!({"max_bytes": 10}),
            ["storage.max_bytes", "too little"],
        ),
        (json!({"type": "mongo"}), ["storage.type", "mongo"]),
    ] {
        let ended = gateway()
            .conf(json!({"storage": storage}))
            .start_expecting_failure();
        assert!(!ended.status.success(), "{storage}");
        for part in parts {
            assert!(ended.log.contains(part), "{part}: {}", ended.log);
        }
    }
}
