//! Counters on the server: one script, so that a request is counted in one step and in one
//! round trip, whatever limits it has.

use std::sync::LazyLock;

use redis::{Cmd, Script, cmd};

use super::link::Command;
use super::{Caller, RedisStore};
use crate::session::unix_now;
use crate::storage::counters::{Answer, Ask, Counters, Refused, SharedRate};
use crate::storage::{StoreError, StoreFuture};

/// The script's text.
const TEXT: &str = include_str!("count.redis");

/// Its name on the server.
static HASH: LazyLock<String> = LazyLock::new(|| Script::new(TEXT).get_hash().to_owned());

/// The text of the script that takes a request back.
const BACK_TEXT: &str = include_str!("uncount.redis");

/// Its name on the server.
static BACK_HASH: LazyLock<String> = LazyLock::new(|| Script::new(BACK_TEXT).get_hash().to_owned());

/// A window beyond this many microseconds, thirty years, is one of this length to the server.
const LONGEST: u64 = 30 * 365 * 24 * 3600 * 1_000_000;

/// A guess at what an answer takes.
const ANSWER_BYTES: usize = 128;

/// What the script returns.
type Numbers = (u8, u32, u64, i64, i64, u32, u64);

impl Counters for RedisStore {
    fn count(&self, ask: Ask) -> StoreFuture<'static, Answer> {
        self.caller.count(ask)
    }

    fn quota<'a>(&'a self, name: &'a str) -> StoreFuture<'a, Option<(i64, i64)>> {
        let mut commands = redis::pipe();
        commands.cmd("GET").arg(name);
        commands.cmd("PTTL").arg(name);
        let asked = self
            .caller
            .send::<(Option<i64>, i64)>(Command::Transaction(commands), name.len());
        Box::pin(async move {
            let (used, left) = asked.await?;
            let renews = if left < 0 {
                0
            } else {
                unix_now() + left / 1000
            };
            Ok(used.map(|used| (used, renews)))
        })
    }
}

impl Caller {
    fn count(&self, mut ask: Ask) -> StoreFuture<'static, Answer> {
        let of_key = ask.rate.is_some() || ask.quota.is_some();
        if self.link.is_cluster() && of_key && ask.api.is_some() {
            // They are on different servers. Who may not pass by its own limits must not use
            // up the API's, so that comes last; what it refuses is taken back.
            let api = ask.api.take();
            let (first, store) = (self.count_in_one(&ask), self.clone());
            return Box::pin(async move {
                let answer = first.await?;
                if answer.refused.is_some() {
                    return Ok(answer);
                }
                let whole = Ask {
                    api,
                    ..Ask::default()
                };
                let last = store.count_in_one(&whole).await;
                if !matches!(&last, Ok(last) if last.refused.is_none()) {
                    // Where that fails too, the key has lost a request and nothing else.
                    let _ = store.take_back(&ask).await;
                }
                let last = last?;
                let back = i64::from(last.refused.is_some() && ask.quota.is_some());
                Ok(Answer {
                    used: answer.used - back,
                    refused: last.refused,
                    api_remaining: last.api_remaining,
                    api_reset: last.api_reset,
                    ..answer
                })
            });
        }
        self.count_in_one(&ask)
    }

    /// Takes back what was counted for a key.
    fn take_back(&self, ask: &Ask) -> StoreFuture<'static, u8> {
        let names = [
            ask.rate.as_ref().map(|rate| &rate.name),
            ask.quota.as_ref().map(|quota| &quota.name),
        ];
        let call = |command: &str, script: &str| {
            let mut call = cmd(command);
            call.arg(script).arg(names.iter().flatten().count());
            for name in names.into_iter().flatten() {
                call.arg(name);
            }
            for name in names {
                call.arg(u8::from(name.is_some()));
            }
            call
        };
        let bytes = names.iter().flatten().map(|name| name.len()).sum::<usize>();
        let (known, text) = (call("EVALSHA", &BACK_HASH), call("EVAL", BACK_TEXT));
        self.send(Command::Script { known, text }, bytes + ANSWER_BYTES)
    }

    fn count_in_one(&self, ask: &Ask) -> StoreFuture<'static, Answer> {
        let names = [
            ask.rate.as_ref().map_or(0, |rate| rate.name.len()),
            ask.quota.as_ref().map_or(0, |quota| quota.name.len()),
            ask.api.as_ref().map_or(0, |rate| rate.name.len()),
        ];
        let bytes = names.iter().sum::<usize>() + ANSWER_BYTES;
        let known = call("EVALSHA", &HASH, ask);
        let text = call("EVAL", TEXT, ask);
        let outcome = self.send::<Numbers>(Command::Script { known, text }, bytes);
        Box::pin(async move { answer(outcome.await?) })
    }
}

fn call(command: &str, script: &str, ask: &Ask) -> Cmd {
    let names = [
        ask.rate.as_ref().map(|rate| &rate.name),
        ask.quota.as_ref().map(|quota| &quota.name),
        ask.api.as_ref().map(|rate| &rate.name),
    ];
    let mut call = cmd(command);
    call.arg(script).arg(names.iter().flatten().count());
    for name in names.into_iter().flatten() {
        call.arg(name);
    }
    add_rate(&mut call, ask.rate.as_ref());
    match &ask.quota {
        Some(quota) => call.arg(quota.max).arg(quota.renewal),
        None => call.arg(0).arg(0),
    };
    add_rate(&mut call, ask.api.as_ref());
    call
}

fn add_rate(call: &mut Cmd, rate: Option<&SharedRate>) {
    match rate {
        Some(rate) => {
            let (window, width) = (rate.window.min(LONGEST), rate.width.min(LONGEST));
            call.arg(rate.count).arg(window).arg(width);
        }
        None => {
            call.arg(-1).arg(0).arg(0);
        }
    }
}

fn answer(numbers: Numbers) -> Result<Answer, StoreError> {
    let (refused, rate_remaining, rate_reset, used, renews, api_remaining, api_reset) = numbers;
    let refused = match refused {
        0 => None,
        1 => Some(Refused::Rate),
        2 => Some(Refused::Quota),
        3 => Some(Refused::Api),
        other => {
            let reason = format!("the counting script answered {other}");
            return Err(StoreError::Refused(reason));
        }
    };
    Ok(Answer {
        refused,
        rate_remaining,
        rate_reset,
        api_remaining,
        api_reset,
        used,
        renews,
    })
}
