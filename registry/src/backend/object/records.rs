//! [`ObjectBackend`]: records and their conditions, lists, and the ways to content.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;

use super::bucket::{Bucket, Object, Put, Version};
use super::envelope::{self, GLANCE_BYTES, HEAD_BYTES, Held};
use super::read::{Inline, ObjectFile};
use super::stage::ObjectStage;
use super::{keys, spool};
use crate::backend::{
    Backend, Content, Error, Key, Outcome, RECORD_BYTES_MAX, Reclaimed, Sentence, Space, Stage, When,
};

/// A [`Backend`] over a bucket, and a folder for what is on its way from upstreams.
#[derive(Debug, Clone)]
pub struct ObjectBackend(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) bucket: Arc<dyn Bucket>,
    /// What is this process's own.
    local: Arc<dyn Backend>,
    roots: Roots,
}

/// First components of keys that are treated in a way of their own.
#[derive(Debug, Clone, Copy)]
pub struct Roots {
    /// What is kept in the folder: it is read while it grows, and no other process needs it.
    pub local: &'static [&'static str],
    /// Names below which are made up once and never used again, so that they can be removed for good.
    pub unique: &'static [&'static str],
    /// Of those, what are single records that nothing stands beside.
    pub single: &'static [&'static str],
    /// Below which content stands.
    pub content: &'static [&'static str],
}

/// How often a write that another one came before is tried again.
pub(super) const ATTEMPTS_MAX: usize = 16;
/// How much of an object is read that may be small content.
const INLINE_GLANCE_BYTES: u64 = 64 * 1024;

/// What a change is allowed to do to what is there.
enum Turn {
    Write(Put),
    Ended(Outcome),
}

fn is_removal(object: &Bytes) -> bool {
    envelope::is_free(object.len() as u64)
}

/// Lets others go first, the longer the more often they have been.
pub(super) async fn wait(tries: usize) {
    if tries > 1 {
        let millis = 1_u64 << tries.min(8);
        let random = uuid::Uuid::new_v4().as_u64_pair().0;
        tokio::time::sleep(Duration::from_millis(1 + random % millis)).await;
    }
}

impl ObjectBackend {
    /// Makes a backend; the caller has probed the bucket.
    pub fn new(bucket: Arc<dyn Bucket>, local: Arc<dyn Backend>, roots: Roots) -> Self {
        Self(Arc::new(Inner { bucket, local, roots }))
    }

    pub(super) fn content_roots(&self) -> &'static [&'static str] {
        self.0.roots.content
    }
}

impl Inner {
    fn is_local(&self, key: &Key) -> bool {
        let root = key.as_str().split('/').next();
        root.is_some_and(|root| self.roots.local.contains(&root))
    }

    fn is_unique(&self, key: &Key) -> bool {
        key.as_str().split('/').next().is_some_and(|root| self.roots.unique.contains(&root))
    }

    /// Writes an object where the condition allows it, as often as another write came before.
    pub(super) async fn change(&self, key: &Key, held: Option<&Held>, when: &When) -> Result<Outcome, Error> {
        let object = held.map_or_else(envelope::free, envelope::wrap);
        // What must be absent mostly is: that saves the look.
        let mut next = (*when == When::Absent && held.is_some()).then_some(Put::New);
        for tries in 0..ATTEMPTS_MAX {
            wait(tries).await;
            let put = match next.take() {
                Some(put) => put,
                None => match self.turn(key, &object, when, tries).await? {
                    Turn::Write(put) => put,
                    Turn::Ended(outcome) => return Ok(outcome),
                },
            };
            if self.bucket.put(key.as_str(), object.clone(), put).await?.is_some() {
                return Ok(Outcome::Done);
            }
        }
        Err(Error::Contended { key: key.clone() })
    }

