//! A server that answers as a test tells it to, also in ways that no library would.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use lang_grpc::proto::{Event, Object};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// What becomes of a call.
pub(crate) enum Answer {
    /// This object comes back.
    Object(Box<Object>),
    /// A status other than OK.
    Status(u16, &'static str),
    /// These bytes where a message should be.
    Bytes(Vec<u8>),
    /// A page of HTML.
    Page,
    /// Nothing, ever.
    Silence,
    /// The connection ends.
    End,
}

/// What a server saw of a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) authority: String,
    pub(crate) headers: HeaderMap,
    pub(crate) object: Object,
    pub(crate) event: String,
}

type Handler = dyn Fn(&Object) -> Answer + Send + Sync;

struct Shared {
    handler: Box<Handler>,
    seen: Mutex<Vec<Seen>>,
    /// Calls that ended without an answer because the caller went away.
    cancelled: Mutex<usize>,
    connections: Mutex<usize>,
}

/// A running server; it ends with this value, connections included.
pub(crate) struct Server {
    pub(crate) url: String,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

enum Listener {
    Tcp(TcpListener, Option<TlsAcceptor>),
    Unix(UnixListener),
}

impl Server {
    /// A server on a port of its own.
    pub(crate) fn start(handler: impl Fn(&Object) -> Answer + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0", handler)
    }

    /// A server on this address.
    pub(crate) fn at(
        address: &str,
        handler: impl Fn(&Object) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = std::net::TcpListener::bind(address).unwrap();
        let url = format!("tcp://{}", listener.local_addr().unwrap());
        Self::serve(url, handler, move || {
            listener.set_nonblocking(true).unwrap();
            Listener::Tcp(TcpListener::from_std(listener).unwrap(), None)
        })
    }

    /// A server that speaks TLS.
    pub(crate) fn with_tls(
        acceptor: TlsAcceptor,
        handler: impl Fn(&Object) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        Self::serve(format!("https://localhost:{port}"), handler, move || {
            listener.set_nonblocking(true).unwrap();
            Listener::Tcp(TcpListener::from_std(listener).unwrap(), Some(acceptor))
        })
    }

    /// A server on a socket in the file system.
    pub(crate) fn on_unix(
        path: &std::path::Path,
        handler: impl Fn(&Object) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let url = format!("unix://{}", path.display());
        let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
        Self::serve(url, handler, move || {
            listener.set_nonblocking(true).unwrap();
            Listener::Unix(UnixListener::from_std(listener).unwrap())
        })
    }

    fn serve(
        url: String,
        handler: impl Fn(&Object) -> Answer + Send + Sync + 'static,
        listener: impl FnOnce() -> Listener + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            seen: Mutex::default(),
            cancelled: Mutex::default(),
            connections: Mutex::default(),
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = accept_all(listener(), serving) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            url,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.url.trim_start_matches("tcp://").parse().unwrap()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub(crate) fn cancelled(&self) -> usize {
        *self.shared.cancelled.lock().unwrap()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.shared.connections.lock().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        // The port must be free when this returns.
        let _ = self.thread.take().unwrap().join();
    }
}

async fn accept_all(listener: Listener, shared: Arc<Shared>) {
    loop {
        match &listener {
            Listener::Tcp(listener, tls) => {
                let (stream, _) = listener.accept().await.unwrap();
                let (tls, shared) = (tls.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    match tls {
                        None => connection(stream, shared).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                connection(stream, shared).await;
                            }
                        }
                    }
                });
            }
            Listener::Unix(listener) => {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(connection(stream, Arc::clone(&shared)));
            }
        }
    }
}

async fn connection<S>(stream: S, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    *shared.connections.lock().unwrap() += 1;
    let (end, ended) = oneshot::channel::<()>();
    let end = Arc::new(Mutex::new(Some(end)));
    let service = service_fn(move |request| call(request, Arc::clone(&shared), end.clone()));
    let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = serving => {}
        Ok(()) = ended => {}
    }
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

async fn call(
    request: Request<Incoming>,
    shared: Arc<Shared>,
    end: Arc<Mutex<Option<oneshot::Sender<()>>>>,
) -> Result<Response<Body>, hyper::Error> {
    let (head, body) = request.into_parts();
    let message = body.collect().await?.to_bytes().slice(5..);
    let path = head.uri.path().to_owned();
    let is_event = path.ends_with("DispatchEvent");
    let mut seen = Seen {
        authority: head.uri.authority().unwrap().to_string(),
        headers: head.headers,
        path,
        ..Seen::default()
    };
    if is_event {
        seen.event = Event::decode(message).unwrap().payload;
    } else {
        seen.object = Object::decode(message).unwrap();
    }
    let object = seen.object.clone();
    shared.seen.lock().unwrap().push(seen);
    Ok(match (shared.handler)(&object) {
        Answer::Object(_) if is_event => reply(framed(b"")),
        Answer::Object(object) => reply(framed(&object.encode_to_vec())),
        Answer::Bytes(bytes) => reply(framed(&bytes)),
        Answer::Status(code, message) => Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", code)
            .header("grpc-message", message)
            .body(Empty::new().boxed_unsync())
            .unwrap(),
        Answer::Page => Response::builder()
            .header("content-type", "text/html")
            .body(Full::from("<p>not what you want</p>").boxed_unsync())
            .unwrap(),
        Answer::Silence => {
            let _count = Count(Arc::clone(&shared));
            std::future::pending().await
        }
        Answer::End => {
            let _ = end.lock().unwrap().take().map(|end| end.send(()));
            std::future::pending().await
        }
    })
}

/// Counts a call that was given up, when that happens.
struct Count(Arc<Shared>);

impl Drop for Count {
    fn drop(&mut self) {
        *self.0.cancelled.lock().unwrap() += 1;
    }
}

fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(message.len() as u32);
    framed.put_slice(message);
    framed.freeze()
}

fn reply(bytes: Bytes) -> Response<Body> {
    let trailers = async {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        Some(Ok(trailers))
    };
    Response::builder()
        .header("content-type", "application/grpc")
        .body(Full::new(bytes).with_trailers(trailers).boxed_unsync())
        .unwrap()
}
