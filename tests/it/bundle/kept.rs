//! What stays on the disk and what does not, and loads that do not wait for each other.

use std::fs;
use std::process::Command;

use serde_json::json;
use test_harness::bundle::md5_hex;
use test_harness::upstream::response;
use test_harness::{BundleServer, wait};

use super::fetched::{shown, start, version};
use super::{api, assert_loaded, assert_not_loaded, on_disk, sample, versions};
use crate::gateway;

#[test]
fn a_version_that_cannot_be_remembered_leaves_the_one_that_is() {
    let server = BundleServer::start();
    server.put("b.zip", version("one").zip());
    server.put("c.zip", version("one").zip());
    let gateway = gateway()
        .with_plugins()
        .conf(server.conf())
        .api(api("a", "b.zip"))
        .api(api("c", "c.zip"))
        .start();
    let one = shown(&gateway);
    let record = gateway
        .folder()
        .join("middleware/bundles")
        .join(md5_hex("b.zip") + ".json");
    let kept = fs::read(&record).unwrap();
    // No file can take the place of a folder.
    fs::remove_file(&record).unwrap();
    fs::create_dir(&record).unwrap();
    server.put("b.zip", version("two").zip());
    server.put("c.zip", version("two").zip());
    gateway.reload();
    assert_ne!(shown(&gateway)["content"], one["content"]);
    // Once that of the other bundle is gone, nothing uses the old versions any more.
    wait::until("old versions are removed", || {
        let mut found = versions(gateway.folder());
        let key = md5_hex("c.zip");
        found.retain(|path| path.to_string_lossy().contains(&key));
        found.len() == 1
    });
    gateway.wait_for_log("Version is not remembered");
    fs::remove_dir(&record).unwrap();
    fs::write(&record, kept).unwrap();
    server.go_away(true);
    let gateway = gateway.restart();
    assert_eq!(shown(&gateway)["content"], one["content"]);
}

#[test]
fn a_start_tries_once_where_a_good_version_is_there_and_again_in_the_background() {
    let server = BundleServer::start();
    server.use_tags();
    server.put("b.zip", version("one").zip());
    let gateway = start(&server);
    let one = shown(&gateway);
    server.put("b.zip", version("two").zip());
    server.script(vec![response(500, "text/plain", b"not yet")]);
    let gateway = gateway.restart();
    gateway.wait_for_log_with(&["its last good version serves", "status code 500"]);
    wait::until("the new version serves", || {
        let now = shown(&gateway);
        now["content"] != one["content"] && now.get("stale").is_none()
    });
    assert_eq!(server.requests().len(), 3, "{:#?}", server.requests());
}

#[test]
fn reloads_that_wait_become_one() {
    let builder = gateway().file("srv/b.zip", sample().zip());
    let url = format!("file://{}/srv", builder.folder().display());
    let gateway = builder
        .with_plugins()
        .conf(json!({"enable_bundle_downloader": true, "bundle_base_url": url}))
        .api(api("a", "b.zip"))
        .start();
    let bundle = gateway.folder().join("srv/b.zip");
    fs::remove_file(&bundle).unwrap();
    let made = Command::new("mkfifo").arg(&bundle).status();
    assert!(made.expect("`mkfifo` is of coreutils").success());
    assert_eq!(gateway.admin("/tyk/reload").status, 200);
    // It opens once the load reads it, which ends when this does.
    let held = fs::OpenOptions::new().write(true).open(&bundle).unwrap();
    fs::remove_file(&bundle).unwrap();
    gateway.write("srv/b.zip", version("two").zip());
    for _ in 0..8 {
        assert_eq!(gateway.admin("/tyk/reload").status, 200);
    }
    drop(held);
    gateway.reload();
    assert_eq!(shown(&gateway).get("stale"), None);
    let loads = || gateway.log().text().matches("Reloaded.").count();
    // What the process has written may still be on its way here.
    test_harness::wait::until("the last load in the log", || loads() >= 2);
    assert!(loads() <= 3, "{} loads", loads());
}

#[test]
fn a_bundle_that_a_restart_no_longer_names_is_removed() {
    let server = BundleServer::start();
    server.put("b.zip", sample().zip());
    let gateway = start(&server);
    gateway.write("apps/broken.json", "{");
    gateway.remove_api("a");
    let gateway = gateway.restart();
    assert_eq!(
        on_disk(gateway.folder()).len(),
        2,
        "the broken definition may be the one that names it"
    );
    fs::remove_file(gateway.folder().join("apps/broken.json")).unwrap();
    gateway.reload();
    assert!(on_disk(gateway.folder()).is_empty());
}

#[test]
fn what_another_process_uses_is_not_forgotten() {
    let server = BundleServer::start();
    server.put("b.zip", sample().zip());
    let first = start(&server);
    let before = on_disk(first.folder());
    let second = gateway()
        .conf(json!({"middleware_path": first.folder().join("middleware")}))
        .start();
    second.reload();
    assert_eq!(on_disk(first.folder()), before);
}

#[test]
fn a_version_that_another_process_uses_is_verified_again() {
    let server = BundleServer::start();
    server.put("b.zip", sample().zip());
    let first = start(&server);
    let folder = versions(first.folder()).remove(0);
    fs::write(folder.join("middleware.cob"), "edited").unwrap();
    let second = gateway()
        .with_plugins()
        .conf(server.conf())
        .conf(json!({"middleware_path": first.folder().join("middleware")}))
        .api(api("a", "b.zip"))
        .start();
    assert_not_loaded(&second, "a");
    let ready = second.get("/ready").text();
    assert!(ready.contains("invalid checksum"), "{ready}");
    assert_loaded(&first, "a");
}
