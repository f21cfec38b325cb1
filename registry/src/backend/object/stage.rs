//! Pushes: what was uploaded of them in parts, and an end that is too small for one.
//!
//! A bucket shows no part before all are there, so what may have to be read again is an object of its own:
//! the bytes behind the last part. What is known of the stage stands under its key, with the last two ends,
//! since the record that says how far an upload has come is written after it.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;

use super::bucket::{Bucket, Put, Version};
use super::envelope::{self, Held};
use super::keys;
use super::read::ObjectFile;
use super::records::Inner;
use super::upload::{INLINE_BYTES_MAX, Parts, Upload, part_bytes, parts_bytes};
use crate::backend::{Error, Key, Outcome, ReadAt, Stage};

/// Content that is pushed.
#[derive(Debug)]
pub(super) struct ObjectStage {
    key: Key,
    len: u64,
    core: Arc<Mutex<Core>>,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Core {
    inner: Arc<Inner>,
    key: Key,
    uploading: Uploading,
    /// What is behind the parts.
    end: BytesMut,
    saved: State,
    version: Version,
}

#[derive(Debug)]
enum Uploading {
    Idle(Upload),
    /// One part; the next one waits for it.
    Part(JoinHandle<(Upload, Result<(), Error>)>),
    /// An object was made of it, because somebody has to read it.
    Whole(Upload),
    /// A part failed, or the work was stopped.
    Lost,
}

/// What stands under the key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    content: String,
    parts: Option<Parts>,
    /// The last points at which everything was durable, the newest last.
    marks: Vec<Mark>,
}

/// A point at which everything was durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    len: u64,
    parts: usize,
    /// The object with the bytes behind the parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tail: Option<String>,
}

/// How many points are kept: the one that the upload's record knows, and the one before it is written.
const MARKS: usize = 2;

impl ObjectStage {
    /// Begins one under a key that is free.
    pub(super) async fn begin(inner: &Arc<Inner>, key: &Key) -> Result<Self, Error> {
        let upload = Upload::new(&inner.bucket);
        let marks = vec![Mark { len: 0, parts: 0, tail: None }];
        let saved = State { content: upload.id.clone(), parts: None, marks };
        let version = put_own(&inner.bucket, key, wrapped(&saved), Put::New).await?;
        let version = version.ok_or_else(|| Error::foreign(key, "a key that is taken"))?;
        Ok(Self::new(
            inner,
            key,
            0,
            Core {
                inner: Arc::clone(inner),
                key: key.clone(),
                uploading: Uploading::Idle(upload),
                end: BytesMut::new(),
                saved,
                version,
            },
        ))
    }

    fn new(inner: &Arc<Inner>, key: &Key, len: u64, core: Core) -> Self {
        Self { key: key.clone(), len, core: Arc::new(Mutex::new(core)), inner: Arc::clone(inner) }
    }

    /// Goes on with one, cut to `len` bytes; `None` where it cannot be cut.
    pub(super) async fn resume(inner: &Arc<Inner>, key: &Key, len: u64) -> Result<Option<Self>, Error> {
        let Some((Held::Staged(bytes), _, version)) = inner.look(key, None).await? else { return Ok(None) };
        let mut saved = state(key, &bytes)?;
        let covers = |mark: &&Mark| parts_bytes(mark.parts) <= len && len <= mark.len;
        // The oldest that will do: its end was written before that of a newer one.
        let Some(mark) = saved.marks.iter().find(covers).cloned() else { return Ok(None) };
        let behind = usize::try_from(len - parts_bytes(mark.parts)).unwrap_or(usize::MAX);
        let mut end = BytesMut::new();
        if let (Some(tail), true) = (&mark.tail, behind > 0) {
            let Some(object) = inner.bucket.get(&keys::tail(tail), None).await? else { return Ok(None) };
            end.extend_from_slice(object.bytes.get(..behind).unwrap_or_default());
        }
        if end.len() != behind {
            return Ok(None);
        }
        if let Some(parts) = &mut saved.parts {
            parts.tags.truncate(mark.parts);
        }
        // Parts that nobody has written down may be there under the old name: its mark stays for whoever gives
        // them up, so they are not begun anew under it.
        let upload = match &saved.parts {
            Some(_) => Upload::restore(&inner.bucket, saved.content.clone(), saved.parts.clone()),
            None => Upload::new(&inner.bucket),
        };
        saved.content.clone_from(&upload.id);
        Ok(Some(Self::new(
            inner,
            key,
            len,
            Core {
                inner: Arc::clone(inner),
                key: key.clone(),
                uploading: Uploading::Idle(upload),
                end,
                saved,
                version,
            },
        )))
    }

