//! A process that is killed while it unpacks: nothing of it is ever used.

use std::fs;

use test_harness::{Bundle, BundleServer, wait};

use super::{api, assert_loaded, assert_not_loaded, on_disk, versions};
use crate::gateway;

/// Long enough to be met while it is unpacked and verified.
fn large() -> Bundle {
    let mut bundle = Bundle::new("cobol").pre("Hook");
    for index in 0..6_u8 {
        bundle = bundle.file(&format!("data/{index}.bin"), vec![index; 8 * 1024 * 1024]);
    }
    bundle
}

#[test]
fn a_kill_while_a_bundle_is_unpacked_leaves_nothing_that_is_used() {
    let server = BundleServer::start();
    server.put("b.zip", large().zip());
    let mut gateway = gateway().with_plugins().conf(server.conf()).start();
    for round in 0..3 {
        server.go_away(false);
        gateway.write_api(&api("a", "b.zip"));
        assert_eq!(gateway.admin("/tyk/reload").status, 200);
        let drafts = || {
            let mut found = on_disk(gateway.folder());
            found.retain(|path| {
                let name = path.file_name().unwrap().to_str().unwrap();
                name.starts_with(".draft-") && path.is_dir()
            });
            found
        };
        wait::until("it is being unpacked", || {
            let files = |path: &std::path::PathBuf| {
                fs::read_dir(path.join("data")).map_or(0, Iterator::count)
            };
            // Another moment each time.
            drafts().iter().any(|path| files(path) > round * 2)
        });
        server.go_away(true);
        gateway = gateway.restart();
        assert_not_loaded(&gateway, "a");
        assert_eq!(on_disk(gateway.folder()).len(), 0, "round {round}");
    }
    server.go_away(false);
    gateway.reload();
    assert_loaded(&gateway, "a");
    assert_eq!(versions(gateway.folder()).len(), 1);
}
