//! What clients do: at random, or by a script that touches every kind of write once.

use super::client::{Pusher, Stop};
use crate::support::{Connection, digest_of};

const TAGS: [&str; 4] = ["latest", "v1", "v2", "edge"];
/// Open uploads beyond which a client finishes one before it opens the next.
const UPLOADS_MAX: usize = 4;
/// Manifests beyond which a client deletes some, so that an audit stays short.
const MANIFESTS_MAX: usize = 12;

/// Sends requests at random until the connection breaks.
///
/// Returns why it stopped; it stops for nothing but a server that is gone or refuses.
pub(crate) fn traffic(pusher: &mut Pusher, wire: &mut Connection) -> Stop {
    loop {
        if let Err(stop) = one(pusher, wire) {
            return stop;
        }
    }
}

fn one(pusher: &mut Pusher, wire: &mut Connection) -> Result<(), Stop> {
    let open = pusher.random.pick(pusher.before.uploads.keys().cloned());
    let manifest = pusher.random.pick(pusher.before.manifests.keys().cloned());
    if let Some(digest) = manifest.as_ref().filter(|_| pusher.before.manifests.len() > MANIFESTS_MAX) {
        return pusher.delete_manifest(wire, digest);
    }
    let tag = pusher.random.pick(pusher.before.tags.keys().cloned());
    let blob = pusher.random.pick(pusher.before.blobs.keys().cloned());
    match (pusher.random.below(16), open, manifest, tag, blob) {
        (0..=1, open, ..) if pusher.before.uploads.len() < UPLOADS_MAX || open.is_none() => {
            let content = pusher.random.below(pusher.pool.contents.len());
            let path = pusher.open(wire, content)?;
            append_some(pusher, wire, &path)
        }
        (0..=2, Some(path), ..) => append_some(pusher, wire, &path),
        (3, Some(path), ..) => pusher.commit(wire, &path),
        (4, Some(path), ..) => pusher.cancel(wire, &path),
        (5, _, Some(digest), ..) => pusher.delete_manifest(wire, &digest),
        (6, _, _, Some(tag), _) => pusher.untag(wire, &tag),
        (7, _, _, _, Some(digest)) => pusher.delete_blob(wire, &digest),
        (8, _, _, _, Some(digest)) => read_blob(pusher, wire, &digest),
        _ => push_image(pusher, wire),
    }
}

fn append_some(pusher: &mut Pusher, wire: &mut Connection, path: &str) -> Result<(), Stop> {
    let upload = &pusher.before.uploads[path];
    let left = pusher.pool.contents[upload.content].1.len() - upload.offset;
    let len = pusher.random.below(left + 1);
    pusher.append(wire, path, len)
}

/// Pushes an image: those blobs that are lacking, each in its own way, then the manifest.
fn push_image(pusher: &mut Pusher, wire: &mut Connection) -> Result<(), Stop> {
    let count = 1 + pusher.random.below(3);
    let contents: Vec<usize> = (0..count).map(|_| pusher.random.below(pusher.pool.contents.len())).collect();
    for content in &contents {
        if !pusher.before.blobs.contains_key(&pusher.pool.contents[*content].0) {
            push_blob(pusher, wire, *content)?;
        }
    }
    let first = pusher.random.below(TAGS.len());
    let several = if pusher.random.below(4) == 0 { 2 } else { 1 };
    let tags: Vec<&str> = TAGS.into_iter().cycle().skip(first).take(several).collect();
    pusher.tag_image(wire, &tags, &contents)?;
    Ok(())
}

fn push_blob(pusher: &mut Pusher, wire: &mut Connection, content: usize) -> Result<(), Stop> {
    match pusher.random.below(4) {
        0 if content < pusher.pool.mountable => pusher.mount(wire, content),
        0 | 1 => pusher.push_whole(wire, content),
        2 => {
            let path = pusher.open(wire, content)?;
            pusher.commit(wire, &path)
        }
        _ => {
            let path = pusher.open(wire, content)?;
            for _ in 0..=pusher.random.below(3) {
                append_some(pusher, wire, &path)?;
            }
            pusher.commit(wire, &path)
        }
    }
}

fn read_blob(pusher: &Pusher, wire: &mut Connection, digest: &str) -> Result<(), Stop> {
    let answer = wire.get(&pusher.path(&format!("blobs/{digest}")))?;
    if answer.status != 200 {
        return Err(Stop::Refused { request: format!("GET of {digest}"), answer: Box::new(answer) });
    }
    assert_eq!(digest_of(&answer.body), digest, "{}", pusher.repository);
    Ok(())
}

/// Sends one of every kind of write: all ways of pushing a blob, manifests, a tag that moves,
/// deletes, an upload that stays open.
pub(crate) fn script(pusher: &mut Pusher, wire: &mut Connection) -> Result<(), Stop> {
    let open = pusher.open(wire, 4)?;
    pusher.append(wire, &open, 10_000)?;
    let path = pusher.open(wire, 3)?;
    pusher.append(wire, &path, 1000)?;
    pusher.append(wire, &path, 2000)?;
    pusher.commit(wire, &path)?;
    pusher.push_whole(wire, 8)?;
    let first = pusher.tag_image(wire, &["latest"], &[3, 8])?;
    pusher.push_whole(wire, 1)?;
    pusher.tag_image(wire, &["latest", "v1"], &[3, 1])?;
    pusher.untag(wire, "v1")?;
    pusher.delete_manifest(wire, &first)?;
    let digest = pusher.pool.contents[8].0.clone();
    pusher.delete_blob(wire, &digest)?;
    let path = pusher.open(wire, 2)?;
    pusher.append(wire, &path, 100)?;
    pusher.cancel(wire, &path)
}
