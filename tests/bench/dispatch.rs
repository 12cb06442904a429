//! What the benches of the languages share: the requests that are dispatched, and a run of one
//! bench over them.

mod case;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use coprocess_core::{
    CoProcessLanguage, DispatchError, HookType, Host, HostError, LogLevel, Object, Plugin, Request,
    Spec, StringMap,
};
use divan::Bencher;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

pub(crate) use case::{CASES, Case};

/// Dispatches the function `name` of `plugin` again and again.
pub(crate) fn run(
    bencher: Bencher<'_, '_>,
    language: &impl CoProcessLanguage,
    plugin: &dyn Plugin,
    name: &str,
    case: Case,
) {
    let hook = plugin.hook(name, HookType::Pre).expect("it is there");
    let spec = Arc::new(Spec::default());
    let headers = headers(case.headers);
    let body = Bytes::from(vec![b'x'; case.body]);
    let input = || Object {
        hook_type: HookType::Pre,
        hook_name: name.into(),
        hook: hook.clone(),
        request: Box::new(Request {
            raw_body: body.clone(),
            ..Request::new(
                Method::GET,
                Uri::from_static("/items/17?a=b"),
                headers.clone(),
            )
        }),
        session: None,
        metadata: StringMap::new(),
        spec: Arc::clone(&spec),
        response: None,
        time_limit: Duration::from_secs(5),
    };
    bencher
        .with_inputs(input)
        .bench_local_values(|object| finish(language.dispatch(object)));
}

fn headers(count: usize) -> HeaderMap {
    let name = |number| HeaderName::try_from(format!("x-header-{number}"));
    let value = HeaderValue::from_static("a value of a usual length");
    let fields = (0..count).map(|number| (name(number).expect("this is a name"), value.clone()));
    fields.collect()
}

fn finish(dispatch: impl Future<Output = Result<Object, DispatchError>>) -> Object {
    match pin!(dispatch).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome.expect("the hook succeeds"),
        Poll::Pending => unreachable!("it runs in place"),
    }
}

/// A gateway that does nothing.
pub(crate) struct Silent;

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
