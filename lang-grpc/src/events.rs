//! Events on their way to servers, on a thread of their own: who fires one never waits.

use std::sync::Arc;

use coprocess_core::{Event, Host, LogLevel};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::LocalSet;

use crate::DRIVER;
use crate::call;
use crate::client;
use crate::server::Server;

/// How many events may wait. More are dropped, which is logged.
const QUEUE: usize = 1024;

/// How many may be under way.
const UNDER_WAY: usize = 64;

/// The way to the thread, which ends when this value is dropped and all is sent.
pub(crate) struct Events(mpsc::Sender<Event>);

impl Events {
    /// Starts the thread.
    pub(crate) fn start(host: &Arc<dyn Host>) -> std::io::Result<Self> {
        let (sender, inbox) = mpsc::channel(QUEUE);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let host = Arc::clone(host);
        std::thread::Builder::new()
            .name("grpc-events".to_owned())
            .spawn(move || LocalSet::new().block_on(&runtime, send_all(host, inbox)))?;
        Ok(Self(sender))
    }

    /// Queues an event; never waits.
    pub(crate) fn send(&self, host: &dyn Host, event: Event) {
        match self.0.try_send(event) {
            Ok(()) => {}
            Err(TrySendError::Full(event)) => tell(host, &event, "too many events wait"),
            Err(TrySendError::Closed(event)) => tell(host, &event, "the thread has ended"),
        }
    }
}

async fn send_all(host: Arc<dyn Host>, mut inbox: Receiver<Event>) {
    let free = Arc::new(Semaphore::new(UNDER_WAY));
    while let Some(event) = inbox.recv().await {
        let Ok(place) = Arc::clone(&free).acquire_owned().await else {
            return;
        };
        let host = Arc::clone(&host);
        tokio::task::spawn_local(async move {
            send(&*host, event).await;
            drop(place);
        });
    }
    // The last ones are waited for; each has its time limit.
    let _ = free.acquire_many(UNDER_WAY as u32).await;
}

async fn send(host: &dyn Host, mut event: Event) {
    let Some(server) = event.handler.get::<Arc<Server>>() else {
        return tell(host, &event, "was not loaded by this language");
    };
    let client = client::of_this_thread(server);
    let payload = std::mem::take(&mut event.payload);
    if let Err(error) = call::event(client, payload, event.time_limit).await {
        tell(host, &event, &error.to_string());
    }
}

/// Logs what became of an event.
pub(crate) fn tell(host: &dyn Host, event: &Event, problem: &str) {
    let (name, api) = (&event.handler_name, &event.api_id);
    let text = format!("event handler `{name}` of API `{api}`: {problem}");
    host.log(LogLevel::Error, DRIVER, &text);
}
