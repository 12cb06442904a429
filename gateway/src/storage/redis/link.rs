//! The one connection to the server, and the task that keeps it.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use redis::aio::PubSub;
use redis::{
    Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, ServerErrorKind, cmd,
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::{sleep, timeout};
use tracing::{error, info};

use super::connect::{Calls, connect, listener};
use crate::config::{RedisOptions, Topology};
use crate::storage::StoreError;

/// How often the server is asked whether it is there, and how long it may take to answer.
const PING: Duration = Duration::from_secs(1);

/// First and longest pause between attempts to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Most that is on its way at one time, in kibibytes: a server that does not answer must
/// not fill the memory.
const IN_FLIGHT: usize = 64 * 1024;

/// From this many kibibytes on their way, an answer behind them takes long on a sound link.
const MUCH: usize = 1024;

/// A connection that lasted this long was worth making at once again.
const SETTLED: Duration = Duration::from_millis(1500);

/// The connection, or why there is none.
pub(super) struct Link {
    options: RedisOptions,
    current: RwLock<Result<Connection, String>>,
    room: Arc<Semaphore>,
    /// How many calls were answered.
    answers: AtomicU64,
    /// Told when a call has failed in a way that makes the connection doubtful.
    doubt: Notify,
}

/// A connection, and what ends when it is given up.
#[derive(Clone)]
struct Connection {
    calls: Calls,
    end: watch::Receiver<()>,
}

/// What a call sends.
pub(super) enum Command {
    One(Cmd),
    /// Several, with nobody else's in between.
    Transaction(Pipeline),
    /// A script by its hash, and with its text where the server does not know it yet.
    Script {
        known: Cmd,
        text: Cmd,
    },
}

/// A call that may be sent.
pub(super) struct Call {
    link: Arc<Link>,
    connection: Connection,
    room: OwnedSemaphorePermit,
}

// === impl Link ===

impl Link {
    pub(super) fn new(options: RedisOptions) -> Self {
        Self {
            options,
            current: RwLock::new(Err("not connected yet".into())),
            room: Arc::new(Semaphore::new(IN_FLIGHT)),
            answers: AtomicU64::new(0),
            doubt: Notify::new(),
        }
    }

    /// Keeps the connection for as long as this runs. Tells `first` when the outcome of the
    /// first attempt is known.
    pub(super) async fn keep(self: Arc<Self>, first: oneshot::Sender<()>) {
        let mut first = Some(first);
        let mut pause = PAUSES.0;
        loop {
            let outcome = self.connect().await;
            // Calls on their way hold the connection until the first of these two is gone.
            let (held, end) = watch::channel(());
            let outcome = outcome.map(|calls| Connection { calls, end });
            let connection = outcome.as_ref().ok().cloned();
            self.set(outcome);
            if let Some(first) = first.take() {
                // Nobody waits any more where it took too long.
                let _ = first.send(());
            }
            if let Some(connection) = connection {
                let began = Instant::now();
                let reason = self.watch(connection.calls).await;
                self.set(Err(reason));
                drop(held);
                // One that comes up and fails is made no faster than one that does not.
                if began.elapsed() >= SETTLED {
                    pause = PAUSES.0;
                    continue;
                }
            }
            sleep(pause).await;
            pause = PAUSES.1.min(pause * 2);
        }
    }

    /// Begins a call that takes so many bytes, there and back, unless it could not be answered.
    pub(super) fn begin(self: &Arc<Self>, bytes: usize) -> Result<Call, StoreError> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let connection = current
            .as_ref()
            .map_err(|reason| self.unavailable(reason))?
            .clone();
        drop(current);
        let kibibytes = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room)
            .try_acquire_many_owned(kibibytes)
            .map_err(|_| self.unavailable("too many calls wait for its answer"))?;
        Ok(Call {
            link: Arc::clone(self),
            connection,
            room,
        })
    }

    /// A connection of its own that hears what is published.
    pub(super) async fn listener(&self) -> RedisResult<PubSub> {
        listener(&self.options).await
    }

    /// Whether keys are spread over several servers.
    pub(super) fn is_cluster(&self) -> bool {
        self.options.topology == Topology::Cluster
    }

    /// What the task knows.
    pub(super) fn health(&self) -> Result<(), StoreError> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let known = current.as_ref().map(drop);
        known.map_err(|reason| self.unavailable(reason))
    }

    fn set(&self, now: Result<Connection, String>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let address = self.address();
        match (&*current, &now) {
            (Err(_), Ok(_)) => info!(address, "Storage is connected."),
            (Err(before), Err(reason)) if before == reason => {}
            (_, Err(reason)) => error!(
                address,
                reason, "Storage cannot be reached; trying again until it can."
            ),
            (Ok(_), Ok(_)) => {}
        }
        *current = now;
    }

    /// A connection on which the server has answered.
    async fn connect(&self) -> Result<Calls, String> {
        let limit = self.options.timeout;
        match timeout(limit, connect(&self.options)).await {
            Ok(outcome) => outcome.map_err(|error: RedisError| error.to_string()),
            Err(_) => Err(late(limit)),
        }
    }

    /// Returns why the connection is of no more use.
    async fn watch(&self, mut connection: Calls) -> String {
        loop {
            tokio::select! {
                () = sleep(PING) => {}
                () = self.doubt.notified() => {}
            }
            let limit = self.patience();
            let answers = self.answers.load(Ordering::Relaxed);
            let ping = cmd("PING");
            match timeout(limit, ping.query_async::<()>(&mut connection)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error.to_string(),
                // It waits behind others, and they are answered.
                Err(_) if self.answers.load(Ordering::Relaxed) != answers => {}
                Err(_) => return late(limit),
            }
        }
    }

    /// How long the server may take to say that it is there.
    fn patience(&self) -> Duration {
        if self.under_way() >= MUCH {
            self.options.timeout
        } else {
            PING.min(self.options.timeout)
        }
    }

    /// How many kibibytes are on their way.
    pub(super) fn under_way(&self) -> usize {
        IN_FLIGHT - self.room.available_permits()
    }

    /// What an answer means for the caller and for the connection.
    fn judge<T>(&self, outcome: RedisResult<T>) -> Result<T, StoreError> {
        let error = match outcome {
            Ok(answer) => {
                self.answers.fetch_add(1, Ordering::Relaxed);
                return Ok(answer);
            }
            Err(error) => error,
        };
        match error.kind() {
            // The server has answered, and it was a no.
            ErrorKind::Extension
            | ErrorKind::UnexpectedReturnType
            | ErrorKind::Server(
                ServerErrorKind::ResponseError
                | ServerErrorKind::NoPerm
                | ServerErrorKind::ExecAbort,
            ) => {
                self.answers.fetch_add(1, Ordering::Relaxed);
                Err(StoreError::Refused(error.to_string()))
            }
            _ => {
                self.doubt.notify_one();
                Err(self.unavailable(&error.to_string()))
            }
        }
    }

    fn unavailable(&self, reason: &str) -> StoreError {
        StoreError::Unavailable(format!("Redis at {}: {reason}", self.address()))
    }

    fn address(&self) -> String {
        let addresses = self.options.addresses.iter();
        let addresses = addresses.map(|(host, port)| format!("{host}:{port}"));
        addresses.collect::<Vec<_>>().join(", ")
    }
}

