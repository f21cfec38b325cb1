//! Request and response bodies.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, TryStreamExt};
use http_body_util::BodyExt;

use super::error::Error;
use crate::oci::{Digest, Hasher};
use crate::repository;
use crate::telemetry::WithCauses;

/// The most of a refused body that is read and dropped, so that the connection stays usable.
const DRAINED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Turns a request's body into what the store takes; one that stands still for too long breaks.
pub(super) fn incoming(body: Body, idle: Duration) -> repository::Body {
    let frames = body.into_data_stream();
    let stream = futures_util::stream::unfold(Some(frames), move |frames| async move {
        let mut frames = frames?;
        let next = frames.next();
        let frame = if idle.is_zero() { Ok(next.await) } else { tokio::time::timeout(idle, next).await };
        match frame {
            Ok(Some(Ok(bytes))) => Some((Ok(bytes), Some(frames))),
            Ok(None) => None,
            Ok(Some(Err(_))) | Err(_) => Some((Err(repository::BodyBroken), None)),
        }
    });
    stream.boxed()
}

/// Reads a manifest's body.
///
/// *Errors:* [`Error::ManifestTooLarge`] above `max` bytes; the rest is read and dropped, within
/// a bound. [`Error::BodyBroken`].
pub(super) async fn manifest(body: Body, idle: Duration, max: u64) -> Result<Bytes, Error> {
    let mut frames = incoming(body, idle);
    let (mut bytes, mut dropped) = (BytesMut::new(), 0);
    while let Some(frame) = frames.next().await {
        let frame = frame.map_err(|repository::BodyBroken| Error::BodyBroken)?;
        if dropped > 0 || (bytes.len() + frame.len()) as u64 > max {
            dropped += (frame.len() as u64).max(1);
            if dropped > DRAINED_BYTES_MAX {
                break;
            }
        } else {
            bytes.extend_from_slice(&frame);
        }
    }
    if dropped > 0 { Err(Error::ManifestTooLarge { max }) } else { Ok(bytes.freeze()) }
}

/// Makes a response body of a stream; its error cuts the connection, and writes nothing (P1).
///
/// With a length, a stream that ends before it is an error too: HTTP/2 would otherwise end the
/// response as if it were whole.
pub(super) fn outgoing<E>(
    stream: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    length: Option<u64>,
) -> Body
where
    E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
{
    let counted = futures_util::stream::unfold((Box::pin(stream), 0), move |(mut stream, sent)| async move {
        match stream.next().await {
            Some(Ok(bytes)) => {
                let sent = sent + bytes.len() as u64;
                Some((Ok(bytes), (stream, sent)))
            }
            Some(Err(error)) => Some((Err(error.into()), (stream, sent))),
            None => {
                let length = length.filter(|length| sent < *length)?;
                Some((Err(Short { length, sent }.into()), (stream, length)))
            }
        }
    });
    Body::from_stream(counted.map_err(|error: Box<dyn std::error::Error + Send + Sync>| {
        tracing::warn!(error = %WithCauses(error.as_ref()), "a response was cut off");
        metrics::counter!("wharfinger_http_responses_cut_total").increment(1);
        error
    }))
}

/// Counts the bytes of a body that come from an upstream or its cache.
pub(super) fn counted(body: Body, upstream: String) -> Body {
    let served = metrics::counter!("wharfinger_upstream_served_bytes_total", "upstream" => upstream);
    Body::new(body.map_frame(move |frame| {
        served.increment(frame.data_ref().map_or(0, |bytes| bytes.len() as u64));
        frame
    }))
}

/// A stream had fewer bytes than the response has announced.
#[derive(Debug, thiserror::Error)]
#[error("the response was to have {length} bytes, and there are {sent}")]
struct Short {
    length: u64,
    sent: u64,
}

/// A stream that is hashed while it is sent, and whose last chunk follows the verdict.
pub(super) struct Verified<S> {
    inner: S,
    hasher: Option<Hasher>,
    expected: Digest,
    held: Option<Bytes>,
}

/// The bytes on the disk are not those that were stored.
#[derive(Debug, thiserror::Error)]
#[error("the stored bytes of {digest} are damaged")]
pub(super) struct Damaged {
    digest: Digest,
}

impl<S> Verified<S> {
    pub(super) fn new(inner: S, expected: Digest) -> Self {
        Self { inner, hasher: Some(Hasher::new(expected.algorithm())), expected, held: None }
    }
}

impl<S, E> Stream for Verified<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::error::Error + Send + Sync + 'static,
{
    type Item = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match std::task::ready!(Pin::new(&mut self.inner).poll_next(cx)) {
                Some(Ok(bytes)) => {
                    if let Some(hasher) = &mut self.hasher {
                        hasher.update(&bytes);
                    }
                    if let Some(before) = self.held.replace(bytes) {
                        return Poll::Ready(Some(Ok(before)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(Box::new(error)))),
                None => {
                    let Some(hasher) = self.hasher.take() else { return Poll::Ready(None) };
                    if hasher.finish() != self.expected {
                        let digest = self.expected;
                        return Poll::Ready(Some(Err(Box::new(Damaged { digest }))));
                    }
                    return Poll::Ready(self.held.take().map(Ok));
                }
            }
        }
    }
}
