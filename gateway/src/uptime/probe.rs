//! One test: whom it asks, what it asks, and what became of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::definition::{Command, UptimeTest};
use crate::upstream::target::{Target, Way};

/// How long an answer may take, unless the test says otherwise.
const USUAL_LIMIT: Duration = Duration::from_millis(500);

/// The longest that a test can ask for.
const LONGEST: Duration = Duration::from_secs(60);

/// A test, ready to be run.
#[derive(Debug)]
pub struct Probe {
    pub(super) test: UptimeTest,
    target: Arc<Target>,
    asks: Asks,
    limit: Duration,
}

/// What is asked.
#[derive(Debug)]
enum Asks {
    Http(Box<Request<Bytes>>),
    Connection(Vec<Said>),
}

/// One thing that is said over a connection.
#[derive(Debug)]
enum Said {
    Send(Bytes),
    Expect(Bytes),
}

/// What became of a test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Report {
    /// The status; 200 for a connection that did as it should, 0 without an answer.
    pub(super) code: u16,
    pub(super) milliseconds: f64,
    /// There is no answer.
    pub(super) is_connection: bool,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

// === impl Probe ===

impl Probe {
    /// What the definition asks for, or what is wrong with it. `secure` sets up TLS.
    pub fn new(
        test: &UptimeTest,
        secure: impl FnOnce(Target) -> Result<Arc<Target>, String>,
    ) -> Result<Self, String> {
        let fields = &test.0;
        let (target, asks) = match fields.protocol.as_str() {
            protocol @ ("tcp" | "tls") => {
                let asks = Asks::Connection(commands(&fields.commands)?);
                (connection(&fields.url, protocol)?, asks)
            }
            "" | "http" | "https" => {
                if !fields.commands.is_empty() {
                    return Err("commands: they need the protocol tcp or tls".into());
                }
                (parse(&fields.url)?, http(test)?)
            }
            other => {
                return Err(format!(
                    "protocol: `{other}` is not one of http, https, tcp, tls"
                ));
            }
        };
        let limit = match fields.timeout.0 {
            Duration::ZERO => USUAL_LIMIT,
            limit if limit > LONGEST => {
                return Err(format!("timeout: {limit:?} is longer than {LONGEST:?}"));
            }
            limit => limit,
        };
        if matches!(target.way, Way::PlainHttp2) {
            return Err(format!("url: `{}`: h2c is not tested", fields.url));
        }
        let target = secure(target).map_err(|error| format!("url: `{}`: {error}", fields.url))?;
        Ok(Self {
            test: test.clone(),
            target,
            asks,
            limit,
        })
    }

    /// `host:port` that it asks.
    pub fn authority(&self) -> &str {
        &self.target.authority
    }

    /// Asks, and waits for the answer as long as it may take.
    pub(super) async fn run(&self) -> Report {
        let began = Instant::now();
        let outcome = tokio::time::timeout(self.limit, self.ask()).await;
        let code = outcome.ok().and_then(Result::ok);
        Report {
            code: code.unwrap_or(0),
            milliseconds: began.elapsed().as_secs_f64() * 1000.0,
            is_connection: code.is_none(),
        }
    }

    async fn ask(&self) -> Result<u16, Failure> {
        let stream = TcpStream::connect((&*self.target.host, self.target.port)).await?;
        let stream: Box<dyn Stream> = match &self.target.way {
            Way::Tls(tls) => Box::new(tls.open(stream, false).await?),
            Way::Plain => Box::new(stream),
            Way::PlainHttp2 | Way::Unsecured => return Err("TLS is not set up".into()),
        };
        match &self.asks {
            Asks::Connection(said) => talk(stream, said).await.map(|()| 200),
            Asks::Http(request) => exchange(stream, Request::clone(request)).await,
        }
    }

    /// What events tell of it, under the original's names.
    pub(super) fn told(&self, api_id: &str, report: Report) -> Value {
        let fields = &self.test.0;
        let commands = fields.commands.iter();
        let commands = commands.map(|one| json!({"name": one.name, "message": one.message}));
        json!({
            "CheckURL": fields.url,
            "Protocol": fields.protocol,
            "Timeout": fields.timeout,
            "EnableProxyProtocol": false,
            "Commands": commands.collect::<Vec<_>>(),
            "Method": fields.method,
            "Headers": fields.headers,
            "Body": fields.body,
            "MetaData": {
                "target_url": fields.url,
                "api_id": api_id,
                "host_name": self.target.host_header.to_str().unwrap_or_default(),
            },
            "ResponseCode": report.code,
            "Latency": report.milliseconds,
            "IsTCPError": report.is_connection,
        })
    }
}

// === impl Report ===

impl Report {
    /// As the original sees it, only 200 is a host that is up.
    pub(super) fn is_good(self) -> bool {
        !self.is_connection && self.code == 200
    }
}

fn parse(url: &str) -> Result<Target, String> {
    Target::parse(url).map_err(|error| {
        let told = error.to_string();
        // It is not the `target_url` that is wrong.
        told.replacen("target_url", "url:", 1)
    })
}

