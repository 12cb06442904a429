//! How bundles are fetched: from which server, how often, and what happens when it fails.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;
use test_harness::bundle::md5_hex;
use test_harness::upstream::response;
use test_harness::{Bundle, BundleServer, Definition, Gateway, Upstream, wait};

use super::{api, assert_loaded, assert_not_loaded, on_disk, sample, versions, wait_for_versions};
use crate::gateway;

/// The sample with other code.
pub(super) fn version(code: &str) -> Bundle {
    Bundle::new("cobol")
        .file("middleware.cob", code)
        .pre("Hook")
}

/// What the admin API says of the bundle of the API `a`.
#[track_caller]
pub(super) fn shown(gateway: &Gateway) -> serde_json::Value {
    gateway.admin("/tyk/apis/a/plugins").json()["bundle"].clone()
}

pub(super) fn start(server: &BundleServer) -> Gateway {
    gateway()
        .with_plugins()
        .conf(server.conf())
        .api(api("a", "b.zip"))
        .start()
}

#[test]
fn a_bundle_comes_from_the_base_url() {
    let server = BundleServer::start();
    server.put("team/b.zip", sample().zip());
    let gateway = gateway()
        .with_plugins()
        .conf(server.conf())
        .api(api("a", "team/b.zip"))
        .start();
    assert_loaded(&gateway, "a");
    let bundle = shown(&gateway);
    assert_eq!(bundle["name"], "team/b.zip");
    assert_eq!(bundle["content"].as_str().map(str::len), Some(64));
    assert!(bundle["source"].as_str().unwrap().ends_with("/team/b.zip"));
    assert!(bundle["fetched_at"].as_u64() > Some(1_700_000_000));
    assert_eq!(bundle.get("stale"), None);
}

#[test]
fn a_bundle_comes_from_a_folder() {
    let builder = gateway().file("srv/my bundles/b.zip", sample().zip());
    let url = format!("file://{}/srv/my%20bundles", builder.folder().display());
    let gateway = builder
        .with_plugins()
        .conf(json!({"enable_bundle_downloader": true, "bundle_base_url": url}))
        .api(api("a", "b.zip"))
        .start();
    assert_loaded(&gateway, "a");
    let before = shown(&gateway)["content"].clone();
    gateway.write("srv/my bundles/b.zip", version("changed").zip());
    gateway.reload();
    assert_ne!(shown(&gateway)["content"], before);
    fs::remove_file(gateway.folder().join("srv/my bundles/b.zip")).unwrap();
    gateway.reload();
    assert_loaded(&gateway, "a");
    assert!(
        shown(&gateway)["stale"]
            .to_string()
            .contains("cannot be read")
    );
}

#[test]
fn apis_share_one_download() {
    let server = BundleServer::start();
    server.put("b.zip", sample().zip());
    let gateway = gateway()
        .with_plugins()
        .conf(server.conf())
        .api(api("a", "b.zip"))
        .api(api("b", "b.zip"))
        .api(api("off", "c.zip").set("/custom_middleware_bundle_disabled", true))
        .start();
    assert_loaded(&gateway, "a");
    assert_loaded(&gateway, "b");
    assert_loaded(&gateway, "off");
    assert_eq!(server.requests().len(), 1, "{:#?}", server.requests());
}

#[test]
fn a_server_that_fails_for_a_moment_is_asked_again() {
    let server = BundleServer::start();
    server.put("b.zip", sample().zip());
    server.script(vec![
        response(500, "text/plain", b"one"),
        response(429, "text/plain", b"two"),
        b"garbage\r\n\r\n".to_vec(),
    ]);
    let gateway = start(&server);
    assert_loaded(&gateway, "a");
    assert_eq!(server.requests().len(), 4);
    gateway.wait_for_log_with(&["HTTP Error, got status code 500", "attempt=1"]);
}

#[test]
fn a_server_that_breaks_off_is_asked_again() {
    let server = BundleServer::start();
    server.put("b.zip", sample().zip());
    let upstream = Upstream::echo();
    let whole = response(200, "application/zip", &sample().zip());
    // The rest never comes: the next bytes on the connection are another answer's.
    let half = whole[..whole.len() / 2].to_vec();
    let broken = Upstream::replying_once(half);
    let conf = json!({"enable_bundle_downloader": true, "bundle_base_url": broken.url("")});
    let gateway = gateway()
        .conf(conf)
        .api(api("a", "b.zip"))
        .api(Definition::new("plain").upstream(&upstream))
        .start();
    assert_not_loaded(&gateway, "a");
    assert_eq!(gateway.get("/plain/").status, 200);
    assert_eq!(broken.received().len(), 5);
    assert_eq!(on_disk(gateway.folder()).len(), 0);
}

