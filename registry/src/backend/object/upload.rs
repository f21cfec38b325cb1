//! Content on its way into the bucket, in parts, under a name of its own.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::bucket::{Bucket, Put};
use super::envelope::{Held, Pointer};
use super::{envelope, keys};
use crate::backend::{Error, Key, Outcome, When};

use super::records::Inner;

/// Content that is being uploaded.
#[derive(Debug)]
pub(super) struct Upload {
    bucket: Arc<dyn Bucket>,
    /// The last component of its name.
    pub(super) id: String,
    pub(super) parts: Option<Parts>,
    /// When the mark was written that it is under way.
    marked_at: Option<Instant>,
}

/// Its parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Parts {
    /// The bucket's name for the upload.
    pub(super) upload: String,
    /// The tags of the parts that are there, in order.
    pub(super) tags: Vec<String>,
}

/// What is known of an upload in parts, so that one that nobody ends can be given up.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Begun {
    pub(super) upload: String,
}

/// The first parts, in bytes: the least that S3 takes.
const PART_BYTES: u64 = 5 * 1024 * 1024;
/// After so many parts the next ones are larger: an upload has at most 10,000.
const PARTS_OF_A_SIZE: usize = 1_000;
/// By so much.
const PART_GROWTH: u64 = 5;
/// How old the mark of an upload that is under way may be.
const MARK_AGE_MAX: Duration = Duration::from_secs(15 * 60);
/// Content up to this size stands with its key, and costs one request.
pub(super) const INLINE_BYTES_MAX: u64 = 16 * 1024;

/// Returns the size of the part with this number, counted from 0, in bytes.
pub(super) fn part_bytes(number: usize) -> u64 {
    let steps = u32::try_from(number / PARTS_OF_A_SIZE).unwrap_or(u32::MAX).min(4);
    PART_BYTES * PART_GROWTH.pow(steps)
}

/// Returns how many bytes so many parts have.
pub(super) fn parts_bytes(count: usize) -> u64 {
    (0..count).map(part_bytes).sum()
}

impl Upload {
    /// Begins one; nothing of it is in the bucket yet.
    pub(super) fn new(bucket: &Arc<dyn Bucket>) -> Self {
        Self { bucket: Arc::clone(bucket), id: keys::new(), parts: None, marked_at: None }
    }

    /// Goes on with one.
    pub(super) fn restore(bucket: &Arc<dyn Bucket>, id: String, parts: Option<Parts>) -> Self {
        Self { bucket: Arc::clone(bucket), id, parts, marked_at: None }
    }

    /// Returns how many parts are there.
    pub(super) fn count(&self) -> usize {
        self.parts.as_ref().map_or(0, |parts| parts.tags.len())
    }

    fn name(&self) -> String {
        keys::content(&self.id)
    }

    /// Uploads the next part.
    pub(super) async fn part(&mut self, bytes: Bytes) -> Result<(), Error> {
        let name = self.name();
        if self.parts.is_none() {
            let upload = self.bucket.begin(&name).await?;
            self.parts = Some(Parts { upload, tags: Vec::new() });
        }
        self.mark().await?;
        let parts = self.parts.as_mut().expect("it was begun");
        let tag = self.bucket.part(&name, &parts.upload, parts.tags.len(), bytes).await?;
        parts.tags.push(tag);
        Ok(())
    }

    /// Says that it is under way, so that nobody gives it up.
    async fn mark(&mut self) -> Result<(), Error> {
        if self.marked_at.is_some_and(|at| at.elapsed() < MARK_AGE_MAX) {
            return Ok(());
        }
        let Some(parts) = &self.parts else { return Ok(()) };
        let begun = serde_json::to_vec(&Begun { upload: parts.upload.clone() }).expect("it is one text");
        self.bucket.put(&keys::multipart(&self.id), begun.into(), Put::Any).await?;
        self.marked_at = Some(Instant::now());
        Ok(())
    }

