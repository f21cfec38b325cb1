//! What nothing leads to any more: content whose key has died or was replaced, and uploads that nobody ends.
//!
//! First it is read what keys lead to, then what content is there: content that has been there for long, that
//! no key led to and no upload goes on with, is nobody's, since who makes content makes a key lead to it at
//! once. It is marked, and removed by a later look when its mark is old enough: who has begun to read it reads
//! on meanwhile. Its name is never used again, so removing it needs no condition.
//!
//! *Units and limits:* one request for each key of content, and some 16 bytes of memory.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, TryStreamExt};

use super::bucket::{Bucket, Meta, Put};
use super::envelope::{GLANCE_BYTES, Held, is_free};
use super::keys;
use super::records::{Inner, ObjectBackend};
use super::upload::Begun;
use crate::backend::{Error, Key, Reclaimed};

/// Pointers read at once.
const READS_AT_ONCE: usize = 16;
/// Names removed in one request, at most.
const REMOVED_AT_ONCE: usize = 1_000;

/// Removes what nothing leads to and nobody has worked on for so long, which is longer than a push may stand
/// still.
pub(super) async fn reclaim(backend: &ObjectBackend, idle: Duration) -> Result<Reclaimed, Error> {
    let inner = backend.0.as_ref();
    let bucket = inner.bucket.as_ref();
    let now = now(bucket).await?;
    let is_old = |meta: &Meta| now.duration_since(meta.written_at).is_ok_and(|age| age >= idle);
    let mut wanted: HashSet<u64> = HashSet::new();
    let begun: Vec<Meta> = bucket.walk(keys::MULTIPARTS).try_collect().await?;
    wanted.extend(begun.iter().filter_map(|meta| hash(last(&meta.name)?)));
    for root in backend.content_roots() {
        add_led_to(inner, root, &mut wanted).await?;
    }
    let marks: Vec<Meta> = bucket.walk(keys::ORPHANS).try_collect().await?;
    let mut marks: HashMap<String, Meta> =
        marks.into_iter().filter_map(|meta| Some((last(&meta.name)?.to_owned(), meta))).collect();
    let (mut gone, mut reclaimed) = (Vec::new(), Reclaimed::default());
    let mut content = bucket.walk(keys::CONTENT);
    while let Some(meta) = content.try_next().await? {
        let Some(id) = last(&meta.name).filter(|id| keys::is_content(id)) else { continue };
        let is_wanted = hash(id).is_none_or(|hash| wanted.contains(&hash));
        match marks.remove(id) {
            Some(mark) if !is_wanted && is_old(&mark) => {
                reclaimed.objects += 1;
                reclaimed.bytes += meta.size;
                gone.extend([meta.name.clone(), mark.name]);
            }
            Some(mark) if is_wanted => gone.push(mark.name),
            None if !is_wanted && is_old(&meta) => {
                bucket.put(&keys::orphan(id), Bytes::new(), Put::Any).await?;
            }
            Some(_) | None => {}
        }
    }
    // Marks of content that is gone.
    gone.extend(marks.into_values().map(|mark| mark.name));
    // Who goes on with a push writes its end anew. So an old one is of a push that stands still, or of a process
    // that stopped before it could say where the end is.
    let tails: Vec<Meta> = bucket.walk(keys::TAILS).try_collect().await?;
    gone.extend(tails.into_iter().filter(is_old).map(|meta| meta.name));
    for names in gone.chunks(REMOVED_AT_ONCE) {
        bucket.remove(names.to_vec()).await?;
    }
    reclaimed.uploads = give_up(bucket, begun.iter().filter(|meta| is_old(meta))).await?;
    Ok(reclaimed)
}

/// Returns the first half of the name of content, which is as random as the whole.
fn hash(id: &str) -> Option<u64> {
    uuid::Uuid::try_parse(id).ok().map(|id| id.as_u64_pair().0)
}

/// Asks for the bucket's time: ages are told by its clock alone, whatever this machine's says.
async fn now(bucket: &dyn Bucket) -> Result<SystemTime, Error> {
    let name = format!("{}/{}", keys::CLOCKS, keys::new());
    bucket.put(&name, Bytes::new(), Put::Any).await?;
    let written: Vec<Meta> = bucket.walk(keys::CLOCKS).try_collect().await?;
    let now = written.iter().map(|meta| meta.written_at).max();
    // Those of others are too old to be of use, or will be removed by them too.
    bucket.remove(written.into_iter().map(|meta| meta.name).collect()).await?;
    now.ok_or_else(|| Error::foreign(&Key::new(&name), "a bucket that does not list what was written to it"))
}

fn last(name: &str) -> Option<&str> {
    name.rsplit('/').next()
}

/// Adds what keys lead to.
async fn add_led_to(inner: &Inner, root: &str, wanted: &mut HashSet<u64>) -> Result<(), Error> {
    let mut keys = inner.bucket.walk(root).fuse();
    let mut reads = FuturesUnordered::new();
    loop {
        let meta = if reads.len() < READS_AT_ONCE { keys.try_next().await? } else { None };
        match meta {
            // What is longer than a pointer is none.
            Some(meta) if !is_free(meta.size) && meta.size <= GLANCE_BYTES => {
                reads.push(async move { inner.look(&Key::new(&meta.name), None).await });
            }
            Some(_) => {}
            None => match reads.next().await {
                None => return Ok(()),
                Some(found) => {
                    if let Some((Held::Pointer(pointer), ..)) = found? {
                        wanted.extend(hash(&pointer.content));
                    }
                }
            },
        }
    }
}

/// Gives up uploads in parts that were begun long ago: their parts take room, and are in no list.
async fn give_up(bucket: &dyn Bucket, begun: impl Iterator<Item = &Meta>) -> Result<u64, Error> {
    let mut given_up = 0;
    for meta in begun {
        let Some(id) = last(&meta.name) else { continue };
        if let Some(object) = bucket.get(&meta.name, None).await?
            && let Ok(begun) = serde_json::from_slice::<Begun>(&object.bytes)
        {
            bucket.abort(&keys::content(id), &begun.upload).await?;
        }
        bucket.remove(vec![meta.name.clone()]).await?;
        given_up += 1;
    }
    Ok(given_up)
}
