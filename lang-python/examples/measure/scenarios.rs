//! The scenarios P1 to P4 of the peer benchmark, without a gateway around them: the same
//! hooks, and objects like those that the gateway builds for them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use coprocess_core::{
    Hook, HookType, Object, PluginSource, Request, Response, Session, SourceKind, Spec, StringMap,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

const HOOKS: &str = include_str!("../../../tests/bench/plugins/python/hooks.py");

/// The names of the hooks, and where they sit.
pub(crate) const ALL: [(&str, HookType); 4] = [
    ("HookP1", HookType::Pre),
    ("HookP2", HookType::CustomKeyCheck),
    ("HookP3", HookType::Pre),
    ("HookP4", HookType::Response),
];

/// Writes the benchmark's plugin, with the tokens that it reads, into a folder.
pub(crate) fn source(root: &Path) -> PluginSource {
    let mut tokens = String::new();
    for number in 0..10_000 {
        let _ = writeln!(tokens, "{number:032} user{number}");
    }
    let list = root.join("tokens");
    let told = format!("import os\nos.environ['BENCH_TOKENS'] = {list:?}\n{HOOKS}");
    std::fs::write(&list, tokens).expect("the folder is writable");
    std::fs::write(root.join("hooks.py"), told).expect("the folder is writable");
    PluginSource {
        name: "scenarios".to_owned(),
        root: root.to_owned(),
        files: vec![PathBuf::from("hooks.py")],
        kind: SourceKind::Directory,
    }
}

/// What the objects of one scenario are made of.
pub(crate) struct Scenario {
    hook: Hook,
    name: Arc<str>,
    hook_type: HookType,
    spec: Arc<Spec>,
    headers: HeaderMap,
    answer: HeaderMap,
    body: Bytes,
}

impl Scenario {
    pub(crate) fn new(hook: Hook, name: &str, hook_type: HookType) -> Self {
        let mut headers = parsed(&[
            ("host", "127.0.0.1:8080"),
            ("user-agent", "ldgen/1.0"),
            ("accept", "*/*"),
            ("x-client", "ldgen"),
            ("x-forwarded-for", "127.0.0.1"),
        ]);
        let mut body = Bytes::new();
        if name == "HookP2" {
            let token = HeaderValue::from_str(&format!("Bearer {:032}", 1234));
            headers.insert("authorization", token.expect("it is plain text"));
        }
        if name == "HookP3" {
            body = json();
            headers.insert("content-type", HeaderValue::from_static("application/json"));
            headers.insert("content-length", HeaderValue::from(body.len()));
        }
        let answer = parsed(&[
            ("server", "up"),
            ("date", "Mon, 01 Jan 2024 00:00:00 GMT"),
            ("content-type", "application/json"),
            ("content-length", "27"),
            ("x-upstream-version", "1.2.3"),
            ("cache-control", "no-store"),
        ]);
        let spec = Spec {
            org_id: "bench".to_owned(),
            api_id: "bench".to_owned(),
            listen_path: "/".to_owned(),
            ..Spec::default()
        };
        Self {
            hook,
            name: name.into(),
            hook_type,
            spec: Arc::new(spec),
            headers,
            answer,
            body,
        }
    }

    /// An object as the gateway makes it for a request.
    pub(crate) fn object(&self) -> Object {
        let is_response = self.hook_type == HookType::Response;
        let (method, body) = (Method::GET, self.body.clone());
        let target = Uri::from_static("/api/items?id=1");
        let mut request = Request::new(method, target, self.headers.clone());
        request.raw_body = body;
        request.received = Some(SystemTime::UNIX_EPOCH);
        request.client_address = Some([127, 0, 0, 1].into());
        Object {
            hook_type: self.hook_type,
            hook_name: Arc::clone(&self.name),
            hook: self.hook.clone(),
            request: Box::new(request),
            session: is_response.then(|| Box::new(Session::default())),
            metadata: StringMap::new(),
            spec: Arc::clone(&self.spec),
            response: is_response.then(|| {
                Box::new(Response {
                    status_code: 200,
                    headers: self.answer.clone(),
                    edited_headers: None,
                    header_edits: Vec::new(),
                    raw_body: Bytes::from_static(b"{\"items\":[1,2,3],\"ok\":true}"),
                    raw_body_only: false,
                })
            }),
            time_limit: Duration::from_secs(5),
        }
    }
}

fn parsed(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let field = |(name, value): &(&'static str, &'static str)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    };
    fields.iter().map(field).collect()
}

/// 4096 bytes with 50 objects.
fn json() -> Bytes {
    let items: Vec<String> = (0..50)
        .map(|number| {
            format!(
                "{{\"id\":{number},\"name\":\"item-{number}\",\"price\":{number}.5,\
                 \"tags\":[\"a\",\"b\",\"c\"],\"ok\":true}}"
            )
        })
        .collect();
    let text = |note: &str| {
        format!(
            "{{\"user\":\"alice\",\"note\":\"{note}\",\"items\":[{}]}}",
            items.join(",")
        )
    };
    let note = "n".repeat(4096 - text("").len());
    Bytes::from(text(&note))
}