    /// Makes an object of the parts and the last bytes, which nothing leads to yet.
    pub(super) async fn finish(&mut self, last: Bytes) -> Result<(), Error> {
        let name = self.name();
        if self.parts.is_none() {
            // The name is new, so an answer that is lost costs nothing but a second write.
            return self.bucket.put(&name, last, Put::Any).await.map(drop);
        }
        let len = parts_bytes(self.count()) + last.len() as u64;
        if let Err(error) = self.complete(last).await {
            // An answer that was lost: asked again, the bucket knows no such upload.
            if self.bucket.size(&name).await? != Some(len) {
                return Err(error);
            }
        }
        Ok(())
    }

    async fn complete(&mut self, last: Bytes) -> Result<(), Error> {
        if !last.is_empty() {
            self.part(last).await?;
        }
        let name = self.name();
        let parts = self.parts.as_ref().expect("who has no parts needs no completion");
        self.bucket.complete(&name, &parts.upload, &parts.tags).await
    }

    /// Forgets the parts, which are an object now that something leads to, or that is removed.
    async fn forget(&self) -> Result<(), Error> {
        if self.parts.is_none() {
            return Ok(());
        }
        self.bucket.remove(vec![keys::multipart(&self.id)]).await
    }

    /// Gives it up, with the object that was made of it, which no key leads to.
    pub(super) async fn abort(&self) -> Result<(), Error> {
        if let Some(parts) = &self.parts {
            self.bucket.abort(&self.name(), &parts.upload).await?;
        }
        self.bucket.remove(vec![self.name()]).await?;
        self.forget().await
    }

    /// Gives its parts up. An object that was made of them stays, since a key may lead to it; if none does, it is
    /// reclaimed.
    pub(super) async fn abort_parts(&self) -> Result<(), Error> {
        if let Some(parts) = &self.parts {
            self.bucket.abort(&self.name(), &parts.upload).await?;
        }
        self.forget().await
    }
}

impl Inner {
    /// Makes a key lead to content that was uploaded whole.
    ///
    /// The content of a key is decided by the key: one that leads to content of this size keeps it.
    pub(super) async fn point(&self, to: &Key, upload: &Upload, size: u64) -> Result<Outcome, Error> {
        let pointer = Held::Pointer(Pointer { content: upload.id.clone(), size });
        let outcome = self.lead(to, &pointer, size).await?;
        match outcome {
            // Only now: until here the mark said that the content is wanted.
            Outcome::Done => upload.forget().await?,
            Outcome::Refused => upload.abort().await?,
        }
        Ok(outcome)
    }

    /// Puts content under its key, unless the key has content of this size.
    pub(super) async fn lead(&self, to: &Key, held: &Held, size: u64) -> Result<Outcome, Error> {
        if self.change(to, Some(held), &When::Absent).await? == Outcome::Done {
            return Ok(Outcome::Done);
        }
        let kept = match self.look(to, Some(envelope::GLANCE_BYTES)).await? {
            None => None,
            // An earlier try has done it, perhaps one of another process: the content is this one.
            Some((there @ Held::Pointer(_), ..)) if there == *held => return Ok(Outcome::Done),
            Some((Held::Record(_), whole, _)) => Some(whole - envelope::HEAD_BYTES as u64),
            Some((Held::Pointer(there), ..)) if there.size == size => {
                self.bucket.size(&keys::content(&there.content)).await?
            }
            Some(_) => None,
        };
        if kept == Some(size) {
            return Ok(Outcome::Refused);
        }
        // Cut short, or its content is gone: the same bytes heal it.
        self.change(to, Some(held), &When::Always).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_enough_for_the_largest_object() {
        let five_tib = 5 * 1024_u64.pow(4);
        assert!(parts_bytes(10_000) >= five_tib);
        assert!((0..10_000).all(|number| part_bytes(number) <= 5 * 1024_u64.pow(3)));
        assert_eq!(parts_bytes(2), 2 * PART_BYTES);
    }
}
