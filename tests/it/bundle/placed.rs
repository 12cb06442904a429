//! Bundles that an operator has placed in `<middleware_path>/bundles/<md5 of the name>/`.

use std::fs;

use serde_json::json;
use test_harness::bundle::md5_hex;
use test_harness::{BundleServer, GatewayBuilder};

use super::{api, assert_loaded, assert_not_loaded, sample};
use crate::gateway;

fn folder(builder: &GatewayBuilder) -> std::path::PathBuf {
    let name = md5_hex("b.zip");
    builder.folder().join("middleware/bundles").join(name)
}

fn placed() -> GatewayBuilder {
    let builder = gateway().with_plugins().api(api("a", "b.zip"));
    sample().place(&folder(&builder));
    builder
}

#[test]
fn a_placed_folder_is_used_while_nothing_is_downloaded() {
    for conf in [
        json!({"enable_bundle_downloader": false, "bundle_base_url": "http://127.0.0.1:1"}),
        json!({"enable_bundle_downloader": true}),
    ] {
        let gateway = placed().conf(conf).start();
        assert_loaded(&gateway, "a");
    }
}

#[test]
fn without_a_folder_the_message_says_where_it_would_be() {
    for (conf, told) in [
        (json!({}), "enable_bundle_downloader is off"),
        (
            json!({"enable_bundle_downloader": true}),
            "bundle_base_url is not set",
        ),
        (
            json!({"enable_bundle_downloader": true, "bundle_base_url": "ftp://h/"}),
            "https://",
        ),
    ] {
        let gateway = gateway().conf(conf).api(api("a", "b.zip")).start();
        assert_not_loaded(&gateway, "a");
        let ready = gateway.get("/ready").text();
        assert!(ready.contains(told), "`{told}` is missing in {ready}");
    }
}

#[test]
fn a_placed_folder_that_was_edited_is_refused() {
    let builder = placed();
    fs::write(folder(&builder).join("middleware.cob"), "edited").unwrap();
    let gateway = builder.start();
    assert_not_loaded(&gateway, "a");
    gateway.wait_for_log("invalid checksum");
}

#[test]
fn an_edited_folder_is_used_when_the_operator_says_so() {
    let builder = placed().conf(json!({"skip_verify_existing_plugin_bundle": true}));
    fs::write(folder(&builder).join("middleware.cob"), "edited").unwrap();
    let gateway = builder.start();
    assert_loaded(&gateway, "a");
}

#[test]
fn a_placed_folder_without_a_signature_is_refused_under_a_key() {
    let key = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/fixtures/bundles/public_2048.pem"
    );
    let gateway = placed().conf(json!({"public_key_path": key})).start();
    assert_not_loaded(&gateway, "a");
    gateway.wait_for_log("Bundle isn't signed");
}

#[test]
fn a_folder_that_lacks_something_is_told() {
    for (file, told) in [
        ("manifest.json", "manifest.json cannot be read"),
        ("middleware.cob", "lists `middleware.cob`"),
    ] {
        let builder = placed();
        fs::remove_file(folder(&builder).join(file)).unwrap();
        let gateway = builder.start();
        assert_not_loaded(&gateway, "a");
        gateway.wait_for_log(told);
    }
}

#[test]
fn a_placed_folder_stands_in_for_a_server_that_is_away() {
    let server = BundleServer::start();
    let builder = placed().conf(server.conf());
    let place = folder(&builder);
    let gateway = builder.start();
    assert_loaded(&gateway, "a");
    let warnings = gateway.get("/ready").json()["warnings"].to_string();
    assert!(warnings.contains("status code 404"), "{warnings}");
    assert!(place.exists(), "an operator's folder was removed");
}
