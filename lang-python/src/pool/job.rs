//! What waits for one of the host's threads.

use std::time::{Duration, Instant};

use coprocess_core::{DispatchError, Event, Object};

use crate::hook::PyHook;
use crate::oneshot::Reply;

/// A call, or an event, for one plugin.
pub(crate) struct Job {
    pub(crate) hook: Submitted,
    pub(crate) work: Work,
    pub(crate) limit: Duration,
    pub(crate) queued: Instant,
    pub(crate) expected: Expected,
}

/// A function with a job that is not done.
pub(crate) struct Submitted(PyHook);

impl Submitted {
    pub(crate) fn new(hook: PyHook) -> Self {
        hook.stats().leaves();
        Self(hook)
    }
}

impl std::ops::Deref for Submitted {
    type Target = PyHook;

    fn deref(&self) -> &PyHook {
        &self.0
    }
}

impl Drop for Submitted {
    fn drop(&mut self) {
        self.0.stats().is_back();
    }
}

/// What a job is expected to do with the thread that runs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    /// It has proved to be done in a moment.
    pub(crate) brief: bool,
    /// It waits for nothing: it has the interpreter until it is done.
    pub(crate) computes: bool,
    /// What [`State::epoch`](super::state::State::epoch) was when it was taken.
    pub(super) epoch: u64,
}

impl Expected {
    pub(crate) fn new(brief: bool, computes: bool) -> Self {
        Self {
            brief,
            computes,
            epoch: 0,
        }
    }

    /// Whether its thread may be away for long while the interpreter is free.
    pub(super) fn may_wait(self) -> bool {
        !self.brief && !self.computes
    }
}

/// What a job asks for.
pub(crate) enum Work {
    Hook { object: Box<Object>, reply: Reply },
    Event(Box<Event>),
}

/// A plugin's calls and its events wait in different lanes, so that a flood of one does not
/// refuse the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LaneKey {
    plugin: u64,
    pub(super) is_event: bool,
}

impl Job {
    pub(crate) fn lane(&self) -> LaneKey {
        LaneKey {
            plugin: self.hook.plugin().id,
            is_event: matches!(self.work, Work::Event(_)),
        }
    }

    pub(super) fn is_expired(&self) -> bool {
        match &self.work {
            Work::Hook { reply, .. } => self.queued.elapsed() >= self.limit || !reply.is_awaited(),
            Work::Event(_) => false,
        }
    }

    pub(super) fn expire(self) {
        if let Work::Hook { reply, .. } = self.work {
            reply.send(Err(DispatchError::TimeLimit {
                limit: self.limit,
                detail: format!(
                    "; `{}` of plugin `{}` was never started: all its threads are busy",
                    self.hook.name(),
                    self.hook.plugin().name
                ),
            }));
        }
    }
}
