//! The life of the process: build → serve → drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use coprocess_core::{Host, LanguageRegistry, ffi};
use tokio::runtime::{Handle, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::admin::{self, Control};
use crate::api::drivers::Drivers;
use crate::api::loader::Loader;
use crate::api::reload::Reloader;
use crate::bundle::{self, Bundles};
use crate::cache::Responses;
use crate::certificates::{Certificates, Sources, expiry};
use crate::check::Report;
use crate::config::Config;
use crate::coprocess::{data::PluginData, host::GatewayHost};
use crate::events::{self, Events, HandlerReport};
use crate::jwt::jwks::Jwks;
use crate::limits::Limits;
use crate::server::{self, Server, ServerError};
use crate::session::Sessions;
use crate::storage::{self, MemoryStore, Store};
use crate::tally::Tallies;
use crate::tls::TlsError;
use crate::tls::server::Termination;
use crate::uptime::Uptime;

/// Longest wait for the disk at the end.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// How long the end of the process waits for sessions to be saved.
const LAST_SAVES: Duration = Duration::from_secs(5);

/// How long the handlers of the last events may take.
const LAST_EVENTS: Duration = Duration::from_secs(3);

/// A gateway that is built: plugins and APIs are loaded, nothing listens yet.
pub struct Gateway {
    config: Arc<Config>,
    control: Control,
    control_runtime: Runtime,
    drivers: Arc<Drivers>,
    events: Events,
    termination: Option<Arc<Termination>>,
    /// How the handlers of system events fared.
    system_handlers: Vec<HandlerReport>,
}

/// Why a process cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A thread or runtime did not start.
    #[error("cannot start: {0}")]
    Start(#[from] std::io::Error),
    /// The sockets.
    #[error("{0}")]
    Server(#[from] ServerError),
    /// The store.
    #[error("{0}")]
    Storage(#[from] storage::OpenError),
    /// Certificates, or what else TLS needs.
    #[error("{0}")]
    Tls(#[from] TlsError),
}

/// What a gateway is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To serve.
    Serve,
    /// To see whether it could serve. Nothing outside of the process is changed: the store
    /// is one in memory. Bundles are fetched, and their server is waited for as in a reload.
    Check,
}

impl Gateway {
    /// Loads the APIs. Called on the main thread.
    pub fn build(
        config: Config,
        registry: &LanguageRegistry,
        purpose: Purpose,
    ) -> Result<Self, GatewayError> {
        let config = Arc::new(config);
        let control_runtime = control_runtime()?;
        let store = store(&config, purpose, control_runtime.handle())?;
        let certificates = certificates(&config, &store, purpose);
        let sources = Sources::new(&certificates);
        let termination = Termination::new(&config.http_server_options, &sources)?.map(Arc::new);
        let (sessions, writer) = Sessions::new(config.sessions(), Arc::clone(&store));
        control_runtime.spawn(writer.run());
        let limits = limits(&config, &store, control_runtime.handle());
        let (events, handlers, dispatcher) =
            events::start(&config.event_handlers, Arc::clone(&store));
        control_runtime.spawn(dispatcher.run());
        let host: Arc<dyn Host> = Arc::new(GatewayHost {
            data: PluginData::new(Arc::clone(&store)),
            events: events.clone(),
        });
        ffi::install_host(Arc::clone(&host));
        let drivers = Arc::new(Drivers::new(registry, &config, &host));
        let responses = Responses::new(&config.local_response_cache);
        let reloader = Reloader::start(Loader {
            responses: responses.clone(),
            bundles: bundles(&config, purpose, control_runtime.handle())?,
            config: Arc::clone(&config),
            drivers: Arc::clone(&drivers),
            sessions: Arc::clone(&sessions),
            limits: Arc::clone(&limits),
            events: events.clone(),
            certificates: Arc::clone(&certificates),
            termination: termination.clone(),
            tallies: Tallies::new(&config.health_check, config.worker_count()),
            uptime: uptime(&config, purpose, control_runtime.handle()),
            jwks: Jwks::new(control_runtime.handle(), &config),
        });
        let control = Control {
            config: Arc::clone(&config),
            reloader: Arc::new(reloader),
            sessions,
            limits,
            store,
            certificates,
            events: events.clone(),
            files: Arc::default(),
            responses,
        };
        Ok(Self {
            config,
            control,
            control_runtime,
            drivers,
            events,
            termination,
            system_handlers: handlers,
        })
    }

    /// Whether everything that was asked for is there.
    pub fn is_healthy(&self) -> bool {
        let table = self.control.reloader.table().load();
        let mut handlers = self.system_handlers.iter();
        table.is_healthy()
            && table.has_all_event_handlers()
            && handlers.all(|handler| handler.problem.is_none())
    }

    /// Whether all of it is served as it should be.
    pub fn has_warnings(&self) -> bool {
        let table = self.control.reloader.table().load();
        !table.warnings().is_empty()
            || table.has_idle_event_handlers()
            || table.has_keys_without_effect()
    }

    /// What there is to say about a check.
    pub fn report(&self, report: &mut Report) {
        let table = self.control.reloader.table().load();
        report.add(&table, &self.system_handlers);
    }

    /// Listens, serves until a signal ends it, and drains.
    pub fn serve(self) -> Result<(), GatewayError> {
        let router = admin::router(self.control.clone());
        // Before anybody can know that the gateway listens.
        let mut signals = {
            let _on_the_runtime = self.control_runtime.enter();
            Signals::install()?
        };
        let (stop, stopped) = watch::channel(false);
        let server = Server::bind(&self.config)?;
        let addresses: Vec<SocketAddr> = server.addresses();
        if self.config.control_api_port != 0 {
            let tls = self.termination.clone();
            let listening =
                server::control::listen(&self.config, router.clone(), tls, stopped.clone());
            self.control_runtime.block_on(listening)?;
        }
        let table = Arc::clone(self.control.reloader.table());
        let handle = self.control_runtime.handle().clone();
        let running = server.start(
            &self.config,
            table,
            router,
            handle,
            self.termination.clone(),
            stopped,
        )?;
        for address in addresses {
            info!(%address, workers = self.config.worker_count(), "Listening.");
        }
        self.reload_when_told();
        self.watch_certificates();
        if self.has_warnings() {
            // The start did not wait for what an earlier version stands in for. Once only:
            // a failure is in the log.
            let reloader = Arc::clone(&self.control.reloader);
            self.control_runtime.spawn(reloader.reload());
        }
        self.control_runtime
            .block_on(self.until_signalled(&mut signals));
        info!("Draining: requests in flight finish, new connections are refused.");
        // Nobody listening means that nobody is left to drain.
        let _ = stop.send(true);
        let grace = Duration::from_secs(self.config.graceful_shutdown_timeout_duration);
        self.control_runtime
            .block_on(drain(running, grace, &mut signals, &self.control.store));
        self.control_runtime.block_on(self.save_sessions());
        self.control_runtime.block_on(self.control.limits.write());
        self.control_runtime.block_on(self.tell_last_events());
        self.drivers.shut_down();
        flush(&self.control.store);
        self.control_runtime
            .shutdown_timeout(Duration::from_secs(1));
        info!("Stopped.");
        Ok(())
    }

    /// Reloads when another gateway says so.
    fn reload_when_told(&self) {
        let (reloader, runtime) = (
            Arc::clone(&self.control.reloader),
            self.control_runtime.handle().clone(),
        );
        self.control.store.on_reload(Box::new(move || {
            // A failure is in the log.
            runtime.spawn(Arc::clone(&reloader).reload());
        }));
    }

    /// Tells of certificates that end.
    fn watch_certificates(&self) {
        let monitor = expiry::Monitor::new(
            self.config.security.certificate_expiry_monitor,
            &self.control.certificates,
            &self.events,
        );
        let table = Arc::clone(self.control.reloader.table());
        self.control_runtime.spawn(monitor.run(table));
    }

    /// Saves what the last requests left to be saved.
    async fn save_sessions(&self) {
        let saving = self.control.sessions.flush();
        if tokio::time::timeout(LAST_SAVES, saving).await.is_err() {
            warn!("Sessions of the last requests are not saved: storage takes too long.");
        }
    }

    /// Lets the handlers of the last events end.
    async fn tell_last_events(&self) {
        if let Err(lost) = self.events.finish(LAST_EVENTS).await {
            warn!(lost, "Events are lost: their handlers take too long.");
        }
    }

    /// Reloads at SIGHUP; returns at SIGTERM or SIGINT.
    async fn until_signalled(&self, signals: &mut Signals) {
        loop {
            tokio::select! {
                _ = signals.reload.recv() => {
                    let reloader = Arc::clone(&self.control.reloader);
                    // A failure is in the log.
                    tokio::spawn(reloader.reload());
                }
                () = signals.stop.recv() => return,
            }
        }
    }
}

/// The runtime of everything that is not the data plane.
fn control_runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()
}

/// The signals that the process listens to. Until they are installed, each of them ends it.
struct Signals {
    reload: Signal,
    stop: Stop,
}

/// SIGTERM and SIGINT.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn install() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self {
            reload: signal(SignalKind::hangup())?,
            stop: Stop {
                terminate,
                interrupt,
            },
        })
    }
}

