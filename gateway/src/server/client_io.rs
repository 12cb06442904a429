//! The client's end of an HTTP/1 connection, where hyper alone would be too curt.
//!
//! hyper answers a request that it cannot parse by itself, with a bare status, and closes.
//! Such an answer is the only thing that it writes while no request is being served, so it
//! is recognised by that and gets the error body that every other refusal has.
//!
//! hyper also takes a client that has closed its sending side for one that is gone. Some
//! clients do that when they have sent their request, and read the answer. The end of what
//! a client sends is therefore shown to hyper only after a while.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::gather::poll_write_gathered;
use crate::phase::{End, Phase};
use crate::timer::CoarseSleep;
use crate::upstream::body::{BodyError, ResponseBody};

/// How long a client that has closed its sending side is taken to wait for its answer.
const HALF_CLOSED_LIMIT: Duration = Duration::from_secs(5);

/// Bytes read at a time while an answer is awaited: there is nothing to come but the next
/// request of a client that does not wait.
const PEEK_BYTES: usize = 512;

/// Sends an answer on its way; the connection's phase follows its body.
pub(super) fn track(phase: &Phase, response: Response<ResponseBody>) -> Response<TrackedBody> {
    let end = match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => End::Tunnel,
        _ => End::Torn,
    };
    response.map(|body| TrackedBody {
        body,
        phase: phase.clone(),
        end,
    })
}

/// A body that tells when hyper is done with it.
pub(super) struct TrackedBody {
    body: ResponseBody,
    phase: Phase,
    /// How the answer has ended if the body is dropped now.
    end: End,
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        let whole = self.end == End::Torn && self.body.is_end_stream();
        self.phase
            .answered(if whole { End::Complete } else { self.end });
    }
}

impl Body for TrackedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(None) = &frame {
            self.end = End::Complete;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What a client's connection runs over.
pub(super) trait ClientStream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Lets the end of the connection be a reset.
    fn end_with_reset(&self);
}

impl ClientStream for TcpStream {
    fn end_with_reset(&self) {
        let _ = self.set_zero_linger();
    }
}

impl ClientStream for TlsStream<TcpStream> {
    fn end_with_reset(&self) {
        let _ = self.get_ref().0.set_zero_linger();
    }
}

/// A client's connection.
pub(super) struct ClientIo<S> {
    inner: TokioIo<S>,
    phase: Phase,
    /// What is still to be written of an answer that stands in for hyper's.
    rest: Bytes,
    /// Runs from the end of what the client sends.
    half_closed: Option<Pin<Box<CoarseSleep>>>,
}

impl<S: ClientStream> ClientIo<S> {
    pub(super) fn new(stream: S, phase: Phase) -> Self {
        Self {
            inner: TokioIo::new(stream),
            phase,
            rest: Bytes::new(),
            half_closed: None,
        }
    }

    pub(super) fn into_stream(self) -> S {
        self.inner.into_inner()
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.rest.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.rest.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// A client that takes what is written is still there: its time starts anew.
    fn note_written(&mut self, written: &Poll<io::Result<usize>>, cx: &mut Context<'_>) {
        if let (Poll::Ready(Ok(_)), Some(limit)) = (written, &mut self.half_closed) {
            *limit = Box::pin(CoarseSleep::after(HALF_CLOSED_LIMIT));
            // Looked at once, so that it wakes the connection when it is over.
            let _ = limit.as_mut().poll(cx);
        }
    }

    /// Whether `written` is hyper's own answer; if so, ours is put in its place.
    fn replaces(&mut self, written: &[u8]) -> bool {
        if !self.phase.is_idle() {
            return false;
        }
        let status = written
            .strip_prefix(b"HTTP/1.1 ")
            .and_then(|rest| rest.get(..3));
        let status = status.and_then(|code| StatusCode::from_bytes(code).ok());
        match status.filter(StatusCode::is_client_error) {
            Some(status) => {
                self.rest = refusal(status);
                true
            }
            None => false,
        }
    }
}

/// The whole answer to a request that could not be read.
pub(super) fn refusal(status: StatusCode) -> Bytes {
    let reason = status.canonical_reason().unwrap_or("Bad Request");
    let body = format!("{{\n    \"error\": \"{reason}\"\n}}");
    format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        status.as_str(),
        body.len()
    )
    .into()
}

impl<S: ClientStream> Read for ClientIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.phase.is_waiting() {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        if let Some(limit) = &mut self.half_closed {
            return limit.as_mut().poll(cx).map(Ok);
        }
        let mut bytes = [0; PEEK_BYTES];
        let room = buf.remaining().min(PEEK_BYTES);
        let mut peek = ReadBuf::new(&mut bytes[..room]);
        ready!(Pin::new(&mut self.inner).poll_read(cx, peek.unfilled()))?;
        if !peek.filled().is_empty() {
            buf.put_slice(peek.filled());
            return Poll::Ready(Ok(()));
        }
        let limit = self
            .half_closed
            .insert(Box::pin(CoarseSleep::after(HALF_CLOSED_LIMIT)));
        limit.as_mut().poll(cx).map(Ok)
    }
}

impl<S: ClientStream> Write for ClientIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_rest(cx))?;
        if self.replaces(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.note_written(&written, cx);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_rest(cx))?;
        if bufs.first().is_some_and(|first| self.replaces(first)) {
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        let written = poll_write_gathered(&mut self.inner, cx, bufs);
        self.note_written(&written, cx);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_rest(cx))?;
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        self.phase.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_rest(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_whole_answers() {
        let answer = refusal(StatusCode::REQUEST_TIMEOUT);
        let text = std::str::from_utf8(&answer).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 408 Request Timeout\r\n"),
            "{head}"
        );
        assert!(
            head.contains(&format!("content-length: {}\r\n", body.len())),
            "{head}"
        );
        assert_eq!(body, "{\n    \"error\": \"Request Timeout\"\n}");
    }
}
