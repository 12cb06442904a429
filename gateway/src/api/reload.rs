//! Swaps the table of APIs while requests go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
    /// How many reloads have been asked for.
    asked: AtomicU64,
    /// One load at a time: interpreters and files are shared.
    last: Mutex<Last>,
}

/// The load that ended last.
struct Last {
    /// How many had asked when it began: it was for all of them.
    answers: u64,
    outcome: Result<(), String>,
}

impl Reloader {
    /// Loads the first table, blocking.
    pub fn start(loader: Loader) -> Self {
        let strict = loader.config.http_server_options.enable_strict_routes;
        let table = loader.load_first().unwrap_or_else(|problem| {
            error!(problem, "No API is loaded.");
            ApiTable {
                problems: vec![problem],
                ..ApiTable::empty(strict)
            }
        });
        loader.uptime.follow(table.apis.values());
        Self {
            loader: Arc::new(loader),
            table: Arc::new(ArcSwap::from_pointee(table)),
            asked: AtomicU64::new(0),
            last: Mutex::new(Last {
                answers: 0,
                outcome: Ok(()),
            }),
        }
    }

    /// What loads the tables.
    pub fn loader(&self) -> &Arc<Loader> {
        &self.loader
    }

    /// The table that changes with each reload.
    pub fn table(&self) -> &Arc<ArcSwap<ApiTable>> {
        &self.table
    }

    /// Reads definitions and plugin code again. When it returns `Ok`, new requests are
    /// served by what was read; after an error the old table goes on serving.
    ///
    /// A load that began after the call, for whomever, is good enough. So one runs and one
    /// waits at most, however many ask.
    pub fn reload(self: Arc<Self>) -> impl Future<Output = Result<(), String>> + Send {
        let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            let mut last = self.last.lock().await;
            if last.answers < number {
                let answers = self.asked.load(Ordering::SeqCst);
                let outcome = self.load().await;
                *last = Last { answers, outcome };
            }
            last.outcome.clone()
        }
    }

    async fn load(&self) -> Result<(), String> {
        let began = Instant::now();
        let loader = Arc::clone(&self.loader);
        let loading = tokio::task::spawn_blocking(move || loader.load());
        let outcome = loading.await.unwrap_or_else(|error| Err(error.to_string()));
        match outcome {
            Ok(table) => {
                let apis = table.apis.len();
                self.loader.uptime.follow(table.apis.values());
                self.loader.tallies.tidy();
                self.table.store(Arc::new(table));
                self.loader.certificates.loaded.notify_one();
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
