//! What nothing leads to any more: content whose key has died or was replaced, and uploads that nobody ends.
//!
//! Content is looked at in three steps: what is there, what is under way, what keys lead to. Content that is
//! about to be published is under way before it is there, and until a key leads to it; so content that none
//! of the later steps knows is nobody's. It is marked, and removed by a later look when its mark is old
//! enough: who has begun to read it reads on meanwhile. Its name is never used again, so removing it needs no condition.

use std::collections::{BTreeMap, BTreeSet};
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
    let mut content: BTreeMap<String, Meta> = BTreeMap::new();
    let mut all = bucket.walk(keys::CONTENT);
    while let Some(meta) = all.try_next().await? {
        if let Some(id) = last(&meta.name).filter(|id| keys::is_content(id)) {
            content.insert(id.to_owned(), meta.clone());
        }
    }
    let begun: Vec<Meta> = bucket.walk(keys::MULTIPARTS).try_collect().await?;
    for id in begun.iter().filter_map(|meta| last(&meta.name)) {
        content.remove(id);
    }
    if !content.is_empty() {
        take_out_led_to(inner, backend.content_root(), &mut content).await?;
    }
    let mut reclaimed = give_up(bucket, begun.iter().filter(|meta| is_old(meta))).await?;
    let marks: Vec<Meta> = bucket.walk(keys::ORPHANS).try_collect().await?;
    let mut gone = Vec::new();
    let mut marked = BTreeSet::new();
    for mark in &marks {
        let Some(id) = last(&mark.name) else { continue };
        marked.insert(id.to_owned());
        match content.get(id) {
            Some(meta) if is_old(mark) => {
                reclaimed.objects += 1;
                reclaimed.bytes += meta.size;
                gone.extend([meta.name.clone(), mark.name.clone()]);
            }
            Some(_) => {}
            // A key leads to it after all, or it is gone.
            None => gone.push(mark.name.clone()),
        }
    }
    // Who goes on with a push writes its end anew. So an old one is of a push that stands still, or of a process
    // that stopped before it could say where the end is.
    let tails: Vec<Meta> = bucket.walk(keys::TAILS).try_collect().await?;
    gone.extend(tails.into_iter().filter(is_old).map(|meta| meta.name));
    for names in gone.chunks(REMOVED_AT_ONCE) {
        bucket.remove(names.to_vec()).await?;
    }
    for (id, _) in content.iter().filter(|(id, meta)| is_old(meta) && !marked.contains(*id)) {
        bucket.put(&keys::orphan(id), Bytes::new(), Put::Any).await?;
    }
    Ok(reclaimed)
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

/// Takes out of a set of content what a key leads to.
async fn take_out_led_to(
    inner: &Inner,
    root: &str,
    content: &mut BTreeMap<String, Meta>,
) -> Result<(), Error> {
    let mut keys = inner.bucket.walk(root);
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
                        content.remove(&pointer.content);
                    }
                }
            },
        }
    }
}

/// Gives up uploads in parts that were begun long ago: their parts take room, and are in no list.
async fn give_up(bucket: &dyn Bucket, begun: impl Iterator<Item = &Meta>) -> Result<Reclaimed, Error> {
    let mut reclaimed = Reclaimed::default();
    for meta in begun {
        let Some(id) = last(&meta.name) else { continue };
        if let Some(object) = bucket.get(&meta.name, None).await?
            && let Ok(begun) = serde_json::from_slice::<Begun>(&object.bytes)
        {
            bucket.abort(&keys::content(id), &begun.upload).await?;
        }
        bucket.remove(vec![meta.name.clone()]).await?;
        reclaimed.uploads += 1;
    }
    Ok(reclaimed)
}