    /// Returns how many bytes are durable of what is staged under a key.
    pub(super) async fn staged_len(inner: &Inner, key: &Key) -> Result<Option<u64>, Error> {
        let Some((Held::Staged(bytes), ..)) = inner.look(key, None).await? else { return Ok(None) };
        Ok(state(key, &bytes)?.marks.last().map(|mark| mark.len))
    }

    /// Removes what stands elsewhere of a stage whose own object is removed.
    pub(super) async fn give_up(inner: &Inner, bytes: &[u8]) -> Result<(), Error> {
        let Ok(saved) = serde_json::from_slice::<State>(bytes) else { return Ok(()) };
        // Who has published it may have stopped before it could remove this.
        let upload = Upload::restore(&inner.bucket, saved.content, saved.parts);
        upload.abort_parts().await?;
        let tails: Vec<String> =
            saved.marks.iter().filter_map(|it| it.tail.as_deref().map(keys::tail)).collect();
        if tails.is_empty() { Ok(()) } else { inner.bucket.remove(tails).await }
    }

    async fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().await
    }
}

/// Writes an object whose bytes no other write has. What is refused may be there all the same: an answer was
/// lost, and the client has tried again. Or a conflict was none, and the condition still holds.
async fn put_own(
    bucket: &Arc<dyn Bucket>,
    key: &Key,
    object: Bytes,
    when: Put,
) -> Result<Option<Version>, Error> {
    let written = bucket.put(key.as_str(), object.clone(), when.clone()).await?;
    if written.is_some() {
        return Ok(written);
    }
    match bucket.get(key.as_str(), None).await? {
        Some(found) if found.bytes == object => Ok(Some(found.version)),
        _ => bucket.put(key.as_str(), object, when).await,
    }
}

fn wrapped(state: &State) -> Bytes {
    let json = serde_json::to_vec(state).expect("a state has no map with keys that are not text");
    envelope::wrap(&Held::Staged(json.into()))
}

fn state(key: &Key, bytes: &[u8]) -> Result<State, Error> {
    serde_json::from_slice(bytes).map_err(|_| Error::foreign(key, "a stage that cannot be read"))
}

impl Core {
    /// Waits for the part that is under way.
    async fn idle(&mut self) -> Result<&mut Upload, Error> {
        if let Uploading::Part(_) = &self.uploading
            && let Uploading::Part(work) = std::mem::replace(&mut self.uploading, Uploading::Lost)
        {
            let abandoned = || Error::Abandoned { key: self.key.clone() };
            let (upload, result) = work.await.map_err(|_| abandoned())?;
            result?;
            self.uploading = Uploading::Idle(upload);
        }
        match &mut self.uploading {
            Uploading::Idle(upload) => Ok(upload),
            _ => Err(Error::Abandoned { key: self.key.clone() }),
        }
    }

    async fn append(&mut self, bytes: &[Bytes]) -> Result<(), Error> {
        for piece in bytes {
            self.end.extend_from_slice(piece);
        }
        loop {
            let number = match &self.uploading {
                Uploading::Idle(upload) => upload.count(),
                _ => self.idle().await?.count(),
            };
            let wanted = usize::try_from(part_bytes(number)).unwrap_or(usize::MAX);
            if self.end.len() < wanted {
                return Ok(());
            }
            let part = self.end.split_to(wanted).freeze();
            self.idle().await?;
            let Uploading::Idle(mut upload) = std::mem::replace(&mut self.uploading, Uploading::Lost) else {
                return Err(Error::Abandoned { key: self.key.clone() });
            };
            self.uploading = Uploading::Part(tokio::spawn(async move {
                let result = upload.part(part).await;
                (upload, result)
            }));
        }
    }

    async fn sync(&mut self, len: u64) -> Result<(), Error> {
        let (parts, count) = {
            let upload = self.idle().await?;
            (upload.parts.clone(), upload.count())
        };
        if self.saved.marks.last().is_some_and(|mark| mark.len == len && mark.parts == count) {
            return Ok(());
        }
        let tail = if self.end.is_empty() { None } else { Some(keys::new()) };
        if let Some(tail) = &tail {
            let end = Bytes::copy_from_slice(&self.end);
            self.inner.bucket.put(&keys::tail(tail), end, Put::Any).await?;
        }
        let mut next = self.saved.clone();
        next.parts = parts;
        next.marks.push(Mark { len, parts: count, tail });
        let gone: Vec<Mark> = next.marks.drain(..next.marks.len().saturating_sub(MARKS)).collect();
        let over = Put::Over(self.version.clone());
        let written = put_own(&self.inner.bucket, &self.key, wrapped(&next), over).await?;
        // Another process has gone on with it.
        self.version = written.ok_or_else(|| Error::Contended { key: self.key.clone() })?;
        self.saved = next;
        let tails: Vec<String> = gone.iter().filter_map(|it| it.tail.as_deref().map(keys::tail)).collect();
        if !tails.is_empty() {
            self.inner.bucket.remove(tails).await?;
        }
        Ok(())
    }

