//! Reading content of a bucket: a stream is one request, not one for each chunk.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, TryStreamExt};

use super::bucket::Bucket;
use crate::backend::{Error, Key, ReadAt};

/// Content that stands in an object of its own.
#[derive(Debug)]
pub(super) struct ObjectFile {
    bucket: Arc<dyn Bucket>,
    key: Key,
    name: String,
    size: u64,
}

impl ObjectFile {
    pub(super) fn new(bucket: &Arc<dyn Bucket>, key: &Key, name: String, size: u64) -> Self {
        Self { bucket: Arc::clone(bucket), key: key.clone(), name, size }
    }
}

impl ReadAt for ObjectFile {
    fn read_at(&self, offset: u64, len: usize) -> BoxFuture<'static, Result<Bytes, Error>> {
        let end = offset.saturating_add(len as u64).min(self.size);
        if offset >= end {
            return std::future::ready(Ok(Bytes::new())).boxed();
        }
        let stream = self.bucket.stream(&self.name, offset..end);
        let collected = stream.try_fold(BytesMut::new(), |mut all, chunk| {
            all.extend_from_slice(&chunk);
            std::future::ready(Ok(all))
        });
        let key = self.key.clone();
        async move {
            let read = collected.await?.freeze();
            if read.len() as u64 == end - offset {
                Ok(read)
            } else {
                Err(Error::foreign(&key, "an object that is shorter than what was uploaded"))
            }
        }
        .boxed()
    }

    fn stream(&self, start: u64, end: u64) -> Option<BoxStream<'static, Result<Bytes, Error>>> {
        let end = end.min(self.size);
        if start >= end {
            return Some(futures_util::stream::empty().boxed());
        }
        Some(self.bucket.stream(&self.name, start..end))
    }

    fn link(&self, valid_for: Duration) -> BoxFuture<'static, Result<Option<String>, Error>> {
        let (bucket, name) = (Arc::clone(&self.bucket), self.name.clone());
        async move { bucket.link(&name, valid_for).await }.boxed()
    }
}

/// Small content, which came with its key.
#[derive(Debug)]
pub(super) struct Inline(pub(super) Bytes);

impl ReadAt for Inline {
    fn read_at(&self, offset: u64, len: usize) -> BoxFuture<'static, Result<Bytes, Error>> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let end = start.saturating_add(len).min(self.0.len());
        std::future::ready(Ok(self.0.slice(start..end))).boxed()
    }
}