/// Where a connection goes: `host:port`, also behind `tcp://` or `tls://`.
fn connection(url: &str, protocol: &str) -> Result<Target, String> {
    let scheme = format!("{protocol}://");
    let place = url.strip_prefix(&scheme).unwrap_or(url);
    let has_port = place
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if !has_port {
        return Err(format!(
            "url: `{url}` is no host with a port, like host:6379"
        ));
    }
    let known = if protocol == "tls" { "https" } else { "http" };
    parse(&format!("{known}://{place}"))
}

fn commands(commands: &[Command]) -> Result<Vec<Said>, String> {
    let made = commands.iter().enumerate().map(|(place, command)| {
        let message = Bytes::from(command.message.clone());
        match command.name.as_str() {
            "send" => Ok(Said::Send(message)),
            "expect" => Ok(Said::Expect(message)),
            other => Err(format!(
                "commands[{place}].name: `{other}` is not one of send, expect"
            )),
        }
    });
    made.collect()
}

fn http(test: &UptimeTest) -> Result<Asks, String> {
    let fields = &test.0;
    let method = match fields.method.as_str() {
        "" => Method::GET,
        method => Method::from_bytes(method.as_bytes())
            .map_err(|_| format!("method: `{method}` is no method"))?,
    };
    let body = STANDARD
        .decode(&fields.body)
        .map_err(|error| format!("body: it is not base64: {error}"))?;
    let uri: Uri = fields
        .url
        .parse()
        .map_err(|error| format!("url: `{}`: {error}", fields.url))?;
    let path = uri.path_and_query().cloned();
    let authority = uri.authority().map(|authority| authority.as_str());
    let host = HeaderValue::from_str(authority.unwrap_or_default())
        .map_err(|error| format!("url: `{}`: {error}", fields.url))?;
    let mut request = Request::new(Bytes::from(body));
    *request.method_mut() = method;
    *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
    let headers = request.headers_mut();
    headers.insert(header::HOST, host);
    for (name, value) in &fields.headers {
        let wrong = |what: &str| format!("headers.{name}: it is no {what}");
        let name = HeaderName::try_from(name.as_str()).map_err(|_| wrong("header"))?;
        let value = HeaderValue::from_str(value).map_err(|_| wrong("value of a header"))?;
        headers.insert(name, value);
    }
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(Asks::Http(Box::new(request)))
}

/// The status that comes back over a connection.
async fn exchange(stream: Box<dyn Stream>, request: Request<Bytes>) -> Result<u16, Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answering = async {
        let response = sender.send_request(request.map(Full::new)).await?;
        Ok::<_, Failure>(response.status().as_u16())
    };
    let mut answering = std::pin::pin!(answering);
    // The connection ends with this function, whatever is left of the answer. One that has
    // ended before may have left an answer.
    tokio::select! {
        answer = &mut answering => answer,
        _ = connection => answering.await,
    }
}

async fn talk(mut stream: Box<dyn Stream>, said: &[Said]) -> Result<(), Failure> {
    for one in said {
        match one {
            Said::Send(message) => {
                stream.write_all(message).await?;
                stream.flush().await?;
            }
            Said::Expect(message) => {
                let mut answer = vec![0; message.len()];
                stream.read_exact(&mut answer).await?;
                if answer != *message {
                    return Err("another answer than expected".into());
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(test: Value, expected: Result<&str, &str>) {
        let test: UptimeTest = serde_json::from_value(test).unwrap();
        let made = Probe::new(&test, |target| Ok(Arc::new(target)));
        match (made, expected) {
            (Ok(probe), Ok(authority)) => assert_eq!(probe.authority(), authority),
            (Err(told), Err(part)) => assert!(told.contains(part), "{told}"),
            (made, expected) => panic!("{made:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn tests_are_understood_or_told_what_is_wrong() {
        check(json!("http://a/x?y"), Ok("a:80"));
        check(json!({"url": "https://a:1"}), Ok("a:1"));
        check(json!({"url": "a:6379", "protocol": "tcp"}), Ok("a:6379"));
        check(
            json!({"url": "tls://[::1]:7", "protocol": "tls"}),
            Ok("[::1]:7"),
        );
        for (test, part) in [
            (json!(""), "url: `"),
            (json!("a:80"), "url: `a:80`: needs a scheme"),
            (json!("h2c://a"), "h2c is not tested"),
            (json!({"url": "a", "protocol": "tcp"}), "host with a port"),
            (
                json!({"url": "a:1", "protocol": "udp"}),
                "`udp` is not one of",
            ),
            (
                json!({"url": "http://a", "method": "G T"}),
                "`G T` is no method",
            ),
            (json!({"url": "http://a", "body": "?"}), "not base64"),
            (
                json!({"url": "http://a", "headers": {"a b": ""}}),
                "headers.a b",
            ),
            (
                json!({"url": "http://a", "timeout": "2m"}),
                "longer than 60s",
            ),
            (
                json!({"url": "http://a", "commands": [{"name": "send"}]}),
                "need the protocol",
            ),
            (
                json!({"url": "a:1", "protocol": "tcp", "commands": [{"name": "wait"}]}),
                "commands[0].name: `wait`",
            ),
        ] {
            check(test, Err(part));
        }
    }
}
