//! Parts of a request by themselves: finding its API, counting it, and what surrounds a hook, which is the
//! object made from the exchange and the exchange made from the object.
//! `cargo bench -p gateway --bench parts`.

#[path = "../../tests/bench/case.rs"]
mod case;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use coprocess_core::{
    CoProcessLanguage, DispatchFuture, Event, Hook, HookType, InitContext, InitError, Object,
    RequestId, Session, Spec,
};
use divan::{Bencher, black_box};
use gateway::api::Api;
use gateway::chain::{Flow, Middleware as _, Step};
use gateway::coprocess::{CallSettings, HookCall, HookStep};
use gateway::definition::BodyMode;
use gateway::edge::Policy;
use gateway::error::{ErrorFormat, ErrorStyle};
use gateway::events::{self, ApiEvents, Handlers};
use gateway::exchange::{Exchange, Peer};
use gateway::limits::{Demand, Key, Limits, RateMode};
use gateway::router::Router;
use gateway::session::key::KeyNames;
use gateway::storage::{MemoryStore, Store};
use gateway::traffic::paths::{Meaning, Readings, Rule, Rules};
use gateway::upstream::body::RequestBody;
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};

use case::{CASES, Case};

fn main() {
    divan::main();
}

/// Goes round the APIs, as the requests of many clients do.
#[divan::bench(args = [1, 100, 10_000])]
fn router_match(bencher: Bencher<'_, '_>, apis: usize) {
    let mut router = Router::new(false);
    for number in 0..apis {
        let path = format!("/team-{}/api-{number}/", number % 17);
        let free = router.insert(&path, Arc::new(number));
        assert!(free.expect("this is a listen path"));
    }
    let paths: Vec<String> = (0..apis)
        .map(|number| number * 7919 % apis)
        .map(|number| format!("/team-{}/api-{number}/items/17", number % 17))
        .collect();
    let mut next = paths.iter().cycle();
    bencher.bench_local(move || {
        let path = next.next().expect("a cycle has no end");
        let (found, length) = router.find(black_box(path)).expect("the path is an API's");
        (**found, length)
    });
}

/// Counting a request, for the keys of many callers, alone and beside another thread.
#[divan::bench(args = ["rate", "quota", "both"], threads = [1, 2])]
fn limits_count(bencher: Bencher<'_, '_>, kind: &str) {
    let session = Session {
        rate: if kind == "quota" { 0.0 } else { 1e6 },
        per: 60.0,
        quota_max: if kind == "rate" { -1 } else { i64::MAX },
        quota_renewal_rate: 3600,
        ..Session::default()
    };
    let names = KeyNames {
        hashed: false,
        function: None,
    };
    let limits = Limits::new(Arc::new(MemoryStore::default()), names, RateMode::Exact);
    let keys: Vec<String> = (0..10_000).map(|number| format!("key-{number}")).collect();
    let next = AtomicUsize::new(0);
    bencher.bench(|| {
        let number = next.fetch_add(7919, Ordering::Relaxed);
        let key = Key::Session(&keys[number % keys.len()]);
        let decision = limits.count(&Demand::of(&session, "api"), &key, None);
        assert_eq!(decision.refused, None);
    });
}

/// A list of so many patterns, asked about a path that the last one matches.
#[divan::bench(args = [1, 10, 100, 1000])]
fn path_list_match(bencher: Bencher<'_, '_>, patterns: usize) {
    let patterns: Vec<_> = (0..patterns)
        .map(|number| format!("/resource{number}/{{id}}/details"))
        .collect();
    let rules = patterns.iter().map(|path| Rule {
        path,
        method: "GET",
        ignore_case: false,
        value: (),
    });
    let rules = Rules::compile(rules, Meaning::default());
    let rules = rules.expect("they are patterns").expect("there are some");
    let path = format!("/resource{}/17/details", patterns.len() - 1);
    bencher.bench(|| {
        let readings = Readings::new(black_box(&path));
        assert!(rules.any(&readings, &Method::GET).is_some());
    });
}

/// A hook that sets a header, without an interpreter's part.
#[divan::bench(args = CASES)]
fn object_build_and_apply(bencher: Bencher<'_, '_>, case: Case) {
    let step = hook_step();
    let api = api();
    let body = Bytes::from(vec![b'x'; case.body]);
    bencher
        .with_inputs(|| exchange(&api, case.headers, body.clone()))
        .bench_local_refs(|exchange| {
            let outcome = step.process(exchange);
            assert!(matches!(outcome, Step::Done(Ok(Flow::Continue))));
        });
}

/// A language whose hooks set one header and are done.
struct SetsHeader;

impl CoProcessLanguage for SetsHeader {
    fn init(&self, _context: InitContext) -> Result<(), InitError> {
        Ok(())
    }

    fn dispatch(&self, mut object: Object) -> DispatchFuture<'_> {
        let headers = &mut object.request.set_headers;
        headers.insert("X-Plugin".into(), "on".into());
        DispatchFuture::ready(Ok(object))
    }

    fn trigger_event(&self, _event: Event) {}
}

fn hook_step() -> HookStep {
    let settings = CallSettings {
        time_limit: Duration::from_secs(5),
        raw_body_only: false,
        body: BodyMode::Buffer,
        max_body_bytes: 8 << 20,
    };
    HookStep {
        hook_type: HookType::Pre,
        name: "hook".into(),
        driver: "none".into(),
        state: Ok(HookCall::new(
            Arc::new(SetsHeader),
            Hook::by_name(),
            settings,
        )),
    }
}

fn api() -> Arc<Api> {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let (events, ..) = events::start(&Default::default(), store);
    let events = ApiEvents::new(events, Handlers::default());
    Arc::new(Api::without_hooks(Spec::default(), events))
}

fn exchange(api: &Arc<Api>, headers: usize, body: Bytes) -> Exchange {
    let mut head = Request::new(()).into_parts().0;
    head.uri = Uri::from_static("/items/17?a=b");
    for number in 0..headers {
        let name = HeaderName::try_from(format!("x-header-{number}"));
        let value = HeaderValue::from_static("a value of a usual length");
        head.headers.insert(name.expect("this is a name"), value);
    }
    if !body.is_empty() {
        head.headers
            .insert(header::CONTENT_LENGTH, body.len().into());
    }
    Exchange {
        api: Arc::clone(api),
        head,
        body: RequestBody::Whole(body),
        listen_length: 0,
        client: Peer::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 4321))),
        id: RequestId(1),
        received: SystemTime::UNIX_EPOCH,
        error_style: ErrorStyle {
            format: ErrorFormat::Json,
            hide_generator: false,
        },
        policy: Policy {
            allow_encoded_slash: false,
            max_head_bytes: usize::MAX,
            max_headers: usize::MAX,
        },
        scheme: "http",
        session: None,
        unsaved: None,
        limits: None,
        version: None,
        traffic: None,
        upgrade: None,
    }
}