#[test]
fn redirections_are_followed_within_bounds() {
    let elsewhere = BundleServer::start();
    elsewhere.put("there.zip", sample().zip());
    let to = |location: &str| {
        format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
            .into_bytes()
    };
    let server = BundleServer::start();
    let there = elsewhere.conf()["bundle_base_url"]
        .as_str()
        .unwrap()
        .to_owned()
        + "/there.zip";
    server.script(vec![to("/first"), to(&there)]);
    let gateway = start(&server);
    assert_loaded(&gateway, "a");
    assert_eq!(server.requests()[1].target, "/first");
    assert_eq!(elsewhere.requests().len(), 1);
    let endless = BundleServer::start();
    endless.script((0..100).map(|_| to("/again")).collect());
    let gateway = start(&endless);
    assert_not_loaded(&gateway, "a");
    gateway.wait_for_log("redirected more than 5 times");
    assert_eq!(endless.requests().len(), 6);
}

#[test]
fn what_the_server_has_not_is_asked_for_once() {
    let server = BundleServer::start();
    let gateway = start(&server);
    assert_not_loaded(&gateway, "a");
    assert_eq!(server.requests().len(), 1);
    let ready = gateway.get("/ready").text();
    assert!(ready.contains("HTTP Error, got status code 404"), "{ready}");
    server.put("b.zip", sample().zip());
    gateway.reload();
    assert_loaded(&gateway, "a");
}

#[test]
fn slow_servers_are_waited_for_at_the_same_time() {
    let silent = Upstream::serving(|connection| while connection.read_some().is_some() {});
    let mut builder = gateway()
        .conf(json!({"enable_bundle_downloader": true, "bundle_base_url": silent.url("")}));
    for index in 0..11 {
        builder = builder.api(api(&format!("a{index}"), &format!("b{index}.zip")));
    }
    let builder = builder.api(api("a", "b.zip"));
    let began = Instant::now();
    let ended = builder.run(&["check", "--conf", "tyk.conf"]);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    assert!(
        ended.log.contains("no complete answer in 5s"),
        "{}",
        ended.log
    );
    // Five tries of 5 seconds and the pauses between them are 32.5 seconds. Eight bundles
    // wait for so long at once, the others for one try after them.
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "one after another"
    );
    assert_eq!(silent.connections(), 8 * 5 + 4);
}

#[test]
fn a_reload_of_what_did_not_change_is_cheap() {
    let server = BundleServer::start();
    server.use_tags();
    server.put("b.zip", sample().zip());
    let gateway = start(&server);
    let before = shown(&gateway);
    let folder = versions(gateway.folder());
    for _ in 0..3 {
        gateway.reload();
    }
    let asked = server.requests();
    assert_eq!(asked.len(), 4);
    assert!(
        asked[1..]
            .iter()
            .all(|one| one.header("If-None-Match").is_some())
    );
    assert_eq!(shown(&gateway), before);
    assert_eq!(versions(gateway.folder()), folder);
}

#[test]
fn a_changed_bundle_takes_the_place_of_the_old_one() {
    for tags in [true, false] {
        let server = BundleServer::start();
        if tags {
            server.use_tags();
        }
        server.put("b.zip", version("one").zip());
        let gateway = start(&server);
        let one = shown(&gateway);
        server.put("b.zip", version("two").zip());
        gateway.reload();
        let two = shown(&gateway);
        assert_ne!(one["content"], two["content"]);
        wait_for_versions(&gateway, 1);
        server.put("b.zip", version("one").zip());
        gateway.reload();
        assert_eq!(shown(&gateway)["content"], one["content"]);
        wait_for_versions(&gateway, 1);
    }
}

