//! What a light hook costs: in place on the caller's thread, and through the host's threads.
//!
//! `cargo run --release -p lang-python --example measure`. One process, so the numbers are
//! of one interpreter; nothing else may load the machine.
//!
//! With the name of a scenario's hook and a number, as in `measure HookP1 20000`, it makes
//! that many calls in place and prints nothing, and with `-` before the name it makes only
//! the objects: `valgrind --tool=callgrind` counts the instructions of a call as the difference
//! between two numbers, on a busy machine too. `measure queue auto HookP3 20000` prints what
//! 64 calls at a time cost and wait.

mod queue;
mod scenarios;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use bytes::Bytes;
use coprocess_core::{
    CoProcessLanguage, HookType, Host, HostError, InitContext, LogLevel, Object, Plugin,
    PluginSource, Request, Session, SourceKind, Spec, StringMap,
};
use http::{HeaderMap, HeaderValue, Method, Uri};
use lang_python::PythonLanguage;

use scenarios::Scenario;

const PLUGIN: &str = "
from tyk.decorators import *

@Hook
def nothing(request, session, spec):
    return request, session

@Hook
def light(request, session, spec):
    if request.get_header('x-client') == 'block':
        request.object.return_overrides.response_code = 403
        return request, session
    request.add_header('x-plugin', 'on')
    return request, session

@Hook
def auth(request, session, metadata, spec):
    key = request.get_header('authorization')
    if key:
        metadata['token'] = key
        session.rate = 100
        session.per = 1
    return request, session, metadata

@Hook
async def awaitable(request, session, spec):
    request.add_header('x-plugin', 'on')
    return request, session
";

/// In a file of its own: what may wait never runs in place.
const FAULTS: &str = "
import ctypes, threading, time
from tyk.decorators import *

@Hook
def quiet(request, session, spec):
    return request, session

@Hook
def sleeps(request, session, spec):
    time.sleep(1)
    return request, session

@Hook
def spins(request, session, spec):
    end = time.monotonic() + 1
    while time.monotonic() < end: pass
    return request, session

@Hook
def native(request, session, spec):
    # Keeps the interpreter's lock, as a large regular expression does.
    ctypes.PyDLL(None).usleep(1000000)
    return request, session

@Hook
def background(request, session, spec):
    threading.Thread(target=spins.f, args=(request, session, spec)).start()
    return request, session
";

struct Silent;

impl Host for Silent {
    fn log(&self, _level: LogLevel, _source: &str, _message: &str) {}
    fn emit_event(&self, _name: &str, _payload: &str) {}
    fn store_data(&self, _key: &str, _value: &[u8], _ttl: i64) -> Result<(), HostError> {
        Ok(())
    }
    fn get_data(&self, _key: &str) -> Result<Option<Bytes>, HostError> {
        Ok(None)
    }
}

fn main() {
    let root = std::env::temp_dir().join(format!("lang-python-measure-{}", std::process::id()));
    std::fs::create_dir_all(&root).expect("the folder for temporary files is writable");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse().expect("the last is a number");
    match *arguments.as_slice() {
        ["queue", mode, name, total] => queue(&root, mode, name, number(total)),
        [name, times] => count(&root, name, number(times)),
        _ => report(&root),
    }
    let _ = std::fs::remove_dir_all(root);
}

/// Makes that many calls of a scenario's hook, and nothing else. With a `-` before the name
/// it makes only the objects.
fn count(root: &Path, name: &str, times: usize) {
    let language = start("inline");
    let (name, calls) = name
        .strip_prefix('-')
        .map_or((name, true), |name| (name, false));
    let scenario = scenario(&language, root, name);
    as_a_data_thread(|| {
        for _ in 0..times {
            let object = scenario.object();
            if calls {
                block_on(language.dispatch(object)).expect("the hook works");
            }
        }
    });
}

/// Makes many calls of a scenario's hook, 64 at a time.
#[expect(clippy::print_stdout, reason = "a report is what this program is for")]
fn queue(root: &Path, mode: &str, name: &str, total: usize) {
    let language = start(mode);
    let scenario = scenario(&language, root, name);
    as_a_data_thread(|| {
        let series = queue::run(&language, || scenario.object(), 64, total);
        let at = |share: f64| {
            let place = (total - 1) as f64 * share;
            series.waits[place as usize].as_micros()
        };
        println!(
            "{mode:7} {name:10} 64 at a time: {} us of processor time a call; p50 {} us, \
             p99 {} us, max {} us",
            series.each.as_micros(),
            at(0.5),
            at(0.99),
            at(1.0)
        );
    });
}

fn scenario(language: &PythonLanguage, root: &Path, name: &str) -> Scenario {
    let plugin = language.load(&scenarios::source(root));
    let plugin = plugin.expect("the plugin loads");
    let mut known = scenarios::ALL.into_iter();
    let found = known.find(|(known, _)| *known == name);
    let (name, hook_type) = found.expect("the first is the name of a hook");
    let hook = plugin.hook(name, hook_type);
    Scenario::new(hook.expect("the function is there"), name, hook_type)
}

/// Hooks run in place on threads with a stack of that size only.
fn as_a_data_thread(work: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let builder = thread::Builder::new().stack_size(8 << 20);
        builder.spawn_scoped(scope, work).map(drop)
    })
    .expect("the system has a thread left");
}