    /// Looks at what is there, and says what the change may do.
    async fn turn(&self, key: &Key, object: &Bytes, when: &When, tries: usize) -> Result<Turn, Error> {
        let glance = if matches!(when, When::Is(_)) { None } else { Some(GLANCE_BYTES) };
        let found = self.bucket.get(key.as_str(), glance).await?;
        let refused = Ok(Turn::Ended(Outcome::Refused));
        let Some(Object { bytes, version, .. }) = found else {
            // Nothing was ever there; a server that spoke of a conflict may have meant another write that failed.
            let may = !is_removal(object) && !matches!(when, When::Is(_));
            return if may { Ok(Turn::Write(Put::New)) } else { refused };
        };
        let mark = object.get(..HEAD_BYTES).unwrap_or(object);
        if tries > 0 && bytes.starts_with(mark) {
            // An answer was lost: this is what an earlier try has written.
            return Ok(Turn::Ended(Outcome::Done));
        }
        let over = Ok(Turn::Write(Put::Over(version)));
        match (when, self.held(key, &bytes)?) {
            (When::Absent, Some(_)) | (When::Is(_), None) => refused,
            (_, None) if is_removal(object) => refused,
            (When::Absent | When::Always, _) => over,
            (When::Is(expected), Some(Held::Record(record))) if record == *expected => over,
            (When::Is(_), Some(_)) => refused,
        }
    }

    fn held(&self, key: &Key, object: &Bytes) -> Result<Option<Held>, Error> {
        // A glance at a long record still says that it is one.
        envelope::unwrap(object).map_err(|what| Error::foreign(key, what))
    }

    /// Returns what is under a key, with the version of its object.
    pub(super) async fn look(
        &self,
        key: &Key,
        bytes_max: Option<u64>,
    ) -> Result<Option<(Held, u64, Version)>, Error> {
        let Some(object) = self.bucket.get(key.as_str(), bytes_max).await? else { return Ok(None) };
        let held = self.held(key, &object.bytes)?;
        Ok(held.map(|held| (held, object.size, object.version)))
    }

    async fn children(&self, key: &Key) -> Result<Vec<String>, Error> {
        let found = self.bucket.children(key.as_str()).await?;
        let objects =
            found.objects.into_iter().filter(|(_, size)| !envelope::is_free(*size)).map(|(name, _)| name);
        let mut names: Vec<String> = found.prefixes.into_iter().chain(objects).collect();
        if key.as_str().is_empty() {
            names.retain(|name| !keys::is_own(name));
            names.extend(
                self.local.list(key).await?.into_iter().filter(|it| self.roots.local.contains(&it.as_str())),
            );
        }
        names.retain(|name| Key::is_component(name));
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    async fn sweep(&self, key: &Key) -> Result<(), Error> {
        if key.as_str().split('/').next().is_some_and(|root| self.roots.single.contains(&root)) {
            return self.bucket.remove(vec![key.as_str().to_owned()]).await;
        }
        let mut names = Vec::new();
        let mut below = self.bucket.walk(key.as_str());
        while let Some(meta) = below.try_next().await? {
            // What is free already stays as it is.
            if !envelope::is_free(meta.size) {
                names.push(meta.name);
            }
        }
        drop(below);
        if names.is_empty() {
            names.push(key.as_str().to_owned());
        }
        let mut unique = Vec::new();
        for name in names {
            let key = Key::new(&name);
            match self.look(&key, None).await? {
                None => {}
                Some((Held::Staged(state), ..)) => {
                    ObjectStage::give_up(self, &state).await?;
                    unique.push(name);
                }
                Some(_) if self.is_unique(&key) => unique.push(name),
                Some(_) => drop(self.change(&key, None, &When::Always).await?),
            }
        }
        if unique.is_empty() { Ok(()) } else { self.bucket.remove(unique).await }
    }
}

#[async_trait::async_trait]
impl Backend for ObjectBackend {
    async fn read(&self, key: &Key) -> Result<Option<Bytes>, Error> {
        if self.0.is_local(key) {
            return self.0.local.read(key).await;
        }
        match self.0.look(key, None).await? {
            None => Ok(None),
            Some((Held::Record(record), ..)) => Ok(Some(record)),
            Some(_) => Err(Error::foreign(key, "content where a record is expected")),
        }
    }

    async fn write(&self, key: &Key, record: Bytes, when: When) -> Result<Outcome, Error> {
        if self.0.is_local(key) {
            return self.0.local.write(key, record, when).await;
        }
        if record.len() > RECORD_BYTES_MAX {
            return Err(Error::TooLarge { key: key.clone(), size: record.len() as u64 });
        }
        self.0.change(key, Some(&Held::Record(record)), &when).await
    }

    async fn write_unsynced(&self, key: &Key, record: Bytes) -> Result<(), Error> {
        if self.0.is_local(key) {
            return self.0.local.write_unsynced(key, record).await;
        }
        // Its reader can tell when it is old, so a write that is carried out late does no harm.
        let object = envelope::wrap(&Held::Record(record));
        self.0.bucket.put(key.as_str(), object, Put::Any).await.map(drop)
    }