#[test]
fn a_server_that_goes_bad_leaves_the_last_good_version() {
    let server = BundleServer::start();
    server.put("b.zip", sample().zip());
    let gateway = start(&server);
    let before = shown(&gateway);
    let mut bad = sample().manifest();
    bad["checksum"] = json!("0");
    for (zip, told) in [
        (b"garbage".to_vec(), "not a zip file"),
        (sample().zip_with(&bad), "invalid checksum"),
        (sample().zip_with(&json!({})), "no hooks"),
    ] {
        server.put("b.zip", zip);
        gateway.reload();
        assert_loaded(&gateway, "a");
        let now = shown(&gateway);
        assert_eq!(now["content"], before["content"]);
        assert!(now["stale"].to_string().contains(told), "{now}");
        let warnings = gateway.get("/ready").json()["warnings"].to_string();
        assert!(warnings.contains(told), "{warnings}");
        gateway.wait_for_log_with(&["its last good version serves", told]);
    }
    server.put("b.zip", version("good again").zip());
    gateway.reload();
    assert_ne!(shown(&gateway)["content"], before["content"]);
    assert_eq!(shown(&gateway).get("stale"), None);
    wait_for_versions(&gateway, 1);
}

#[test]
fn the_last_good_version_is_found_after_a_restart() {
    let server = BundleServer::start();
    server.use_tags();
    server.put("b.zip", sample().zip());
    let gateway = start(&server);
    let before = shown(&gateway);
    server.go_away(true);
    let gateway = gateway.restart();
    assert_loaded(&gateway, "a");
    let now = shown(&gateway);
    assert_eq!(
        (&now["content"], &now["fetched_at"], &now["source"]),
        (&before["content"], &before["fetched_at"], &before["source"])
    );
    assert!(now["stale"].is_string(), "{now}");
    server.go_away(false);
    gateway.reload();
    assert_eq!(shown(&gateway), before);
    let asked = server.requests();
    assert!(asked.last().unwrap().header("If-None-Match").is_some());
}

#[test]
fn an_edited_version_on_the_disk_is_not_trusted_after_a_restart() {
    let server = BundleServer::start();
    server.put("b.zip", sample().zip());
    let gateway = start(&server);
    let folder = versions(gateway.folder()).remove(0);
    fs::write(folder.join("middleware.cob"), "edited").unwrap();
    server.go_away(true);
    let gateway = gateway.restart();
    assert_not_loaded(&gateway, "a");
    gateway.wait_for_log("invalid checksum");
    server.go_away(false);
    gateway.reload();
    assert_loaded(&gateway, "a");
    let code = fs::read_to_string(folder.join("middleware.cob")).unwrap();
    assert_eq!(code, "STOP RUN.", "the edited file stays");
}

#[test]
fn a_bundle_that_no_api_names_is_forgotten() {
    let server = BundleServer::start();
    server.put("b.zip", sample().zip());
    let gateway = start(&server);
    assert_eq!(versions(gateway.folder()).len(), 1);
    gateway.write("apps/broken.json", "{");
    gateway.remove_api("a");
    gateway.reload();
    assert_eq!(
        versions(gateway.folder()).len(),
        1,
        "the broken definition may be the one that names it"
    );
    fs::remove_file(gateway.folder().join("apps/broken.json")).unwrap();
    gateway.reload();
    wait::until("the bundle is removed", || {
        on_disk(gateway.folder()).is_empty()
    });
}

#[test]
fn what_a_killed_process_left_is_removed_and_nothing_else() {
    let builder = gateway();
    let bundles = builder.folder().join("middleware/bundles");
    let version = format!("{}-{}", md5_hex("b.zip"), "0".repeat(64));
    for left in [".draft-abc", ".old-abc", version.as_str()] {
        fs::create_dir_all(bundles.join(left).join("vendor")).unwrap();
        fs::write(bundles.join(left).join("vendor/x.py"), "x").unwrap();
    }
    let mine = [md5_hex("b.zip"), "my-notes".into(), "README".into()];
    for stays in &mine {
        fs::create_dir_all(bundles.join(stays)).unwrap();
    }
    let gateway = builder.start();
    let mut expected: Vec<_> = mine.iter().map(|name| bundles.join(name)).collect();
    expected.sort();
    assert_eq!(on_disk(gateway.folder()), expected);
}

#[test]
fn two_processes_share_the_folder_of_bundles() {
    let server = BundleServer::start();
    server.put("b.zip", version("one").zip());
    let first = start(&server);
    let one = versions(first.folder());
    let middleware = first.folder().join("middleware");
    server.put("b.zip", version("two").zip());
    let second = gateway()
        .with_plugins()
        .conf(server.conf())
        .conf(json!({"middleware_path": middleware}))
        .api(api("a", "b.zip"))
        .start();
    assert_loaded(&second, "a");
    assert!(one[0].exists(), "a version in use was removed");
    assert_eq!(versions(first.folder()).len(), 2);
    drop(second);
    first.reload();
    wait_for_versions(&first, 1);
    assert!(!one[0].exists());
}
