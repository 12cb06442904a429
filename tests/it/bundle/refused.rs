//! Every bundle that is wrong in some way: a clear message, nothing left on the disk, and no
//! other API hurt.

use serde_json::{Value, json};
use test_harness::bundle::{Entry, zip};
use test_harness::{Bundle, BundleServer, Definition, Upstream};

use super::{api, assert_not_loaded, on_disk, sample};
use crate::gateway;

/// A bundle, and what has to be said of it.
type Row = (Vec<u8>, &'static [&'static str]);

/// Serves each bundle to an API of its own, beside one without a bundle.
#[track_caller]
fn check(rows: Vec<Row>) {
    let upstream = Upstream::echo();
    let server = BundleServer::start();
    let mut builder = gateway()
        .with_plugins()
        .conf(server.conf())
        .api(Definition::new("plain").upstream(&upstream));
    for (index, (zip, _)) in rows.iter().enumerate() {
        let name = format!("b{index}.zip");
        server.put(&name, zip.clone());
        builder = builder.api(api(&format!("row{index}"), &name));
    }
    let gateway = builder.start();
    let ready = gateway.get("/ready");
    assert_eq!(ready.status, 503, "{ready:?}");
    let reasons: Vec<String> = serde_json::from_value(ready.json()["reasons"].clone()).unwrap();
    assert_eq!(reasons.len(), rows.len(), "{reasons:#?}");
    let mut wrong = Vec::new();
    for (index, (_, told)) in rows.iter().enumerate() {
        assert_not_loaded(&gateway, &format!("row{index}"));
        let own = format!("API `row{index}`: bundle `b{index}.zip`: ");
        let reason = reasons.iter().find(|reason| reason.contains(&own));
        let said = reason.is_some_and(|reason| told.iter().all(|part| reason.contains(part)));
        if !said {
            wrong.push((told, reason));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(gateway.get("/plain/").status, 200);
    assert_eq!(on_disk(gateway.folder()), Vec::<std::path::PathBuf>::new());
    assert!(
        !gateway.folder().join("escaped").exists() && !gateway.folder().join("apps/x").exists(),
        "a file was written outside"
    );
}

/// The sample's archive with one more entry.
fn with(entry: Entry) -> Vec<u8> {
    let mut entries = sample().entries();
    entries.push(Entry::new("manifest.json", sample().manifest().to_string()));
    entries.push(entry);
    zip(&entries)
}

fn named(name: &str) -> Vec<u8> {
    with(Entry::new(name, "x"))
}

fn of_mode(mode: u32) -> Vec<u8> {
    with(Entry {
        mode,
        ..Entry::new("special", "/etc/passwd")
    })
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    check(vec![
        (named("../escaped"), &["`../escaped`", "`..`"]),
        (named("a/../../escaped"), &["`a/../../escaped`", "`..`"]),
        (named("vendor/.."), &["`vendor/..`", "`..`"]),
        (named("/tmp/escaped"), &["`/tmp/escaped`", "absolute"]),
        (named("C:escaped"), &["`C:escaped`", "drive"]),
        (named("C:\\escaped"), &["escaped`", "backslash"]),
        (named("..\\escaped"), &["escaped`", "backslash"]),
        (named("a\0b"), &["`a\\x00b`", "control"]),
        (named("a\nb"), &["`a\\nb`", "control"]),
        (named("a//b"), &["`a//b`", "empty"]),
        (named(""), &["``", "empty"]),
        (named("../"), &["`../`", "`..`"]),
        (named("/"), &["`/`", "empty"]),
        (with(Entry::new(b"\xff.py", "x")), &["`\\xff.py`", "UTF-8"]),
        (named(&"x/".repeat(600)), &["1024"]),
        (named(&"x".repeat(300)), &["255"]),
    ]);
}

#[test]
fn two_entries_of_one_name_are_refused() {
    check(vec![
        (named("middleware.cob"), &["two entries of one name"]),
        (named("Middleware.cob"), &["`Middleware.cob`", "case"]),
        (named("MANIFEST.JSON"), &["`MANIFEST.JSON`", "case"]),
        (named("./middleware.cob"), &["`./middleware.cob`", "twice"]),
        (named("middleware.cob/"), &["middleware.cob", "twice"]),
    ]);
}

#[test]
fn what_is_no_plain_file_is_refused() {
    check(vec![
        (of_mode(0o120_777), &["`special`", "symbolic link"]),
        (of_mode(0o010_644), &["`special`", "neither"]),
        (of_mode(0o020_644), &["`special`", "neither"]),
        (of_mode(0o060_644), &["`special`", "neither"]),
        (of_mode(0o140_644), &["`special`", "neither"]),
        (of_mode(0o040_755), &["`special`", "neither"]),
        (
            with(Entry {
                flags: 1,
                ..Entry::new("secret", "x")
            }),
            &["`secret`", "encrypted"],
        ),
    ]);
}

#[test]
fn what_is_too_large_is_refused() {
    let zeros = |length: usize| Entry {
        deflated: true,
        ..Entry::new("zeros", vec![0; length])
    };
    let claims = |claimed: u32| Entry {
        claimed: Some(claimed),
        ..Entry::new("middleware.cob", "STOP RUN.")
    };
    let lying = |claimed: u32| {
        let manifest = Entry::new("manifest.json", sample().manifest().to_string());
        zip(&[claims(claimed), manifest])
    };
    let many: Vec<_> = (0..20_001)
        .map(|index| Entry::new(format!("f{index}"), ""))
        .collect();
    let mut long = sample().manifest();
    long["comment"] = Value::from("x".repeat(1024 * 1024));
    let listed: Vec<_> = (0..10_001).map(|index| format!("f{index}")).collect();
    let mut many_listed = sample().manifest();
    many_listed["file_list"] = json!(listed);
    check(vec![
        (with(zeros(8 * 1024 * 1024)), &["`zeros`", "200 times"]),
        (
            lying(100 * 1024 * 1024),
            &["`middleware.cob`", "longer than"],
        ),
        (lying(3), &["`middleware.cob`"]),
        (lying(30), &["`middleware.cob`"]),
        (zip(&many), &["more than 20000 entries"]),
        (sample().zip_with(&long), &["manifest.json", "1048576"]),
        (sample().zip_with(&many_listed), &["file_list", "10001"]),
    ]);
}

#[test]
fn what_is_no_archive_is_refused() {
    let whole = sample().zip();
    let mut damaged = whole.clone();
    // In the middle of the code, which is stored as it is.
    damaged[50] ^= 0x20;
    check(vec![
        (Vec::new(), &["not a zip file"]),
        (b"<html>not found</html>".to_vec(), &["not a zip file"]),
        (vec![0; 100_000], &["not a zip file"]),
        (whole[..whole.len() / 2].to_vec(), &["not a zip file"]),
        (damaged, &["middleware.cob"]),
        (zip(&[]), &["no manifest.json"]),
        (zip(&sample().entries()), &["no manifest.json"]),
        (
            zip(&[Entry::new("sub/manifest.json", "{}")]),
            &["no manifest.json"],
        ),
    ]);
}

#[test]
fn manifests_that_cannot_be_used_are_refused() {
    let raw = |text: &str| {
        let mut entries = sample().entries();
        entries.push(Entry::new("manifest.json", text));
        zip(&entries)
    };
    let set = |pointer: &str, value: Value| {
        let mut manifest = sample().manifest();
        *manifest.pointer_mut(pointer).unwrap() = value;
        sample().zip_with(&manifest)
    };
    let other_files = |files: Value| set("/file_list", files);
    check(vec![
        (raw(""), &["manifest.json", "EOF"]),
        (raw("{"), &["manifest.json:1:1", "EOF"]),
        (raw("[1]"), &["manifest.json"]),
        (raw("\u{feff}{}"), &["manifest.json"]),
        (raw(&"[".repeat(100_000)), &["manifest.json", "recursion"]),
        (raw("{}"), &["no hooks"]),
        (raw("null"), &["manifest.json"]),
        (set("/custom_middleware", json!(null)), &["no hooks"]),
        (set("/custom_middleware", json!([])), &["custom_middleware"]),
        (set("/custom_middleware/pre", json!([])), &["no hooks"]),
        (
            set("/custom_middleware/pre", json!("Hook")),
            &["custom_middleware.pre", "expected a sequence"],
        ),
        (
            set("/custom_middleware/pre/0/name", json!(3)),
            &["custom_middleware.pre[0].name"],
        ),
        (
            set("/custom_middleware/driver", json!(["x"])),
            &["custom_middleware.driver"],
        ),
        (set("/checksum", json!(null)), &["invalid checksum"]),
        (set("/checksum", json!(1)), &["checksum: invalid type"]),
        (
            set("/checksum", json!("d41d8cd98f00b204e9800998ecf8427e")),
            &["invalid checksum", "d41d8cd98f00b204e9800998ecf8427e"],
        ),
        (other_files(json!(null)), &["invalid checksum"]),
        (other_files(json!({})), &["file_list: invalid type"]),
        (other_files(json!([null, 3])), &["file_list"]),
        (
            other_files(json!(["absent.py"])),
            &["lists `absent.py`, which is not in the bundle"],
        ),
        (other_files(json!(["../apps/x"])), &["file_list[0]", "`..`"]),
        (
            other_files(json!(["middleware.cob", "./middleware.cob"])),
            &["file_list[1]", "twice"],
        ),
        (
            other_files(json!(["manifest.json"])),
            &["file_list[0]", "itself"],
        ),
    ]);
}

#[test]
fn names_of_bundles_are_checked() {
    let upstream = Upstream::echo();
    let server = BundleServer::start();
    server.put("b.zip", sample().zip());
    let names = [
        ("b.zip,c.zip", "comma"),
        ("../b.zip", "`..`"),
        ("a\\b.zip", "backslash"),
        ("a\nb.zip", "control"),
        ("/", "empty"),
    ];
    let mut builder = gateway()
        .conf(server.conf())
        .api(Definition::new("plain").upstream(&upstream));
    for (index, (name, _)) in names.iter().enumerate() {
        builder = builder.api(api(&format!("row{index}"), name));
    }
    let gateway = builder.start();
    let ready = gateway.get("/ready").text();
    for (index, (_, told)) in names.iter().enumerate() {
        assert_not_loaded(&gateway, &format!("row{index}"));
        assert!(ready.contains(told), "`{told}` is missing in {ready}");
    }
    assert_eq!(gateway.get("/plain/").status, 200);
    assert!(server.requests().is_empty(), "a bad name was asked for");
}

#[test]
fn a_bundle_of_hooks_without_files_is_fine() {
    let server = BundleServer::start();
    server.put("b.zip", Bundle::new("cobol").pre("Hook").zip());
    let gateway = gateway()
        .with_plugins()
        .conf(server.conf())
        .api(api("a", "b.zip"))
        .start();
    super::assert_loaded(&gateway, "a");
}
