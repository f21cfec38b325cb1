//! A bucket in memory: for tests of what no server does on demand, and for several processes in one.
//!
//! Who makes one decides for each request what becomes of it: carried out, refused, its answer lost, or
//! carried out only much later, when nobody waits for it any more.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use tokio::time::Instant;

use super::bucket::{Bucket, Children, Meta, Object, Put, Version};
use crate::backend::{Error, Key};

/// A bucket in memory; clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryBucket(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    weather: Option<Box<dyn Weather>>,
    uploads: AtomicU64,
}

#[derive(Debug)]
struct State {
    objects: BTreeMap<String, Stored>,
    /// The parts of each upload, with their tags.
    uploads: BTreeMap<String, BTreeMap<usize, (String, Bytes)>>,
    counts: BTreeMap<&'static str, u64>,
    /// What is carried out later.
    late: Vec<Change>,
    versions: u64,
    /// When the bucket's clock was 0, and how far it was set forward since.
    begun: Instant,
    passed: Duration,
}

impl Default for State {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
            counts: BTreeMap::new(),
            late: Vec::new(),
            versions: 0,
            begun: Instant::now(),
            passed: Duration::ZERO,
        }
    }
}

#[derive(Debug, Clone)]
struct Stored {
    bytes: Bytes,
    version: u64,
    written_at: SystemTime,
}

/// A request that changes something.
#[derive(Debug, Clone)]
enum Change {
    Put(String, Bytes, Put),
    Remove(Vec<String>),
    Complete(String, String, Vec<String>),
}

/// A request, before it is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// What is asked: the name of the method of [`Bucket`].
    pub operation: &'static str,
    /// Of which object, prefix, or upload.
    pub name: &'a str,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is carried out and answered.
    Answered,
    /// It is carried out; the answer is lost.
    AnswerLost,
    /// Its answer is lost, and it is carried out by [`MemoryBucket::land`].
    Late,
    /// It is not carried out: too many requests.
    SlowDown,
    /// It is not carried out, and answered as if its condition did not hold: two writes met.
    Conflict,
    /// It is carried out, and answered as if its condition did not hold: its first answer was lost, and it was
    /// asked again.
    Refused,
    /// It is not carried out: the credentials are not valid any more.
    Expired,
}

/// Decides what becomes of requests, and when they go on.
pub trait Weather: fmt::Debug + Send + Sync + 'static {
    /// Returns the fate of a request; it waits for as long as this does.
    fn fate(&self, request: Request<'_>) -> BoxFuture<'static, Fate>;
}

