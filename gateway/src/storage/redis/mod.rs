//! A store in Redis or Valkey: what several gateways share.
//!
//! All calls go through one connection, which a task of the control runtime keeps
//! ([`link`]). While it is down, calls fail at once instead of waiting one by one.

mod connect;
mod count;
mod link;
mod notices;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, FromRedisValue, cmd, pipe};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::counters::Counters;
use super::{MAX_VALUE, Store, StoreError, StoreFuture, blocking, check_size, done, lifetime};
use crate::config::RedisOptions;
use link::{Command, Link};

/// How many keys the server looks at for one answer.
const SCANNED: u64 = 1000;

/// Most bytes of a value that are read before its length is known. Larger ones take a second
/// call, for which there has to be room.
const SMALL: usize = 16 * 1024;

/// How long the start of the gateway waits for the first attempt to connect.
const FIRST_ATTEMPT: Duration = Duration::from_secs(2);

/// Data on a server.
pub struct RedisStore {
    caller: Caller,
    keeper: JoinHandle<()>,
    listener: OnceLock<JoinHandle<()>>,
}

/// What sends commands, from whatever thread this is on.
#[derive(Clone)]
struct Caller {
    link: Arc<Link>,
    runtime: Handle,
}

impl RedisStore {
    /// Connects in the background, on `runtime`, again and again while that fails. Returns
    /// when the outcome of the first attempt is known, or after a moment. Not for threads of
    /// that runtime.
    pub fn start(options: RedisOptions, runtime: &Handle) -> Self {
        let link = Arc::new(Link::new(options));
        let (sender, attempted) = oneshot::channel();
        let keeper = runtime.spawn(Arc::clone(&link).keep(sender));
        // Whichever way it ends, the gateway starts.
        let _ = blocking::wait(Box::pin(async { Ok(attempted.await) }), FIRST_ATTEMPT);
        let runtime = runtime.clone();
        Self {
            caller: Caller { link, runtime },
            keeper,
            listener: OnceLock::new(),
        }
    }
}

impl Caller {
    /// Sends a command. It and its answer take so many bytes.
    fn ask<T>(&self, command: Cmd, bytes: usize) -> StoreFuture<'static, T>
    where
        T: FromRedisValue + Send + 'static,
    {
        self.send(Command::One(command), bytes)
    }

    fn send<T>(&self, command: Command, bytes: usize) -> StoreFuture<'static, T>
    where
        T: FromRedisValue + Send + 'static,
    {
        let call = match self.link.begin(bytes) {
            Ok(call) => call,
            Err(error) => return done(Err(error)),
        };
        // The connection's timers and sockets belong to this runtime; the caller may be on
        // another one, or on none.
        let (told, outcome) = oneshot::channel();
        self.runtime.spawn(call.ask(command, told));
        Box::pin(async move {
            outcome.await.unwrap_or_else(|_| {
                let reason = "the gateway is ending";
                Err(StoreError::Unavailable(reason.into()))
            })
        })
    }
}

impl RedisStore {
    /// The length of the value, and its first `most` bytes; nothing if there is none.
    async fn read(&self, key: &str, most: usize) -> Result<Option<(usize, Bytes)>, StoreError> {
        let mut commands = pipe();
        commands.atomic();
        commands.cmd("STRLEN").arg(key);
        commands.cmd("GETRANGE").arg(key).arg(0).arg(most - 1);
        // No value and an empty one look alike above.
        commands.cmd("EXISTS").arg(key);
        let asked = self
            .caller
            .send(Command::Transaction(commands), 3 * key.len() + most);
        let (length, value, is_there): (usize, Bytes, bool) = asked.await?;
        Ok((is_there || length > 0).then_some((length, value)))
    }

    /// `SET`, with what makes it conditional.
    fn write<'a, T>(
        &self,
        key: &str,
        value: &[u8],
        ttl: Option<Duration>,
        condition: &[&str],
    ) -> StoreFuture<'a, T>
    where
        T: FromRedisValue + Send + 'static,
    {
        if let Err(error) = check_size(key, value) {
            return done(Err(error));
        }
        let mut command = cmd("SET");
        command.arg(key).arg(value).arg(condition);
        if let Some(millis) = lifetime(ttl) {
            command.arg("PX").arg(millis);
        }
        self.caller.ask(command, key.len() + value.len())
    }
}