#[expect(clippy::print_stdout, reason = "a report is what this program is for")]
fn report(root: &Path) {
    std::fs::write(root.join("plugin.py"), PLUGIN).expect("the folder is writable");
    std::fs::write(root.join("faults.py"), FAULTS).expect("the folder is writable");
    let source = PluginSource {
        name: "measure".to_owned(),
        root: root.to_owned(),
        files: vec![PathBuf::from("plugin.py"), PathBuf::from("faults.py")],
        kind: SourceKind::Directory,
    };
    let scenarios = scenarios::source(root);
    for mode in ["inline", "auto", "thread"] {
        let language = start(mode);
        let plugin = language.load(&source).expect("the plugin loads");
        for name in ["nothing", "light", "auth", "awaitable"] {
            let hook = plugin.hook(name, HookType::Pre);
            let hook = hook.expect("the function is there");
            let each = measure(&language, || object(&hook, name));
            println!("{mode:7} {name:10} {:7.0} ns", each.as_nanos());
        }
        let plugin = language.load(&scenarios).expect("the plugin loads");
        for (name, hook_type) in scenarios::ALL {
            let hook = plugin.hook(name, hook_type);
            let scenario = Scenario::new(hook.expect("the function is there"), name, hook_type);
            let each = measure(&language, || scenario.object());
            println!("{mode:7} {name:10} {:7.0} ns", each.as_nanos());
        }
    }
    for threads in [2, 4] {
        let language = start("auto");
        let plugin = language.load(&source).expect("the plugin loads");
        let each = contended(&language, plugin.as_ref(), threads);
        println!(
            "auto    light, {threads} callers {:7.0} ns a call",
            each.as_nanos()
        );
    }
    for mode in ["inline", "auto", "thread"] {
        for fault in ["quiet", "sleeps", "spins", "native", "background"] {
            let language = start(mode);
            let plugin = language.load(&source).expect("the plugin loads");
            let mut late = beside(&language, plugin.as_ref(), fault);
            late.sort();
            let at = |share: f64| late[((late.len() - 1) as f64 * share) as usize].as_micros();
            println!(
                "{mode:7} other routes beside `{fault}`: p50 {} us, p99 {} us, max {} us",
                at(0.5),
                at(0.99),
                at(1.0)
            );
        }
    }
}

/// How late requests of other routes are, of which one comes each millisecond on a thread
/// that also begins a call of a light hook each time, while another hook misbehaves for a
/// second.
fn beside(language: &PythonLanguage, plugin: &dyn Plugin, fault: &str) -> Vec<Duration> {
    const TICK: Duration = Duration::from_millis(1);
    let hook = |name| {
        let found = plugin.hook(name, HookType::Pre);
        found.expect("the function is there")
    };
    let (light, faulty) = (hook("light"), hook(fault));
    for _ in 0..20_000 {
        block_on(language.dispatch(object(&light, "light"))).expect("the hook works");
    }
    let began = Instant::now();
    let mut calls = vec![language.dispatch(object(&faulty, fault))];
    let late = (1..1000).map(|tick| {
        let due = began + TICK * tick;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let late = due.elapsed();
        calls.push(language.dispatch(object(&light, "light")));
        late
    });
    let late = late.collect();
    for call in calls {
        block_on(call).expect("the hook works");
    }
    late
}

fn start(mode: &str) -> PythonLanguage {
    let language = PythonLanguage::default();
    let mut options = serde_json::Map::new();
    options.insert("python_dispatch".to_owned(), mode.into());
    language
        .init(InitContext {
            host: Arc::new(Silent),
            options,
            plugin_directory: PathBuf::new(),
            workers: 1,
        })
        .expect("Python starts");
    language
}

/// The median of many small rounds, without the time to make the objects. A round's objects
/// fit into the cache, as the one object of a real request does.
fn measure(language: &PythonLanguage, object: impl Fn() -> Object) -> Duration {
    const ROUND: u32 = 50;
    let mut rounds: Vec<Duration> = (0..1000)
        .map(|_| {
            let objects: Vec<Object> = (0..ROUND).map(|_| object()).collect();
            let mut after = Vec::with_capacity(objects.len());
            let began = Instant::now();
            for object in objects {
                after.push(block_on(language.dispatch(object)).expect("the hook works"));
            }
            began.elapsed() / ROUND
        })
        .collect();
    rounds.sort();
    rounds[rounds.len() / 2]
}

/// Wall time a call when several threads dispatch at the same time.
fn contended(language: &PythonLanguage, plugin: &dyn Plugin, threads: u32) -> Duration {
    let hook = plugin
        .hook("light", HookType::Pre)
        .expect("the function is there");
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            // Hooks run in place on threads with a stack of that size only.
            let builder = thread::Builder::new().stack_size(8 << 20);
            let started = builder.spawn_scoped(scope, || {
                for _ in 0..20_000 {
                    let object = object(&hook, "light");
                    block_on(language.dispatch(object)).expect("the hook works");
                }
            });
            started.expect("the system has a thread left");
        }
    });
    began.elapsed() / (20_000 * threads)
}

fn object(hook: &coprocess_core::Hook, name: &str) -> Object {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "api.example.com"),
        ("user-agent", "measure"),
        ("accept", "*/*"),
        ("authorization", "key"),
        ("x-client", "someone"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Object {
        hook_type: HookType::Pre,
        hook_name: name.into(),
        hook: hook.clone(),
        request: Box::new(Request::new(
            Method::GET,
            Uri::from_static("/things/1?a=1"),
            headers,
        )),
        session: Some(Box::new(Session::default())),
        metadata: StringMap::new(),
        spec: Arc::new(Spec::default()),
        response: None,
        time_limit: Duration::from_secs(5),
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    // Most calls are done at the first poll; those need no waker.
    if let Poll::Ready(output) = future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        return output;
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
