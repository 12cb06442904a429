//! A small HTTP/2 server and client that do what gRPC does: trailers, and bodies both ways at
//! the same time.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::relay::serve;

/// An HTTP/2 server whose paths are what it does.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    connections: AtomicUsize,
    requests: Mutex<Vec<Received>>,
}

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) head: Request<()>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
    /// Whether its body broke off.
    pub(crate) is_broken: bool,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Server {
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let known = Arc::clone(&shared);
        let address = serve(move |stream| {
            let known = Arc::clone(&known);
            async move {
                known.connections.fetch_add(1, Ordering::SeqCst);
                serve_connection(stream, known).await;
                Ok(())
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("h2c://{}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<Received> {
        self.shared.requests.lock().unwrap().clone()
    }
}

async fn serve_connection(stream: TcpStream, shared: Arc<Shared>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else {
        return;
    };
    while let Some(Ok((request, answer))) = connection.accept().await {
        let path = request.uri().path().to_owned();
        let is_first = shared.requests.lock().unwrap().is_empty();
        if path == "/goodbye" {
            connection.graceful_shutdown();
        }
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // A client that goes away is the test's own doing.
            drop(act(&path, is_first, request, answer, &shared).await);
        });
    }
}

async fn act(
    path: &str,
    is_first: bool,
    request: Request<RecvStream>,
    mut answer: SendResponse<Bytes>,
    shared: &Shared,
) -> Result<(), Failure> {
    let (head, mut body) = request.into_parts();
    let head = Request::from_parts(head, ());
    let grpc = || Response::builder().header("content-type", "application/grpc");
    match path {
        "/refused-once" if is_first => {
            shared.note(head, Ok((Vec::new(), None)));
            answer.send_reset(Reason::REFUSED_STREAM);
        }
        "/trailers-only" => {
            let response = grpc().header("grpc-status", "5").body(())?;
            answer.send_response(response, true)?;
        }
        "/reset" => {
            let mut sender = answer.send_response(grpc().body(())?, false)?;
            sender.send_data("part".into(), false)?;
            read(&mut body).await?;
            sender.send_reset(Reason::INTERNAL_ERROR);
        }
        "/both-ways" => {
            let mut sender = answer.send_response(grpc().body(())?, false)?;
            while let Some(part) = body.data().await {
                let Ok(part) = part else {
                    shared.note(head, Err(()));
                    return Ok(());
                };
                body.flow_control().release_capacity(part.len())?;
                sender.send_data(part, false)?;
            }
            finish(&mut sender)?;
        }
        _ => {
            let received = read(&mut body).await?;
            let echo = [b"echo:", &received.0[..]].concat();
            shared.note(head, Ok(received));
            let mut sender = answer.send_response(grpc().body(())?, false)?;
            sender.send_data(echo.into(), false)?;
            finish(&mut sender)?;
        }
    }
    Ok(())
}

impl Shared {
    fn note(&self, head: Request<()>, outcome: Result<(Vec<u8>, Option<HeaderMap>), ()>) {
        let is_broken = outcome.is_err();
        let (body, trailers) = outcome.unwrap_or_default();
        self.requests.lock().unwrap().push(Received {
            head,
            body,
            trailers,
            is_broken,
        });
    }
}

fn finish(sender: &mut SendStream<Bytes>) -> Result<(), Failure> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse()?);
    sender.send_trailers(trailers)?;
    Ok(())
}

/// Reads a body to its end.
pub(crate) async fn read(body: &mut RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut all = Vec::new();
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        all.extend_from_slice(&part);
    }
    Ok((all, body.trailers().await?))
}

/// A client's connection.
pub(crate) struct Client {
    sender: h2::client::SendRequest<Bytes>,
    authority: String,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer {
    /// What gRPC calls the outcome.
    pub(crate) fn grpc_status(&self) -> Option<&str> {
        let trailers = self.trailers.as_ref().unwrap_or(&self.headers);
        trailers.get("grpc-status")?.to_str().ok()
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).await.unwrap()).await
    }

    pub(crate) async fn on<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        Self {
            sender,
            authority: "a.example".to_owned(),
        }
    }

    /// Begins a call; the caller sends the rest of it.
    pub(crate) async fn begin(
        &self,
        path: &str,
    ) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
        let mut sender = self.sender.clone().ready().await.unwrap();
        let request = Request::post(format!("http://{}{path}", self.authority))
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .body(())
            .unwrap();
        sender.send_request(request, false).unwrap()
    }

    /// A whole call: one message, and trailers behind it.
    pub(crate) async fn call(&self, path: &str, message: &str) -> Result<Answer, h2::Error> {
        let (response, mut sender) = self.begin(path).await;
        sender.send_data(message.to_owned().into(), false)?;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sent", "all".parse().unwrap());
        sender.send_trailers(trailers)?;
        answer(response).await
    }
}

/// Reads an answer to its end.
pub(crate) async fn answer(response: h2::client::ResponseFuture) -> Result<Answer, h2::Error> {
    let (head, mut body) = response.await?.into_parts();
    let (body, trailers) = read(&mut body).await?;
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body,
        trailers,
    })
}

/// Runs a test's client.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let limit = test_harness::wait::DEADLINE;
    runtime
        .block_on(async { tokio::time::timeout(limit, test).await })
        .expect("the test's client ends in time")
}