impl MemoryBucket {
    /// Makes an empty one in which every request is carried out and answered.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes an empty one that is asked about every request.
    pub fn with_weather(weather: Box<dyn Weather>) -> Self {
        Self(Arc::new(Shared { weather: Some(weather), ..Shared::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the bucket's clock forward.
    pub fn pass(&self, by: Duration) {
        self.state().passed += by;
    }

    /// Returns how often each method was called, and forgets it.
    pub fn take_counts(&self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut self.state().counts)
    }

    /// Returns the names of all objects, in order.
    pub fn names(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    /// Returns how many uploads in parts have neither ended nor been given up.
    pub fn uploads(&self) -> usize {
        self.state().uploads.len()
    }

    /// Changes the bytes of an object, as a fault of the store itself would.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        if let Some(stored) = state.objects.get_mut(name) {
            let mut bytes = stored.bytes.to_vec();
            change(&mut bytes);
            stored.bytes = bytes.into();
        }
    }

    /// Removes an object, as somebody else would.
    pub fn lose(&self, name: &str) {
        self.state().objects.remove(name);
    }

    /// Carries out what is late, in the order in which it was asked, and returns how much that was.
    pub fn land(&self) -> usize {
        let mut state = self.state();
        let late = std::mem::take(&mut state.late);
        let count = late.len();
        for change in late {
            // Nobody waits for what becomes of it.
            let _ = state.carry_out(change);
        }
        count
    }

    async fn fate(&self, operation: &'static str, name: &str) -> Fate {
        *self.state().counts.entry(operation).or_default() += 1;
        match &self.0.weather {
            None => Fate::Answered,
            Some(weather) => weather.fate(Request { operation, name }).await,
        }
    }

    async fn ask<T>(
        &self,
        operation: &'static str,
        name: &str,
        work: impl FnOnce(&State) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self.fate(operation, name).await {
            Fate::Answered | Fate::Conflict | Fate::Refused => work(&self.state()),
            Fate::Expired => Err(denied(operation, name)),
            Fate::AnswerLost | Fate::Late | Fate::SlowDown => Err(unreachable(operation, name)),
        }
    }

    async fn order(
        &self,
        operation: &'static str,
        name: &str,
        change: Change,
    ) -> Result<Option<Version>, Error> {
        match self.fate(operation, name).await {
            Fate::Answered => self.state().carry_out(change),
            Fate::Conflict if operation == "put" => Ok(None),
            Fate::Refused if operation == "put" => self.state().carry_out(change).map(|_| None),
            Fate::Refused => self.state().carry_out(change),
            Fate::AnswerLost => {
                let _ = self.state().carry_out(change);
                Err(unreachable(operation, name))
            }
            Fate::Late => {
                self.state().late.push(change);
                Err(unreachable(operation, name))
            }
            Fate::Expired => Err(denied(operation, name)),
            Fate::SlowDown | Fate::Conflict => Err(unreachable(operation, name)),
        }
    }
}

fn unreachable(operation: &'static str, name: &str) -> Error {
    let source = io::Error::other("no answer came");
    Error::Unreachable { operation, key: Key::new(name), source }
}

fn denied(operation: &'static str, name: &str) -> Error {
    let source = io::Error::new(io::ErrorKind::PermissionDenied, "the credentials are not valid");
    Error::Denied { operation, key: Key::new(name), source }
}

fn version(number: u64) -> Version {
    Version { tag: Some(number.to_string()), generation: None }
}

impl State {
    fn carry_out(&mut self, change: Change) -> Result<Option<Version>, Error> {
        match change {
            Change::Put(name, bytes, when) => {
                let there = self.objects.get(&name).map(|stored| version(stored.version));
                let holds = match &when {
                    Put::New => there.is_none(),
                    Put::Over(expected) => there.as_ref() == Some(expected),
                    Put::Any => true,
                };
                Ok(if holds { Some(self.store(name, bytes)) } else { None })
            }
            Change::Remove(names) => {
                for name in names {
                    self.objects.remove(&name);
                }
                Ok(None)
            }
            Change::Complete(name, upload, tags) => {
                let Some(parts) = self.uploads.remove(&upload) else {
                    let source = io::Error::new(io::ErrorKind::NotFound, "there is no such upload");
                    return Err(Error::new("complete", &Key::new(&name), source));
                };
                let chosen = tags.iter().enumerate().map(|(number, tag)| {
                    parts.get(&number).filter(|(there, _)| there == tag).map(|(_, bytes)| bytes.clone())
                });
                let Some(chosen) = chosen.collect::<Option<Vec<Bytes>>>() else {
                    // The upload stays, with parts that somebody else has put over these.
                    self.uploads.insert(upload, parts);
                    let source = io::Error::new(io::ErrorKind::InvalidInput, "a part has another tag");
                    return Err(Error::new("complete", &Key::new(&name), source));
                };
                Ok(Some(self.store(name, chosen.concat().into())))
            }
        }
    }

    fn store(&mut self, name: String, bytes: Bytes) -> Version {
        self.versions += 1;
        let stored = Stored {
            bytes,
            version: self.versions,
            written_at: SystemTime::UNIX_EPOCH + self.begun.elapsed() + self.passed,
        };
        self.objects.insert(name, stored);
        version(self.versions)
    }

    fn below(&self, prefix: &str) -> impl Iterator<Item = (&String, &Stored)> {
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let first = prefix.clone();
        self.objects.range(first..).take_while(move |(name, _)| name.starts_with(&prefix))
    }
}

/// What S3 asks of all parts but the last, in bytes.
const PART_BYTES_MIN: usize = 5 * 1024 * 1024;

#[async_trait::async_trait]
impl Bucket for MemoryBucket {
    async fn get(&self, name: &str, bytes_max: Option<u64>) -> Result<Option<Object>, Error> {
        self.ask("get", name, |state| {
            Ok(state.objects.get(name).map(|stored| {
                let size = stored.bytes.len() as u64;
                let end = usize::try_from(bytes_max.unwrap_or(size).min(size)).expect("it is in memory");
                Object { bytes: stored.bytes.slice(..end), size, version: version(stored.version) }
            }))
        })
        .await
    }

    async fn size(&self, name: &str) -> Result<Option<u64>, Error> {
        self.ask("size", name, |state| Ok(state.objects.get(name).map(|it| it.bytes.len() as u64))).await
    }

    fn stream(&self, name: &str, range: Range<u64>) -> BoxStream<'static, Result<Bytes, Error>> {
        let (bucket, name) = (self.clone(), name.to_owned());
        async move {
            bucket
                .ask("stream", &name, |state| {
                    let bytes = state.objects.get(&name).map(|it| it.bytes.clone()).ok_or_else(|| {
                        let source = io::Error::new(io::ErrorKind::NotFound, "there is no such object");
                        Error::new("stream", &Key::new(&name), source)
                    })?;
                    let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(bytes.len());
                    Ok(bytes.slice(usize::try_from(range.start).unwrap_or(usize::MAX).min(end)..end))
                })
                .await
        }
        .into_stream()
        .boxed()
    }

    async fn put(&self, name: &str, bytes: Bytes, when: Put) -> Result<Option<Version>, Error> {
        self.order("put", name, Change::Put(name.to_owned(), bytes, when)).await
    }

    async fn remove(&self, names: Vec<String>) -> Result<(), Error> {
        let first = names.first().cloned().unwrap_or_default();
        self.order("remove", &first, Change::Remove(names)).await.map(drop)
    }

    async fn children(&self, prefix: &str) -> Result<Children, Error> {
        let skipped = if prefix.is_empty() { 0 } else { prefix.len() + 1 };
        self.ask("children", prefix, |state| {
            let mut children = Children::default();
            for (name, stored) in state.below(prefix) {
                match name[skipped..].split_once('/') {
                    None => children.objects.push((name[skipped..].to_owned(), stored.bytes.len() as u64)),
                    Some((first, _)) if children.prefixes.last().is_some_and(|last| last == first) => {}
                    Some((first, _)) => children.prefixes.push(first.to_owned()),
                }
            }
            Ok(children)
        })
        .await
    }

    fn walk(&self, prefix: &str) -> BoxStream<'static, Result<Meta, Error>> {
        let (bucket, prefix) = (self.clone(), prefix.to_owned());
        async move {
            let found = bucket
                .ask("walk", &prefix, |state| {
                    let meta = |(name, stored): (&String, &Stored)| Meta {
                        name: name.clone(),
                        size: stored.bytes.len() as u64,
                        written_at: stored.written_at,
                    };
                    Ok(state.below(&prefix).map(meta).collect::<Vec<_>>())
                })
                .await;
            match found {
                Ok(found) => futures_util::stream::iter(found.into_iter().map(Ok)).boxed(),
                Err(error) => futures_util::stream::once(std::future::ready(Err(error))).boxed(),
            }
        }
        .flatten_stream()
        .boxed()
    }

