//! A thread that has many calls under way at once, as a data-plane thread does: what a call
//! costs all threads of the process, and how long callers wait.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake};
use std::time::{Duration, Instant};

use coprocess_core::{CoProcessLanguage, DispatchFuture, Object};
use lang_python::PythonLanguage;

/// What a series of calls came to.
pub(crate) struct Series {
    /// Processor time of the process for one call.
    pub(crate) each: Duration,
    /// How long each call took, shortest first.
    pub(crate) waits: Vec<Duration>,
}

/// Tells the thread which of its calls go on.
#[derive(Default)]
struct Woken {
    places: Mutex<VecDeque<usize>>,
    some: Condvar,
}

struct Place(usize, Arc<Woken>);

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        let mut places = self.1.places.lock().expect("nobody panics with the lock");
        places.push_back(self.0);
        self.1.some.notify_one();
    }
}

/// Makes `total` calls, of which `width` are under way at any time.
pub(crate) fn run(
    language: &PythonLanguage,
    object: impl Fn() -> Object,
    width: usize,
    total: usize,
) -> Series {
    let woken = Arc::new(Woken::default());
    let mut pending: Vec<Option<(Instant, DispatchFuture<'_>)>> = Vec::new();
    pending.resize_with(width, || None);
    let mut waits = Vec::with_capacity(total);
    let mut turn: VecDeque<usize> = (0..width).collect();
    let before = processor_time();
    while waits.len() < total {
        let mut places = woken.places.lock().expect("nobody panics with the lock");
        while turn.is_empty() && places.is_empty() {
            let waiting = woken.some.wait(places);
            places = waiting.expect("nobody panics with the lock");
        }
        turn.append(&mut places);
        drop(places);
        let Some(place) = turn.pop_front() else {
            continue;
        };
        let waker = Arc::new(Place(place, Arc::clone(&woken))).into();
        let (began, mut future) = pending[place]
            .take()
            .unwrap_or_else(|| (Instant::now(), language.dispatch(object())));
        match pin!(&mut future).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(outcome) => {
                outcome.expect("the hook works");
                waits.push(began.elapsed());
                turn.push_back(place);
            }
            Poll::Pending => pending[place] = Some((began, future)),
        }
    }
    let each = (processor_time() - before) / u32::try_from(total).expect("it is a small number");
    waits.sort();
    Series { each, waits }
}

/// The processor time of all threads that are there now.
fn processor_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("the system lists threads");
    let times = tasks.flatten().filter_map(|task| -> Option<u64> {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse().ok()
    });
    Duration::from_nanos(times.sum())
}