impl Stop {
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The limits, which the control runtime keeps in step with the store.
fn limits(config: &Config, store: &Arc<dyn Store>, control: &Handle) -> Arc<Limits> {
    let names = config.sessions().names;
    let limits = Limits::new(Arc::clone(store), names, config.rate_limit_mode);
    control.spawn(Arc::clone(&limits).keep());
    limits
}

fn uptime(config: &Config, purpose: Purpose, runtime: &Handle) -> Arc<Uptime> {
    Uptime::new(&config.uptime_tests, runtime, purpose == Purpose::Serve)
}

fn bundles(config: &Config, purpose: Purpose, runtime: &Handle) -> std::io::Result<Bundles> {
    let folder = config.middleware_path.join("bundles");
    let store = match purpose {
        Purpose::Serve => bundle::Store::open(folder, runtime.clone()),
        Purpose::Check => bundle::Store::temporary(folder, runtime.clone())?,
    };
    Ok(Bundles::new(config, store, runtime.clone()))
}

fn store(
    config: &Config,
    purpose: Purpose,
    runtime: &Handle,
) -> Result<Arc<dyn Store>, storage::OpenError> {
    match purpose {
        Purpose::Serve => storage::open(&config.storage, runtime),
        Purpose::Check => Ok(Arc::new(MemoryStore::default())),
    }
}

fn certificates(config: &Config, store: &Arc<dyn Store>, purpose: Purpose) -> Arc<Certificates> {
    let secret = config.certificate_secret();
    let mut certificates = Certificates::new(Arc::clone(store), secret);
    certificates.is_blind = purpose == Purpose::Check;
    Arc::new(certificates)
}

/// Waits for the data plane to finish, for no longer than `grace`; another signal ends the
/// wait.
async fn drain(
    running: server::Running,
    grace: Duration,
    signals: &mut Signals,
    store: &Arc<dyn Store>,
) {
    let finished = tokio::task::spawn_blocking(move || running.join());
    tokio::select! {
        _ = finished => {}
        () = tokio::time::sleep(grace) => {
            warn!(?grace, "Requests are still in flight after the grace time; stopping anyway.");
            end_at_once(store);
        }
        () = signals.stop.recv() => {
            warn!("Second signal; stopping at once.");
            end_at_once(store);
        }
    }
}

/// The data-plane threads cannot be joined any more, so the process ends here.
fn end_at_once(store: &Arc<dyn Store>) -> ! {
    flush(store);
    std::process::exit(1)
}

/// Waits a moment for what is stored and not written yet.
fn flush(store: &Arc<dyn Store>) {
    if let Err(error) = storage::blocking::wait(store.flush(), FLUSH_LIMIT) {
        error!(%error, "What was stored last is lost.");
    }
}