    /// Makes an object of what was appended, after which nothing more can be.
    async fn make_whole(&mut self) -> Result<&Upload, Error> {
        if !matches!(self.uploading, Uploading::Whole(_)) {
            self.idle().await?;
            let Uploading::Idle(mut upload) = std::mem::replace(&mut self.uploading, Uploading::Lost) else {
                return Err(Error::Abandoned { key: self.key.clone() });
            };
            upload.finish(Bytes::copy_from_slice(&self.end)).await?;
            self.uploading = Uploading::Whole(upload);
        }
        match &self.uploading {
            Uploading::Whole(upload) => Ok(upload),
            _ => Err(Error::Abandoned { key: self.key.clone() }),
        }
    }

    async fn publish(&mut self, to: &Key, len: u64) -> Result<Outcome, Error> {
        let inner = Arc::clone(&self.inner);
        let is_inline =
            len <= INLINE_BYTES_MAX && matches!(&self.uploading, Uploading::Idle(it) if it.count() == 0);
        if is_inline && self.end.len() as u64 == len {
            let held = Held::Record(Bytes::copy_from_slice(&self.end));
            return inner.lead(to, &held, len).await;
        }
        let upload = self.make_whole().await?;
        inner.point(to, upload, len).await
    }

    /// Removes what stands under the key, and the ends.
    async fn remove(&self) -> Result<(), Error> {
        let mut names: Vec<String> =
            self.saved.marks.iter().filter_map(|mark| mark.tail.as_deref().map(keys::tail)).collect();
        names.push(self.key.as_str().to_owned());
        self.inner.bucket.remove(names).await
    }
}

#[async_trait::async_trait]
impl Stage for ObjectStage {
    fn len(&self) -> u64 {
        self.len
    }

    async fn append(&mut self, bytes: Vec<Bytes>) -> Result<(), Error> {
        self.core().await.append(&bytes).await?;
        self.len += bytes.iter().map(|piece| piece.len() as u64).sum::<u64>();
        Ok(())
    }

    async fn sync(&mut self) -> Result<(), Error> {
        let len = self.len;
        self.core().await.sync(len).await
    }

    fn reader(&self) -> Arc<dyn ReadAt> {
        Arc::new(StageReader { core: Arc::clone(&self.core), key: self.key.clone(), len: self.len })
    }

    async fn publish(self: Box<Self>, to: &Key) -> Result<Outcome, Error> {
        let mut core = self.core().await;
        let outcome = core.publish(to, self.len).await?;
        core.remove().await?;
        Ok(outcome)
    }

    async fn discard(self: Box<Self>) -> Result<(), Error> {
        let mut core = self.core().await;
        if let Ok(upload) = core.idle().await {
            upload.abort_parts().await?;
        } else {
            let bytes = serde_json::to_vec(&core.saved).expect("a state is plain");
            Self::give_up(&self.inner, &bytes).await?;
        }
        core.remove().await
    }
}

/// Reads what was appended. What is in parts can be read only once they are an object.
#[derive(Debug)]
struct StageReader {
    core: Arc<Mutex<Core>>,
    key: Key,
    len: u64,
}

impl ReadAt for StageReader {
    fn read_at(&self, offset: u64, len: usize) -> BoxFuture<'static, Result<Bytes, Error>> {
        let (core, key, size) = (Arc::clone(&self.core), self.key.clone(), self.len);
        async move {
            let mut core = core.lock().await;
            let base = size.saturating_sub(core.end.len() as u64);
            if offset >= base && !matches!(core.uploading, Uploading::Whole(_)) {
                let start = usize::try_from(offset - base).unwrap_or(usize::MAX).min(core.end.len());
                let end = start.saturating_add(len).min(core.end.len());
                return Ok(Bytes::copy_from_slice(&core.end[start..end]));
            }
            let name = keys::content(&core.make_whole().await?.id);
            let bucket = Arc::clone(&core.inner.bucket);
            drop(core);
            ObjectFile::new(&bucket, &key, name, size).read_at(offset, len).await
        }
        .boxed()
    }
}
