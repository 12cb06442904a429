//! Uptime tests: upstreams are asked again and again whether they are there.
//!
//! Every test is a task of the control runtime. A reload ends the tasks of tests that are no
//! longer asked for and begins new ones; a test that stays goes on, and what it knows of its
//! host stays with it. The data plane reads one number per host, and nothing else.

mod probe;
mod streak;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tracing::{info, warn};

use crate::api::Api;
use crate::config::UptimeOptions;
use crate::definition::UptimeTest;
use crate::events::{Meta, names};
pub use probe::Probe;
use probe::Report;
use streak::Streak;

/// Most tests of one API.
pub const MOST_TESTS: usize = 256;

/// All uptime tests of the process.
pub struct Uptime {
    runtime: Handle,
    /// Nothing is tested.
    is_off: bool,
    needed: u32,
    pause: Duration,
    /// How many may ask at the same time.
    places: Arc<Semaphore>,
    running: Mutex<HashMap<TestId, Running>>,
    hosts: Mutex<HashMap<HostId, Arc<Host>>>,
}

type TestId = (String, UptimeTest);

/// API and `host:port`: the tests of one API say nothing to another one.
type HostId = (String, String);

/// A host, as the tests of one API see it.
#[derive(Debug, Default)]
pub struct Host {
    /// How many tests say that it is down.
    down: AtomicUsize,
}

/// A test that runs.
struct Running {
    subject: Arc<ArcSwap<Subject>>,
    task: AbortHandle,
}

/// What a test asks, and whose it is: a reload may change both.
struct Subject {
    api: Weak<Api>,
    probe: Arc<Probe>,
}

/// What one test says of its host. Nothing any more when it has ended.
struct Mark {
    host: Arc<Host>,
    is_down: bool,
}

// === impl Host ===

impl Host {
    /// Whether a test says that it is down.
    pub fn is_down(&self) -> bool {
        self.down.load(Relaxed) > 0
    }
}

// === impl Mark ===

impl Mark {
    fn set(&mut self, is_down: bool) {
        if is_down != self.is_down {
            self.is_down = is_down;
            match is_down {
                true => self.host.down.fetch_add(1, Relaxed),
                false => self.host.down.fetch_sub(1, Relaxed),
            };
        }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.set(false);
    }
}

// === impl Uptime ===

impl Uptime {
    /// No test runs yet. One that does not serve runs none at all.
    pub fn new(options: &UptimeOptions, runtime: &Handle, serves: bool) -> Arc<Self> {
        let settings = &options.config;
        let or = |number: usize, usual| if number == 0 { usual } else { number };
        let pause = match settings.time_wait {
            0.0 => 10.0,
            seconds => seconds,
        };
        Arc::new(Self {
            runtime: runtime.clone(),
            is_off: options.disable || !serves,
            needed: match settings.failure_trigger_sample_size {
                0 => 3,
                needed => needed,
            },
            pause: Duration::from_secs_f64(pause),
            places: Arc::new(Semaphore::new(or(settings.checker_pool_size, 50))),
            running: Mutex::default(),
            hosts: Mutex::default(),
        })
    }

    /// A host, as the tests of an API see it now and later.
    pub fn host(&self, api_id: &str, authority: &str) -> Arc<Host> {
        let id = (api_id.to_owned(), authority.to_owned());
        Arc::clone(lock(&self.hosts).entry(id).or_default())
    }

    /// Runs the tests of these APIs, and no others.
    pub fn follow<'a>(&self, apis: impl Iterator<Item = &'a Arc<Api>>) {
        if self.is_off {
            return;
        }
        let mut running = lock(&self.running);
        let mut before = std::mem::take(&mut *running);
        for api in apis {
            for probe in &api.uptime_tests {
                let id = (api.id.clone(), probe.test.clone());
                let subject = Subject {
                    api: Arc::downgrade(api),
                    probe: Arc::clone(probe),
                };
                // The same test twice is one test.
                let Entry::Vacant(place) = running.entry(id) else {
                    continue;
                };
                let test = match before.remove(place.key()) {
                    Some(test) => {
                        test.subject.store(Arc::new(subject));
                        test
                    }
                    None => self.begin(api, subject),
                };
                place.insert(test);
            }
        }
        for ended in before.into_values() {
            ended.task.abort();
        }
        drop(running);
        lock(&self.hosts).retain(|_, host| Arc::strong_count(host) > 1);
    }

    fn begin(&self, api: &Api, subject: Subject) -> Running {
        let host = self.host(&api.id, subject.probe.authority());
        let mark = Mark {
            host,
            is_down: false,
        };
        let subject = Arc::new(ArcSwap::from_pointee(subject));
        let test = test(
            Arc::clone(&subject),
            mark,
            Streak::new(self.needed),
            Arc::clone(&self.places),
            self.pause,
        );
        Running {
            subject,
            task: self.runtime.spawn(test).abort_handle(),
        }
    }
}

/// Asks again and again, until it is ended from outside.
async fn test(
    subject: Arc<ArcSwap<Subject>>,
    mut mark: Mark,
    mut streak: Streak,
    places: Arc<Semaphore>,
    pause: Duration,
) {
    loop {
        let now = subject.load_full();
        let report = {
            let _place = places.acquire().await;
            now.probe.run().await
        };
        if let Some(is_up) = streak.note(report.is_good()) {
            mark.set(!is_up);
            now.tell(is_up, report);
        }
        drop(now);
        tokio::time::sleep(pause).await;
    }
}

// === impl Subject ===

impl Subject {
    fn tell(&self, is_up: bool, report: Report) {
        // Its API is gone, and with it whoever wanted to know.
        let Some(api) = self.api.upgrade() else {
            return;
        };
        let (id, url) = (&api.id, &self.probe.test.0.url);
        let (name, message) = match is_up {
            true => {
                info!(api = id, url, "Host is up by its uptime test.");
                (names::HOST_UP, "Uptime test succeeded")
            }
            false => {
                let status = report.code;
                warn!(api = id, url, status, "Host is down by its uptime test.");
                (names::HOST_DOWN, "Uptime test failed")
            }
        };
        api.events.fire(name, || {
            Meta::new(message).with_value("HostInfo", self.probe.told(id, report))
        });
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
