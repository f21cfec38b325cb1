//! The body of a response: bytes that are at hand, whose length is told or kept back.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};

/// Bytes that are sent with a `Content-Length`, or in chunks without one.
#[derive(Debug)]
pub(super) enum Payload {
    Sized(Full<Bytes>),
    Unsized(Full<Bytes>),
}

impl Payload {
    fn full(self: Pin<&mut Self>) -> Pin<&mut Full<Bytes>> {
        match self.get_mut() {
            Self::Sized(full) | Self::Unsized(full) => Pin::new(full),
        }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.full().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Sized(full) | Self::Unsized(full) => full.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Sized(full) => full.size_hint(),
            Self::Unsized(_) => SizeHint::default(),
        }
    }
}
