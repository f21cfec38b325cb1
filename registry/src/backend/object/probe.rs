//! Whether a bucket honours conditions: some servers take them, and overwrite all the same.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio::sync::Mutex;

use super::bucket::{Bucket, Children, Meta, Object, Put, Version};
use super::keys;
use crate::backend::Error;

/// What a bucket does with conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conditions {
    /// It honours them.
    Honoured,
    /// It writes over an object that must not be there.
    OverwritesNew,
    /// It writes over an object that has another version than the one named.
    OverwritesOther,
    /// It refuses a write whose condition holds, or knows no conditions.
    Refuses,
}

/// Writes an object four times to learn what a bucket does with conditions.
pub async fn probe(bucket: &dyn Bucket) -> Result<Conditions, Error> {
    let name = format!("{}/{}", keys::PROBES, keys::new());
    let found = match conditions(bucket, &name).await {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::Unsupported => Conditions::Refuses,
        // Told first: a bucket that cannot be written to cannot be removed from either.
        found => found?,
    };
    bucket.remove(vec![name]).await?;
    Ok(found)
}

async fn conditions(bucket: &dyn Bucket, name: &str) -> Result<Conditions, Error> {
    let text = |text: &'static str| Bytes::from_static(text.as_bytes());
    let Some(first) = bucket.put(name, text("first"), Put::New).await? else {
        return Ok(Conditions::Refuses);
    };
    if bucket.put(name, text("second"), Put::New).await?.is_some() {
        return Ok(Conditions::OverwritesNew);
    }
    if bucket.put(name, text("third"), Put::Over(first.clone())).await?.is_none() {
        return Ok(Conditions::Refuses);
    }
    if bucket.put(name, text("fourth"), Put::Over(first)).await?.is_some() {
        return Ok(Conditions::OverwritesOther);
    }
    let read = bucket.get(name, None).await?.map(|object| object.bytes);
    Ok(if read == Some(text("third")) { Conditions::Honoured } else { Conditions::OverwritesOther })
}

/// A bucket whose conditions this process keeps, as its only writer.
#[derive(Debug)]
pub struct Alone {
    bucket: Arc<dyn Bucket>,
    /// One of them guards each name.
    locks: [Mutex<()>; LOCKS],
}

const LOCKS: usize = 64;

impl Alone {
    /// Makes one; nobody else may write to the bucket.
    pub fn new(bucket: Arc<dyn Bucket>) -> Self {
        Self { bucket, locks: std::array::from_fn(|_| Mutex::new(())) }
    }

    fn lock(&self, name: &str) -> &Mutex<()> {
        let sum =
            name.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        &self.locks[sum % LOCKS]
    }
}

#[async_trait::async_trait]
impl Bucket for Alone {
    async fn get(&self, name: &str, bytes_max: Option<u64>) -> Result<Option<Object>, Error> {
        self.bucket.get(name, bytes_max).await
    }

    async fn size(&self, name: &str) -> Result<Option<u64>, Error> {
        self.bucket.size(name).await
    }

    fn stream(&self, name: &str, range: Range<u64>) -> BoxStream<'static, Result<Bytes, Error>> {
        self.bucket.stream(name, range)
    }

    async fn put(&self, name: &str, bytes: Bytes, when: Put) -> Result<Option<Version>, Error> {
        // Held across the requests: who changes the same name has to wait for the answer in any case.
        let _guard = self.lock(name).lock().await;
        let holds = match when {
            Put::Any => true,
            Put::New => self.bucket.size(name).await?.is_none(),
            Put::Over(version) => {
                self.bucket.get(name, Some(1)).await?.is_some_and(|it| it.version == version)
            }
        };
        if holds { self.bucket.put(name, bytes, Put::Any).await } else { Ok(None) }
    }

    async fn remove(&self, names: Vec<String>) -> Result<(), Error> {
        self.bucket.remove(names).await
    }

    async fn children(&self, prefix: &str) -> Result<Children, Error> {
        self.bucket.children(prefix).await
    }

    fn walk(&self, prefix: &str) -> BoxStream<'static, Result<Meta, Error>> {
        self.bucket.walk(prefix)
    }

    async fn begin(&self, name: &str) -> Result<String, Error> {
        self.bucket.begin(name).await
    }

    async fn part(&self, name: &str, upload: &str, number: usize, bytes: Bytes) -> Result<String, Error> {
        self.bucket.part(name, upload, number, bytes).await
    }

    async fn complete(&self, name: &str, upload: &str, tags: &[String]) -> Result<(), Error> {
        self.bucket.complete(name, upload, tags).await
    }

    async fn abort(&self, name: &str, upload: &str) -> Result<(), Error> {
        self.bucket.abort(name, upload).await
    }

    async fn link(&self, name: &str, valid_for: Duration) -> Result<Option<String>, Error> {
        self.bucket.link(name, valid_for).await
    }
}