impl Store for RedisStore {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Bytes>> {
        Box::pin(async move {
            // Others may write to the server, and there a value may have 512 MiB.
            let mut most = SMALL;
            loop {
                let Some((length, value)) = self.read(key, most).await? else {
                    return Ok(None);
                };
                if length > MAX_VALUE {
                    return Err(StoreError::Refused(format!(
                        "the value has {length} bytes; {MAX_VALUE} are possible"
                    )));
                }
                if length <= most {
                    return Ok(Some(value));
                }
                most = length;
            }
        })
    }

    fn set<'a>(&'a self, key: &'a str, value: Bytes, ttl: Option<Duration>) -> StoreFuture<'a, ()> {
        self.write(key, &value, ttl, &[])
    }

    fn set_if_absent<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        ttl: Option<Duration>,
    ) -> StoreFuture<'a, bool> {
        // The answer is nil when there was something.
        let outcome = self.write::<Option<String>>(key, &value, ttl, &["NX"]);
        Box::pin(async move { Ok(outcome.await?.is_some()) })
    }

    fn delete<'a>(&'a self, key: &'a str) -> StoreFuture<'a, bool> {
        let mut command = cmd("DEL");
        command.arg(key);
        let outcome = self.caller.ask::<u64>(command, key.len());
        Box::pin(async move { Ok(outcome.await? > 0) })
    }

    fn keys<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Vec<String>> {
        Box::pin(async move {
            let pattern = format!("{}*", literally(prefix));
            if self.caller.link.is_cluster() {
                // Asked of all servers at once; going on from one answer to the next is not.
                let mut command = cmd("KEYS");
                command.arg(&pattern);
                let found: Vec<Vec<u8>> = self.caller.ask(command, pattern.len()).await?;
                return Ok(texts(found));
            }
            let mut keys = Vec::new();
            let mut cursor = 0_u64;
            loop {
                let mut command = cmd("SCAN");
                command.arg(cursor).arg("MATCH").arg(&pattern);
                command.arg("COUNT").arg(SCANNED);
                let (next, found): (u64, Vec<Vec<u8>>) =
                    self.caller.ask(command, pattern.len()).await?;
                keys.extend(texts(found));
                if next == 0 {
                    break;
                }
                cursor = next;
            }
            // A key may be told twice while others come and go.
            keys.sort_unstable();
            keys.dedup();
            Ok(keys)
        })
    }

    fn tell_reload(&self) -> StoreFuture<'_, ()> {
        let mut command = cmd("PUBLISH");
        command.arg(notices::CHANNEL).arg(notices::RELOAD);
        let told = self.caller.ask::<u64>(command, notices::RELOAD.len());
        Box::pin(async move { told.await.map(drop) })
    }

    fn on_reload(&self, reload: Box<dyn Fn() + Send + Sync>) {
        let listening = notices::listen(Arc::clone(&self.caller.link), reload);
        // One that listens already is enough.
        let _ = self
            .listener
            .get_or_init(|| self.caller.runtime.spawn(listening));
    }

    fn health(&self) -> Result<(), StoreError> {
        self.caller.link.health()
    }

    fn counters(&self) -> Option<&dyn Counters> {
        Some(self)
    }
}

impl Drop for RedisStore {
    fn drop(&mut self) {
        self.keeper.abort();
        if let Some(listener) = self.listener.get() {
            listener.abort();
        }
    }
}

/// What is not text is not ours.
fn texts(found: Vec<Vec<u8>>) -> Vec<String> {
    let texts = found.into_iter().map(String::from_utf8);
    texts.filter_map(Result::ok).collect()
}

/// A pattern that matches this text only.
fn literally(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

#[cfg(test)]
mod count_tests;
#[cfg(test)]
mod group_tests;
#[cfg(test)]
mod tests;