// === impl Command ===

impl Command {
    async fn send<T: FromRedisValue>(&self, to: &mut Calls) -> RedisResult<T> {
        match self {
            Self::One(command) => command.query_async(to).await,
            Self::Transaction(commands) => commands.query_async(to).await,
            Self::Script { known, text } => match known.query_async(to).await {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    text.query_async(to).await
                }
                outcome => outcome,
            },
        }
    }
}

// === impl Call ===

impl Call {
    /// Sends the command and tells its answer, or after the time that is allowed that there
    /// is none. Ends when the connection holds nothing of the call any more.
    pub(super) async fn ask<T: FromRedisValue>(
        self,
        command: Command,
        told: oneshot::Sender<Result<T, StoreError>>,
    ) {
        let Self {
            link,
            mut connection,
            room,
        } = self;
        let limit = link.options.timeout;
        let asked = async {
            tokio::select! {
                outcome = command.send(&mut connection.calls) => link.judge(outcome),
                // Nothing is ever sent there.
                _ = connection.end.changed() => Err(link.unavailable("the connection was lost")),
            }
        };
        let mut asked = pin!(asked);
        // Where nobody waits any more, nobody is told.
        if let Ok(outcome) = timeout(limit, &mut asked).await {
            let _ = told.send(outcome);
        } else {
            link.doubt.notify_one();
            let _ = told.send(Err(link.unavailable(&late(limit))));
            let _ = asked.await;
        }
        drop(room);
    }
}

fn late(limit: Duration) -> String {
    format!("no answer in {limit:?}")
}
