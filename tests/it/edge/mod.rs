//! HTTP at the edge: what is malformed, ambiguous or meant for one hop only.
//!
//! The cases come from RFC 9110, 9112, 3986 and 6455. Each is bytes on a socket on one side,
//! and on the other side what an upstream may see of them: for a refused request, nothing.

mod absolute_form;
mod body_framing;
mod chunks;
mod connection;
mod fields;
mod hop_by_hop;
mod host;
mod http2;
mod limits;
mod methods;
mod mutations;
mod relay;
mod request_line;
mod response_body;
mod response_head;
mod target;

use std::time::Duration;

use test_harness::{Client, Definition, Failure, Gateway, Received, Request, Upstream};

use crate::gateway;

/// How long a refusal may take: it must not wait for more bytes.
const PROMPT: Duration = Duration::from_secs(8);

/// What has to happen to a request.
#[derive(Debug)]
struct Outcome {
    /// Statuses with which it may be refused.
    refusals: Vec<u16>,
    /// What an upstream must and must not see in the head, if it may pass.
    passes: Option<(Vec<String>, Vec<String>)>,
}

/// One request and what has to happen to it.
#[derive(Debug)]
struct Case {
    name: String,
    bytes: Vec<u8>,
    outcome: Outcome,
}

impl Case {
    fn new(name: &str, bytes: impl AsRef<[u8]>, outcome: Outcome) -> Self {
        let bytes = bytes.as_ref().to_vec();
        Self {
            name: name.to_owned(),
            bytes,
            outcome,
        }
    }
}

/// The request is refused with one of `statuses`, and no upstream hears of it.
fn refused(statuses: &[u16]) -> Outcome {
    Outcome {
        refusals: statuses.to_vec(),
        passes: None,
    }
}

/// The request passes. The upstream's head, its field names in lower case, has all of `has`
/// and none of `lacks`.
fn passes(has: &[&str], lacks: &[&str]) -> Outcome {
    let owned = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect();
    Outcome {
        refusals: Vec::new(),
        passes: Some((owned(has), owned(lacks))),
    }
}

/// Both are right: a refusal with 400, or passing as told.
fn refused_or_passes(has: &[&str], lacks: &[&str]) -> Outcome {
    Outcome {
        refusals: vec![400],
        ..passes(has, lacks)
    }
}

/// `GET` with a target as it is.
fn get(target: &[u8]) -> Vec<u8> {
    [b"GET ", target, b" HTTP/1.1\r\nHost: a.example\r\n\r\n"].concat()
}

/// `GET /` with header lines as they are; each ends in CRLF already.
fn with_lines(lines: impl AsRef<[u8]>) -> Vec<u8> {
    [
        b"GET / HTTP/1.1\r\nHost: a.example\r\n",
        lines.as_ref(),
        b"\r\n",
    ]
    .concat()
}

/// `POST /` with header lines as they are and what follows the head.
fn post(lines: &str, rest: impl AsRef<[u8]>) -> Vec<u8> {
    let head = format!("POST / HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n");
    [head.as_bytes(), rest.as_ref()].concat()
}

/// A gateway with one API that passes everything on, and a recording upstream behind it.
struct Edge {
    gateway: Gateway,
    upstream: Upstream,
}

impl Edge {
    fn start() -> Self {
        let upstream = Upstream::echo();
        let api = Definition::new("edge")
            .listen("/")
            .keep_listen_path()
            .upstream(&upstream)
            .preserve_host();
        let gateway = gateway().api(api).start();
        Self { gateway, upstream }
    }

