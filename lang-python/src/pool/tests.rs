//! The pool when the system gives no threads.

use std::task::{Context, Poll, Waker};

use coprocess_core::{HookType, Request, Spec, StringMap};
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
    let main = main_thread::start(&options.program, None).unwrap();
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
    }
}

fn job(hook: PyHook, limit: Duration) -> (Job, Answer) {
    let (reply, answer) = oneshot();
    let object = Box::new(Object {
        hook_type: HookType::Pre,
        hook_name: "hook".into(),
        hook: coprocess_core::Hook::new(()),
        request: Request::new(
            http::Method::GET,
            http::Uri::from_static("/"),
            http::HeaderMap::new(),
        ),
        session: None,
        metadata: StringMap::new(),
        spec: Arc::new(Spec::default()),
        response: None,
        time_limit: limit,
    });
    let job = Job {
        hook,
        work: Work::Hook { object, reply },
        limit,
        queued: Instant::now(),
        brief: false,
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
