//! The one connection to the server, and the task that keeps it.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, FromRedisValue,
    IntoConnectionInfo as _, RedisConnectionInfo, RedisError, RedisResult, ServerErrorKind, cmd,
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{sleep, timeout};
use tracing::{error, info};

use crate::config::RedisOptions;
use crate::storage::StoreError;

/// How often the server is asked whether it is there, and how long it may take to answer.
const PING: Duration = Duration::from_secs(1);

/// First and longest pause between attempts to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Most that is on its way at one time, in kibibytes: a server that does not answer must
/// not fill the memory.
const IN_FLIGHT: usize = 64 * 1024;

/// The connection, or why there is none.
pub(super) struct Link {
    options: RedisOptions,
    current: RwLock<Result<MultiplexedConnection, String>>,
    room: Arc<Semaphore>,
    /// Told when a call has failed in a way that makes the connection doubtful.
    doubt: Notify,
}

/// A call that may be sent.
pub(super) struct Call {
    link: Arc<Link>,
    connection: MultiplexedConnection,
    room: OwnedSemaphorePermit,
}

// === impl Link ===

impl Link {
    pub(super) fn new(options: RedisOptions) -> Self {
        Self {
            options,
            current: RwLock::new(Err("not connected yet".into())),
            room: Arc::new(Semaphore::new(IN_FLIGHT)),
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
            let connection = outcome.as_ref().ok().cloned();
            self.set(outcome);
            if let Some(first) = first.take() {
                // Nobody waits any more where it took too long.
                let _ = first.send(());
            }
            match connection {
                Some(connection) => {
                    pause = PAUSES.0;
                    let reason = self.watch(connection).await;
                    self.set(Err(reason));
                }
                None => {
                    sleep(pause).await;
                    pause = PAUSES.1.min(pause * 2);
                }
            }
        }
    }

    /// Begins a call that takes so many bytes, unless it could not be answered.
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

    /// What the task knows.
    pub(super) fn health(&self) -> Result<(), StoreError> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let known = current.as_ref().map(drop);
        known.map_err(|reason| self.unavailable(reason))
    }

    fn set(&self, now: Result<MultiplexedConnection, String>) {
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
    async fn connect(&self) -> Result<MultiplexedConnection, String> {
        let limit = self.options.timeout;
        let connecting = async {
            let client = Client::open(self.info()?)?;
            // Each call has a limit here, so that one that is late can be told from one
            // that failed.
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(None)
                .set_response_timeout(None);
            let mut connection = client
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            // Connecting alone does not wake a server that hangs.
            cmd("PING").query_async::<()>(&mut connection).await?;
            Ok(connection)
        };
        match timeout(limit, connecting).await {
            Ok(outcome) => outcome.map_err(|error: RedisError| error.to_string()),
            Err(_) => Err(late(limit)),
        }
    }

    fn info(&self) -> RedisResult<redis::ConnectionInfo> {
        let options = &self.options;
        let mut settings = RedisConnectionInfo::default().set_db(options.database.into());
        if !options.username.is_empty() {
            settings = settings.set_username(&options.username);
        }
        if !options.password.is_empty() {
            settings = settings.set_password(&options.password);
        }
        let address = ConnectionAddr::Tcp(options.host.clone(), options.port);
        Ok(address
            .into_connection_info()?
            .set_tcp_settings(TcpSettings::default().set_nodelay(true))
            .set_redis_settings(settings))
    }

    /// Returns why the connection is of no more use.
    async fn watch(&self, mut connection: MultiplexedConnection) -> String {
        let limit = PING.min(self.options.timeout);
        loop {
            tokio::select! {
                () = sleep(PING) => {}
                () = self.doubt.notified() => {}
            }
            let ping = cmd("PING");
            match timeout(limit, ping.query_async::<()>(&mut connection)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error.to_string(),
                Err(_) => return late(limit),
            }
        }
    }

    fn unavailable(&self, reason: &str) -> StoreError {
        StoreError::Unavailable(format!("Redis at {}: {reason}", self.address()))
    }

    fn address(&self) -> String {
        format!("{}:{}", self.options.host, self.options.port)
    }
}

// === impl Call ===

impl Call {
    /// Sends the command and waits for its answer, for as long as is allowed.
    pub(super) async fn ask<T: FromRedisValue>(mut self, command: Cmd) -> Result<T, StoreError> {
        let limit = self.link.options.timeout;
        let outcome = timeout(limit, command.query_async(&mut self.connection)).await;
        drop(self.room);
        match outcome {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(match error.kind() {
                // The server has answered, and it was a no.
                ErrorKind::Extension
                | ErrorKind::UnexpectedReturnType
                | ErrorKind::Server(ServerErrorKind::ResponseError | ServerErrorKind::NoPerm) => {
                    StoreError::Refused(error.to_string())
                }
                _ => {
                    self.link.doubt.notify_one();
                    self.link.unavailable(&error.to_string())
                }
            }),
            Err(_) => {
                self.link.doubt.notify_one();
                Err(self.link.unavailable(&late(limit)))
            }
        }
    }
}

fn late(limit: Duration) -> String {
    format!("no answer in {limit:?}")
}
