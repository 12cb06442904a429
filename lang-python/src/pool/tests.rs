//! Which jobs threads get, and the pool when the system gives no threads.

use std::task::{Context, Poll, Waker};

use coprocess_core::{HookType, Object, Request, Spec, StringMap};
use pyo3::prelude::*;

use super::*;
use crate::hook::PyHook;
use crate::main_thread;
use crate::oneshot::{Answer, oneshot};
use crate::options::Options;
use crate::plugin::{Function, PluginCode};
use crate::stats::Stats;

fn hook(pool: &Arc<Pool>) -> PyHook {
    let options = Options::read(&serde_json::Map::new()).unwrap();
    let main = main_thread::start(&options.program, None, true).unwrap();
    let function = Python::attach(|py| Function {
        name: "hook".into(),
        callable: py.None(),
        arity: 3,
        is_event: false,
        is_async: false,
        problem: None,
        may_wait: true,
        location: String::new(),
        stats: Stats::default(),
    });
    PyHook {
        code: Arc::new(PluginCode::without_functions(main, Arc::clone(pool))),
        function: Arc::new(function),
        mode: None,
    }
}

fn job(hook: PyHook, limit: Duration) -> (Job, Answer) {
    let (reply, answer) = oneshot();
    let object = Box::new(Object {
        hook_type: HookType::Pre,
        hook_name: "hook".into(),
        hook: coprocess_core::Hook::new(()),
        request: Box::new(Request::new(
            http::Method::GET,
            http::Uri::from_static("/"),
            http::HeaderMap::new(),
        )),
        session: None,
        metadata: StringMap::new(),
        spec: Arc::new(Spec::default()),
        response: None,
        time_limit: limit,
    });
    let job = Job {
        hook: Submitted::new(hook),
        work: Work::Hook { object, reply },
        limit,
        queued: Instant::now(),
        expected: Expected::new(false, false),
    };
    (job, answer)
}

#[test]
fn a_call_is_answered_at_its_limit_when_no_thread_can_be_started() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let limits = Limits {
        concurrency: 4,
        queue: 4,
        stuck: 4,
    };
    let pool = Arc::new(Pool::new(limits, move || {
        counted.fetch_add(1, Ordering::Relaxed);
        false
    }));
    start_monitor(&pool).unwrap();
    // Asleep, as it is when calls come one by one.
    std::thread::sleep(Duration::from_millis(50));
    let limit = Duration::from_millis(300);
    let (job, mut answer) = job(hook(&pool), limit);
    pool.submit(job).unwrap();
    let end = Instant::now() + limit * 10;
    let outcome = loop {
        let answered = std::pin::Pin::new(&mut answer);
        match answered.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => break outcome,
            Poll::Pending => assert!(Instant::now() < end, "nobody answers"),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(matches!(outcome, Err(DispatchError::TimeLimit { .. })));
    // Each try that fails is a line in the log.
    let tries = tries.load(Ordering::Relaxed);
    assert!((1..=5).contains(&tries), "{tries}");
    pool.close();
}

fn unlimited() -> Limits {
    Limits {
        concurrency: 100,
        queue: 100,
        stuck: 100,
    }
}

/// Submits a job that computes, or that may wait.
fn submit(pool: &Arc<Pool>, computes: bool) -> Answer {
    let (mut job, answer) = job(hook(pool), Duration::from_secs(10));
    job.expected = Expected::new(false, computes);
    pool.submit(job).unwrap();
    answer
}

#[test]
fn jobs_that_compute_run_one_after_the_other_and_the_others_beside_them() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let pool = Arc::new(Pool::new(unlimited(), move || {
        counted.fetch_add(1, Ordering::Relaxed);
        true
    }));
    let _computing: Vec<_> = (0..3).map(|_| submit(&pool, true)).collect();
    pool.entered(None);
    let first = pool.try_take().unwrap();
    let _fourth = submit(&pool, true);
    assert!(pool.try_take().is_none());
    let before = asked.load(Ordering::Relaxed);
    let _waiting = submit(&pool, false);
    assert_eq!(asked.load(Ordering::Relaxed), before + 1);
    assert!(!pool.try_take().unwrap().expected.computes);
    pool.finished(first.lane(), first.expected, false);
    assert!(pool.try_take().unwrap().expected.computes);
    assert!(pool.try_take().is_none());
}

/// Native code may keep the interpreter for seconds. Threads that wait for it ask for it two
/// thousand times a second each, so that hundreds of them leave the processors for nobody else.
#[test]
fn no_thread_is_started_while_one_waits_for_the_interpreter() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let pool = Arc::new(Pool::new(unlimited(), move || {
        counted.fetch_add(1, Ordering::Relaxed);
        true
    }));
    start_monitor(&pool).unwrap();
    let _waiting: Vec<_> = (0..20).map(|_| submit(&pool, false)).collect();
    std::thread::sleep(MONITOR * 50);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    // The next one is asked for when the first has arrived, and so on.
    for started in 2..10 {
        pool.entered(None);
        pool.try_take().unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), started);
    }
    // The same holds for one that slept and was woken.
    let taken = pool.take().unwrap();
    pool.entered(None);
    assert_eq!(asked.load(Ordering::Relaxed), 9);
    pool.entered(Some(taken.expected));
    assert_eq!(asked.load(Ordering::Relaxed), 10);
    pool.close();
}

#[test]
fn a_job_that_computes_for_long_does_not_hold_up_the_next() {
    let pool = Arc::new(Pool::new(unlimited(), || true));
    start_monitor(&pool).unwrap();
    let _long = submit(&pool, true);
    pool.entered(None);
    let long = pool.try_take().unwrap();
    let _next = submit(&pool, true);
    let end = Instant::now() + Duration::from_secs(5);
    let next = loop {
        if let Some(job) = pool.try_take() {
            break job;
        }
        assert!(Instant::now() < end, "it is held up");
        std::thread::sleep(MONITOR);
    };
    // The one that is late ends; the other is the one to wait for from now on.
    pool.finished(long.lane(), long.expected, false);
    let _third = submit(&pool, true);
    assert!(pool.try_take().is_none());
    pool.finished(next.lane(), next.expected, false);
    assert!(pool.try_take().is_some());
    pool.close();
}
