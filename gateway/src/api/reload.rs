//! Swaps the table of APIs while requests go on.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;
use tracing::{error, info};

use super::ApiTable;
use super::loader::Loader;

/// Loads a new table and puts it in the place of the old one. Requests in flight finish on
/// the old one, which is dropped with the last of them.
pub struct Reloader {
    loader: Arc<Loader>,
    table: Arc<ArcSwap<ApiTable>>,
    /// One load at a time: interpreters and files are shared.
    running: Mutex<()>,
}

impl Reloader {
    /// Loads the first table, blocking.
    pub fn start(loader: Loader) -> Self {
        let table = loader.load();
        Self {
            loader: Arc::new(loader),
            table: Arc::new(ArcSwap::from_pointee(table)),
            running: Mutex::new(()),
        }
    }

    /// The table that changes with each reload.
    pub fn table(&self) -> &Arc<ArcSwap<ApiTable>> {
        &self.table
    }

    /// Reads definitions and plugin code again. When it returns, new requests are served by
    /// what was read.
    pub async fn reload(&self) {
        let _one_at_a_time = self.running.lock().await;
        let began = Instant::now();
        let loader = Arc::clone(&self.loader);
        match tokio::task::spawn_blocking(move || loader.load()).await {
            Ok(table) => {
                let apis = table.apis.len();
                self.table.store(Arc::new(table));
                info!(apis, took = ?began.elapsed(), "Reloaded.");
            }
            // The old table goes on serving.
            Err(error) => error!(%error, "Reload failed."),
        }
    }
}