    /// Runs one case and says what went wrong.
    fn run(&self, case: &Case) -> Result<(), String> {
        let mut client = self.gateway.connect();
        client.read_limit(PROMPT);
        client.send(&case.bytes);
        let method = case
            .bytes
            .split(|&byte| byte == b' ')
            .next()
            .unwrap_or_default();
        let method = String::from_utf8_lossy(method).into_owned();
        let response = match client.read_final(&method) {
            Ok(response) => response,
            Err(failure) => {
                let _ = self.settle();
                return Err(format!("no response: {failure:?}"));
            }
        };
        if (200..300).contains(&response.status) {
            return self.check_passed(case);
        }
        let verdict = if case.outcome.refusals.contains(&response.status) {
            check_ended(client)
        } else {
            Err(format!("status {} for {response:?}", response.status))
        };
        match self.settle() {
            seen if seen.is_empty() => verdict,
            seen => Err(format!(
                "{verdict:?}; refused, but the upstream saw {seen:?}"
            )),
        }
    }

    fn check_passed(&self, case: &Case) -> Result<(), String> {
        let seen = self.settle();
        let Some((has, lacks)) = &case.outcome.passes else {
            return Err(format!("accepted; the upstream saw {seen:?}"));
        };
        let [received] = seen.as_slice() else {
            return Err(format!(
                "the upstream saw {} requests: {seen:?}",
                seen.len()
            ));
        };
        if !received.complete || !received.problems.is_empty() {
            return Err(format!("the upstream saw {received:?}"));
        }
        let head = head_with_lower_names(received);
        let missing = has.iter().find(|part| !head.contains(part.as_str()));
        let unwanted = lacks.iter().find(|part| head.contains(part.as_str()));
        match (missing, unwanted) {
            (None, None) => Ok(()),
            (Some(part), _) => Err(format!("{part:?} is missing upstream: {head:?}")),
            (_, Some(part)) => Err(format!("{part:?} reached the upstream: {head:?}")),
        }
    }

    /// What the upstream has seen, after a further request has made its whole way: by then
    /// anything sent before has arrived too.
    fn settle(&self) -> Vec<Received> {
        let sentinel = self.gateway.get("/sentinel");
        assert_eq!(
            sentinel.status, 200,
            "the gateway does not serve any more: {sentinel:?}"
        );
        let mut seen = self.upstream.take();
        seen.retain(|received| received.target != "/sentinel");
        seen
    }
}

/// After a refusal nobody knows where the next request would begin: the connection must end.
fn check_ended(mut client: Client) -> Result<(), String> {
    match client.read_response("GET") {
        Err(Failure::Closed | Failure::Reset) => Ok(()),
        other => Err(format!("refused, but the connection goes on: {other:?}")),
    }
}

fn head_with_lower_names(received: &Received) -> String {
    let text = String::from_utf8_lossy(&received.raw_head).into_owned();
    let mut lines = text.split("\r\n");
    let mut head = format!("{}\r\n", lines.next().unwrap_or_default());
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        head.push_str(&format!("{}:{value}\r\n", name.to_ascii_lowercase()));
    }
    head
}

/// Runs all cases against one gateway and reports every failure at once.
#[track_caller]
fn check(cases: &[Case]) {
    let edge = Edge::start();
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let problem = edge.run(case).err()?;
            Some(format!(
                "- {}: {problem}\n  sent {}",
                case.name,
                shown(&case.bytes)
            ))
        })
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {} cases failed:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}

fn shown(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(300)];
    start.escape_ascii().to_string()
}

/// A refused request that carries another one in its tail must not let that one through.
#[test]
fn nothing_behind_a_refused_request_is_read_as_a_request() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let cases: Vec<Case> = [
        "Transfer-Encoding: identity, chunked\r\n",
        "Transfer-Encoding: cow\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: +3\r\n",
        "Content-Length : 3\r\n",
    ]
    .into_iter()
    .map(|lines| {
        Case::new(
            lines,
            post(lines, format!("0\r\n\r\n{smuggled}")),
            refused(&[400, 501]),
        )
    })
    .collect();
    check(&cases);
}

/// A request through the plain client must work, or the tables above prove nothing.
#[test]
fn an_ordinary_request_passes() {
    let edge = Edge::start();
    assert_eq!(edge.gateway.send(&Request::get("/x")).status, 200);
    check(&[Case::new(
        "plain",
        get(b"/x?y=z"),
        passes(&["GET /x?y=z HTTP/1.1\r\n"], &[]),
    )]);
}
