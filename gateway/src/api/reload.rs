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
        let strict = loader.config.http_server_options.enable_strict_routes;
        let table = loader.load().unwrap_or_else(|problem| {
            error!(problem, "No API is loaded.");
            ApiTable {
                problems: vec![problem],
                ..ApiTable::empty(strict)
            }
        });
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

    /// Reads definitions and plugin code again. When it returns `Ok`, new requests are
    /// served by what was read; after an error the old table goes on serving.
    pub async fn reload(&self) -> Result<(), String> {
        let _one_at_a_time = self.running.lock().await;
        let began = Instant::now();
        let loader = Arc::clone(&self.loader);
        let loading = tokio::task::spawn_blocking(move || loader.load());
        let outcome = loading.await.unwrap_or_else(|error| Err(error.to_string()));
        match outcome {
            Ok(table) => {
                let apis = table.apis.len();
                self.table.store(Arc::new(table));
                info!(apis, took = ?began.elapsed(), "Reloaded.");
                Ok(())
            }
            Err(problem) => {
                error!(
                    problem,
                    "Reload failed, what was loaded before goes on serving."
                );
                Err(problem)
            }
        }
    }
}
