//! Which jobs wait, and what the threads do.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use super::job::{Job, LaneKey};
use super::{Limits, MONITOR};

#[derive(Default)]
pub(super) struct State {
    pub(super) ready: VecDeque<Job>,
    pub(super) lanes: HashMap<LaneKey, Lane>,
    /// Threads that take jobs; those written off are not among them.
    pub(super) threads: usize,
    pub(super) idle: usize,
    /// Idle threads that were woken and have not arrived yet.
    pub(super) waking: usize,
    /// Threads that were started or took a job, and do not have the interpreter yet.
    pub(super) entering: usize,
    /// Runs in progress, without those whose threads were written off.
    pub(super) runs: usize,
    /// Runs that are expected to be brief.
    pub(super) brief: usize,
    /// Runs of this epoch that are expected to compute.
    pub(super) computing: usize,
    /// Goes up when no job was taken for a while: what runs then is not relied upon.
    pub(super) epoch: u64,
    /// How many jobs were taken so far.
    pub(super) taken: u64,
    pub(super) stuck: usize,
    /// When a thread may be asked for again.
    pub(super) start_again: Option<Instant>,
    pub(super) monitor_asleep: bool,
    pub(super) closed: bool,
}

#[derive(Default)]
pub(super) struct Lane {
    pub(super) active: usize,
    pub(super) stuck: usize,
    pub(super) waiting: VecDeque<Job>,
}

impl Lane {
    /// Whether another call of this lane may take a thread, which it may not give back. A
    /// lane that has lost none may, however many others have lost.
    pub(super) fn may_lose_threads(&self, limits: Limits, all_stuck: usize) -> bool {
        self.stuck < limits.concurrency && (self.stuck == 0 || all_stuck < limits.stuck)
    }
}

impl State {
    /// Threads that are about to take a job: woken, just started, or between two.
    pub(super) fn coming(&self) -> usize {
        self.waking + self.threads.saturating_sub(self.idle + self.runs)
    }

    /// How many threads could take a ready job at once. Of those that compute only one may run.
    pub(super) fn wanted(&self) -> usize {
        let computing = self.ready.iter().filter(|job| job.expected.computes);
        let computing = computing.count();
        let one = usize::from(computing > 0 && self.computing == 0);
        self.ready.len() - computing + one
    }

    /// Where the job is that a thread may take now. Those that compute run one by one: only
    /// one has the interpreter, and the thread that runs it comes for the next.
    pub(super) fn next(&self) -> Option<usize> {
        if self.computing == 0 {
            return (!self.ready.is_empty()).then_some(0);
        }
        let mut ready = self.ready.iter();
        ready.position(|job| !job.expected.computes)
    }

    /// Whether a thread that is at work will be there for what is ready as soon as another
    /// could be.
    pub(super) fn expects_a_thread(&self) -> bool {
        self.brief > 0 || (self.computing > 0 && self.all_compute())
    }

    /// Whether a second thread would be of no use to what is ready.
    pub(super) fn all_compute(&self) -> bool {
        self.ready.iter().all(|job| job.expected.computes)
    }

    /// Whether the first job has waited for longer than one does for a thread that is
    /// expected back.
    pub(super) fn is_overdue(&self) -> bool {
        let first = self.ready.front();
        first.is_some_and(|job| job.queued.elapsed() > MONITOR)
    }

    /// Takes out the jobs whose limit has passed, or that nobody waits for any more.
    pub(super) fn expired(&mut self) -> Vec<Job> {
        let mut expired = Vec::new();
        let ready = std::mem::take(&mut self.ready);
        for job in ready {
            if job.is_expired() {
                if let Some(lane) = self.lanes.get_mut(&job.lane()) {
                    lane.active -= 1;
                }
                expired.push(job);
            } else {
                self.ready.push_back(job);
            }
        }
        for lane in self.lanes.values_mut() {
            let waiting = std::mem::take(&mut lane.waiting);
            let (gone, kept) = waiting.into_iter().partition(Job::is_expired);
            lane.waiting = kept;
            expired.extend::<VecDeque<Job>>(gone);
        }
        expired
    }
}
