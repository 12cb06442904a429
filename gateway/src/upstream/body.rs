//! The bodies that pass through: of requests towards the upstream, of responses towards the
//! client. Both stream unless a hook needed them whole.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::pool::Lease;
use crate::cache::Keeping;
use crate::error::ProxyError;
use crate::phase::Phase;
use crate::timer;

/// Longest pause of a body that is held.
const STALL_LIMIT: Duration = Duration::from_secs(30);

/// An error on the way of a body.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A request's body.
pub enum RequestBody {
    /// Held whole: there was none, or a hook needed it.
    Whole(Bytes),
    /// Passing through.
    Stream(Incoming, Rc<StreamState>),
}

/// What the sender of a streaming body wants to know of it.
pub struct StreamState {
    /// All of it has been read.
    pub finished: Cell<bool>,
    /// Some of it has been read since somebody last looked.
    pub progressed: Cell<bool>,
    /// The client broke off, or sent what is not a body. Its fault, not the upstream's.
    pub fault: RefCell<Option<hyper::Error>>,
    /// The connection that it comes from.
    phase: Phase,
}

impl StreamState {
    fn new(phase: Phase) -> Self {
        let (finished, progressed, fault) = Default::default();
        Self {
            finished,
            progressed,
            fault,
            phase,
        }
    }

    fn finish(&self) {
        self.finished.set(true);
        self.phase.body_read();
    }
}

/// The client's body broke off; the upstream must not take the part for the whole.
#[derive(Debug, thiserror::Error)]
#[error("request body broke off")]
pub struct BrokenOff;

// === impl RequestBody ===

impl RequestBody {
    /// Takes the body of a request as it came in.
    pub fn incoming(body: Incoming, phase: &Phase) -> Self {
        if body.is_end_stream() {
            Self::Whole(Bytes::new())
        } else {
            Self::Stream(body, Rc::new(StreamState::new(phase.clone())))
        }
    }

    /// Whether it has not been read yet.
    pub fn is_streaming(&self) -> bool {
        matches!(self, Self::Stream(..))
    }

    /// How far a streaming body has come.
    pub fn stream_state(&self) -> Option<Rc<StreamState>> {
        match self {
            Self::Whole(_) => None,
            Self::Stream(_, state) => Some(Rc::clone(state)),
        }
    }

    /// Reads all of it, up to `limit` bytes, and keeps it.
    pub async fn hold(&mut self, limit: u64) -> Result<&Bytes, ProxyError> {
        if let Self::Stream(body, state) = self {
            if body.size_hint().lower() > limit {
                return Err(ProxyError::BodyTooLarge(limit));
            }
            let whole = collect(body, limit).await.map_err(|error| match error {
                CollectError::TooLong => ProxyError::BodyTooLarge(limit),
                CollectError::Stalled => ProxyError::DownstreamStalled,
                CollectError::Broken(error) => ProxyError::DownstreamBody(error),
            })?;
            state.finish();
            *self = Self::Whole(whole);
        }
        match self {
            Self::Whole(bytes) => Ok(bytes),
            Self::Stream(..) => unreachable!("a body that streams was just read"),
        }
    }

    /// The whole body, leaving an empty one; `None` while it streams.
    pub fn take_whole(&mut self) -> Option<Bytes> {
        match self {
            Self::Whole(bytes) => Some(std::mem::take(bytes)),
            Self::Stream(..) => None,
        }
    }
}

/// Why a body could not be held.
pub enum CollectError {
    /// It is longer than the limit.
    TooLong,
    /// Nothing of it came for too long.
    Stalled,
    /// It broke off.
    Broken(hyper::Error),
}

/// Reads all of a body, up to `limit` bytes.
pub async fn collect(body: &mut Incoming, limit: u64) -> Result<Bytes, CollectError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut whole = BytesMut::new();
    while let Some(frame) = timer::within(STALL_LIMIT, body.frame())
        .await
        .map_err(|_| CollectError::Stalled)?
    {
        // Trailers of a body that is held have nobody to go to.
        let Ok(data) = frame.map_err(CollectError::Broken)?.into_data() else {
            continue;
        };
        if data.len() > limit - whole.len() {
            return Err(CollectError::TooLong);
        }
        if whole.is_empty() && body.is_end_stream() {
            // Most bodies come in one piece, which needs no copy.
            return Ok(data);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(body, state) => {
                Pin::new(&mut *body)
                    .poll_frame(cx)
                    .map(|frame| match frame {
                        Some(Ok(frame)) => {
                            state.progressed.set(true);
                            if body.is_end_stream() {
                                state.finish();
                            }
                            Some(Ok(frame))
                        }
                        Some(Err(error)) => {
                            state.fault.replace(Some(error));
                            Some(Err(BrokenOff))
                        }
                        None => {
                            state.finish();
                            None
                        }
                    })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Stream(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(body, _) => body.size_hint(),
        }
    }
}

/// A response's body.
pub enum ResponseBody {
    /// Made by the gateway, or held whole for a hook.
    Whole(Bytes),
    /// Passing through from the upstream; its connection is given back at the end.
    Upstream(Incoming, Option<Lease>),
    /// Made by the control plane.
    Control(axum::body::Body),
    /// Kept while it passes.
    Keeping(Box<Keeping>),
}

// === impl ResponseBody ===

impl ResponseBody {
    /// A body that is there already.
    pub fn full(bytes: Bytes) -> Self {
        Self::Whole(bytes)
    }

    /// No body.
    pub fn empty() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl std::fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Whole(_) => "Whole",
            Self::Upstream(..) => "Upstream",
            Self::Control(_) => "Control",
            Self::Keeping(_) => "Keeping",
        })
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Upstream(body, lease) => {
                let frame = Pin::new(&mut *body).poll_frame(cx);
                let ended = match &frame {
                    Poll::Ready(None) => true,
                    Poll::Ready(Some(Ok(frame))) => body.is_end_stream() || frame.is_trailers(),
                    // A connection that broke off is dropped with the body, not given back.
                    _ => false,
                };
                if ended && let Some(lease) = lease.take() {
                    lease.give_back();
                }
                frame.map_err(Into::into)
            }
            Self::Control(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Keeping(body) => Pin::new(&mut **body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Upstream(body, _) => body.is_end_stream(),
            Self::Control(body) => body.is_end_stream(),
            Self::Keeping(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Upstream(body, _) => body.size_hint(),
            Self::Control(body) => body.size_hint(),
            Self::Keeping(body) => body.size_hint(),
        }
    }
}