    async fn begin(&self, name: &str) -> Result<String, Error> {
        match self.fate("begin", name).await {
            Fate::Answered => {}
            Fate::Expired => return Err(denied("begin", name)),
            _ => return Err(unreachable("begin", name)),
        }
        let upload = format!("upload-{}", self.0.uploads.fetch_add(1, Ordering::Relaxed));
        self.state().uploads.insert(upload.clone(), BTreeMap::new());
        Ok(upload)
    }

    async fn part(&self, name: &str, upload: &str, number: usize, bytes: Bytes) -> Result<String, Error> {
        match self.fate("part", name).await {
            Fate::Answered => {}
            Fate::Expired => return Err(denied("part", name)),
            _ => return Err(unreachable("part", name)),
        }
        let mut state = self.state();
        let Some(parts) = state.uploads.get_mut(upload) else {
            let source = io::Error::new(io::ErrorKind::NotFound, "there is no such upload");
            return Err(Error::new("part", &Key::new(name), source));
        };
        let before = parts.range(..number).next_back();
        assert!(
            before.is_none_or(|(_, (_, it))| it.len() >= PART_BYTES_MIN),
            "only the last part may be small"
        );
        let tag = format!("{upload}-{number}-{}", self.0.uploads.fetch_add(1, Ordering::Relaxed));
        parts.insert(number, (tag.clone(), bytes));
        Ok(tag)
    }

    async fn complete(&self, name: &str, upload: &str, tags: &[String]) -> Result<(), Error> {
        let change = Change::Complete(name.to_owned(), upload.to_owned(), tags.to_vec());
        self.order("complete", name, change).await.map(drop)
    }

    async fn abort(&self, name: &str, upload: &str) -> Result<(), Error> {
        match self.fate("abort", name).await {
            Fate::Answered => {}
            Fate::Expired => return Err(denied("abort", name)),
            _ => return Err(unreachable("abort", name)),
        }
        self.state().uploads.remove(upload);
        Ok(())
    }

    async fn link(&self, _name: &str, _valid_for: Duration) -> Result<Option<String>, Error> {
        Ok(None)
    }
}
