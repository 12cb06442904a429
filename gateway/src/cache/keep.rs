//! A body that is kept while it passes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

use super::{Kept, Key, Responses};
use crate::upstream::body::{BodyError, ResponseBody};

/// A body on its way to the client, and what it becomes when all of it has passed.
pub struct Keeping {
    body: ResponseBody,
    seen: BytesMut,
    /// Gone when it is kept, or cannot be.
    pending: Option<(Responses, Key, Kept)>,
}

impl Keeping {
    /// Keeps a body that is there already at once, others when they have passed.
    pub(super) fn begin(
        responses: Responses,
        key: Key,
        kept: Kept,
        body: ResponseBody,
    ) -> ResponseBody {
        let limit = responses.max_entry_bytes as u64;
        if body.size_hint().lower() > limit {
            return body;
        }
        match body {
            ResponseBody::Whole(bytes) => {
                store(&responses, key, kept, bytes.clone());
                ResponseBody::Whole(bytes)
            }
            body => {
                let mut keeping = Self {
                    body,
                    seen: BytesMut::new(),
                    pending: Some((responses, key, kept)),
                };
                if keeping.body.is_end_stream() {
                    keeping.finish();
                }
                ResponseBody::Keeping(Box::new(keeping))
            }
        }
    }

    fn finish(&mut self) {
        if let Some((responses, key, kept)) = self.pending.take() {
            store(
                &responses,
                key,
                kept,
                std::mem::take(&mut self.seen).freeze(),
            );
        }
    }

    fn see(&mut self, frame: &Frame<Bytes>) {
        let Some((responses, ..)) = &self.pending else {
            return;
        };
        match frame.data_ref() {
            Some(data) if self.seen.len() + data.len() <= responses.max_entry_bytes => {
                self.seen.extend_from_slice(data);
            }
            // Too long, or with trailers, which are not kept.
            _ => {
                self.pending = None;
                self.seen = BytesMut::new();
            }
        }
    }
}

fn store(responses: &Responses, key: Key, mut kept: Kept, body: Bytes) {
    kept.body = body;
    responses.entries.insert(key, Arc::new(kept));
}

impl Body for Keeping {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let keeping = self.get_mut();
        let frame = ready!(Pin::new(&mut keeping.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                keeping.see(frame);
                // Nobody asks again once it says that it has ended.
                if keeping.body.is_end_stream() {
                    keeping.finish();
                }
            }
            Some(Err(_)) => keeping.pending = None,
            None => keeping.finish(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
