//! Bundles where the language does not matter: what is refused, and how they are fetched.

mod cli;
mod fetched;
mod kept;
mod killed;
mod placed;
mod refused;
mod signed;

use std::path::{Path, PathBuf};

use test_harness::{Bundle, Definition, Gateway, wait};

/// A bundle whose code no language has to understand: it is never asked for.
fn sample() -> Bundle {
    Bundle::new("cobol")
        .file("middleware.cob", "STOP RUN.")
        .pre("Hook")
}

/// An API that uses a bundle.
fn api(id: &str, bundle: &str) -> Definition {
    Definition::new(id).set("/custom_middleware_bundle", bundle)
}

/// What lies in the folder of bundles.
fn on_disk(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder.join("middleware/bundles")) else {
        return Vec::new();
    };
    let mut found: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// The folders of versions that lie there.
fn versions(folder: &Path) -> Vec<PathBuf> {
    let mut found = on_disk(folder);
    found.retain(|path| path.is_dir());
    found
}

/// Whether the gateway has loaded an API: its hooks may refuse, it is there.
#[track_caller]
fn assert_loaded(gateway: &Gateway, id: &str) {
    let response = gateway.get(&format!("/{id}/"));
    assert_ne!(response.status, 404, "{id} is not loaded: {response:?}");
}

/// Whether it has not, and what clients see of that.
#[track_caller]
fn assert_not_loaded(gateway: &Gateway, id: &str) {
    let response = gateway.get(&format!("/{id}/"));
    assert_eq!(
        (response.status, &*response.text()),
        (404, "Not Found"),
        "{id}: {response:?}"
    );
}

/// Waits until only the versions in use are left.
#[track_caller]
fn wait_for_versions(gateway: &Gateway, count: usize) {
    wait::until("old versions are removed", || {
        versions(gateway.folder()).len() == count
    });
}
