//! Writes small messages in one piece.
//!
//! hyper hands over head and body of a message as two slices. A system call that gathers
//! slices costs more than copying a few hundred bytes and one that does not.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// Up to here slices are copied together.
const SMALL: usize = 4096;

thread_local! {
    static PIECE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes what `slices` hold, or a first part of it.
pub fn poll_write_gathered<W: Write + Unpin>(
    writer: &mut W,
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let writer = Pin::new(writer);
    if let [slice] = slices {
        return writer.poll_write(cx, slice);
    }
    if slices.iter().map(|slice| slice.len()).sum::<usize>() > SMALL {
        return writer.poll_write_vectored(cx, slices);
    }
    PIECE.with_borrow_mut(|piece| {
        piece.clear();
        for slice in slices {
            piece.extend_from_slice(slice);
        }
        writer.poll_write(cx, piece)
    })
}

/// A stream that writes in this way.
pub struct GatheringIo<T>(TokioIo<T>);

impl<T> GatheringIo<T> {
    /// Wraps `stream`.
    pub fn new(stream: T) -> Self {
        Self(TokioIo::new(stream))
    }
}

impl<T: AsyncRead + Unpin> Read for GatheringIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> Write for GatheringIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll_write_gathered(&mut self.0, cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    fn written(lengths: &[usize]) -> Vec<u8> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let parts: Vec<Vec<u8>> = (b'a'..)
            .zip(lengths)
            .map(|(byte, length)| vec![byte; *length])
            .collect();
        runtime.block_on(async move {
            let mut io = GatheringIo::new(near);
            let slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
            let count =
                std::future::poll_fn(|cx| Pin::new(&mut io).poll_write_vectored(cx, &slices))
                    .await
                    .unwrap();
            drop(io);
            let mut all = Vec::new();
            far.read_to_end(&mut all).await.unwrap();
            assert_eq!(all.len(), count);
            all
        })
    }

    #[test]
    fn what_is_written_is_what_was_given() {
        let together = |lengths: &[usize]| -> Vec<u8> {
            (b'a'..)
                .zip(lengths)
                .flat_map(|(byte, length)| vec![byte; *length])
                .collect()
        };
        for lengths in [&[3_usize][..], &[3, 5], &[SMALL - 1, 1], &[0, 7, 0], &[]] {
            assert_eq!(written(lengths), together(lengths), "{lengths:?}");
        }
        // Larger ones may be written in parts, which begin at the beginning.
        let large = written(&[10, SMALL]);
        assert!(together(&[10, SMALL]).starts_with(&large) && large.len() >= 10);
    }
}