    async fn delete(&self, key: &Key, when: When) -> Result<Outcome, Error> {
        if self.0.is_local(key) {
            return self.0.local.delete(key, when).await;
        }
        if when == When::Absent {
            return Ok(Outcome::Refused);
        }
        self.0.change(key, None, &when).await
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, Error> {
        if self.0.is_local(key) {
            return self.0.local.size(key).await;
        }
        Ok(match self.0.look(key, Some(GLANCE_BYTES)).await? {
            None => None,
            Some((Held::Record(_), size, _)) => Some(size - HEAD_BYTES as u64),
            Some((Held::Pointer(pointer), ..)) => Some(pointer.size),
            Some((Held::Staged(_), ..)) => ObjectStage::staged_len(&self.0, key).await?,
        })
    }

    async fn settle(&self, keys: &[Key]) -> Result<(), Error> {
        // What a bucket shows is durable.
        let local: Vec<Key> = keys.iter().filter(|key| self.0.is_local(key)).cloned().collect();
        if local.is_empty() { Ok(()) } else { self.0.local.settle(&local).await }
    }

    async fn list(&self, key: &Key) -> Result<Vec<String>, Error> {
        if self.0.is_local(key) { self.0.local.list(key).await } else { self.0.children(key).await }
    }

    async fn open(&self, key: &Key) -> Result<Option<Content>, Error> {
        if self.0.is_local(key) {
            return self.0.local.open(key).await;
        }
        let Some((held, size, _)) = self.0.look(key, Some(INLINE_GLANCE_BYTES)).await? else {
            return Ok(None);
        };
        let held = match held {
            Held::Record(_) if size > INLINE_GLANCE_BYTES => match self.0.look(key, None).await? {
                Some((held, ..)) => held,
                None => return Ok(None),
            },
            held => held,
        };
        match held {
            Held::Record(bytes) => Ok(Some(Content::new(bytes.len() as u64, Arc::new(Inline(bytes))))),
            Held::Pointer(pointer) => {
                let file =
                    ObjectFile::new(&self.0.bucket, key, keys::content(&pointer.content), pointer.size);
                Ok(Some(Content::new(pointer.size, Arc::new(file))))
            }
            Held::Staged(_) => Err(Error::foreign(key, "what is on its way in where content is expected")),
        }
    }

    async fn stage(&self, key: &Key) -> Result<Box<dyn Stage>, Error> {
        if self.0.is_local(key) {
            let file = self.0.local.stage(key).await?;
            return Ok(Box::new(spool::SpoolStage::new(&self.0, key, file)));
        }
        Ok(Box::new(ObjectStage::begin(&self.0, key).await?))
    }

    async fn resume(&self, key: &Key, len: u64) -> Result<Option<Box<dyn Stage>>, Error> {
        if self.0.is_local(key) {
            let file = self.0.local.resume(key, len).await?;
            return Ok(
                file.map(|file| Box::new(spool::SpoolStage::new(&self.0, key, file)) as Box<dyn Stage>)
            );
        }
        let stage = ObjectStage::resume(&self.0, key, len).await?;
        Ok(stage.map(|stage| Box::new(stage) as Box<dyn Stage>))
    }

    async fn sweep(&self, key: &Key) -> Result<(), Error> {
        if self.0.is_local(key) { self.0.local.sweep(key).await } else { self.0.sweep(key).await }
    }

    async fn condemn(&self, key: &Key) -> Result<Option<Sentence>, Error> {
        if self.0.is_local(key) { self.0.local.condemn(key).await } else { self.0.condemn(key).await }
    }

    async fn execute(&self, key: &Key, sentence: &Sentence) -> Result<Outcome, Error> {
        if self.0.is_local(key) {
            return self.0.local.execute(key, sentence).await;
        }
        self.0.execute(key, sentence).await
    }

    async fn spare(&self, key: &Key) -> Result<bool, Error> {
        if self.0.is_local(key) { self.0.local.spare(key).await } else { self.0.spare(key).await }
    }

    async fn space(&self) -> Result<Option<Space>, Error> {
        self.0.local.space().await
    }

    async fn reclaim(&self, idle: Duration) -> Result<Reclaimed, Error> {
        super::reclaim::reclaim(self, idle).await
    }
}
