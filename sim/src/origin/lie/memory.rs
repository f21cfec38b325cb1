//! What a lie remembers between two requests.
//!
//! It is kept among the uploads, under ids that no request can name: the id in a path is one segment of
//! it, and these have a slash.

use bytes::{Bytes, BytesMut};

use crate::origin::store::{Store, Upload};

/// Keeps bytes for a repository under a kind and a key.
pub(super) fn remember(store: &mut Store, kind: &str, name: &str, key: &str, bytes: &[u8]) {
    let upload = Upload { name: name.to_owned(), bytes: BytesMut::from(bytes) };
    store.uploads.insert(id(kind, name, key), upload);
}

/// Returns what was kept.
pub(super) fn recall(store: &Store, kind: &str, name: &str, key: &str) -> Option<Bytes> {
    store.uploads.get(&id(kind, name, key)).map(|it| it.bytes.clone().freeze())
}

/// Returns everything of a kind that was kept for a repository, by key.
pub(super) fn recall_all(store: &Store, kind: &str, name: &str) -> Vec<(String, Bytes)> {
    let prefix = id(kind, name, "");
    let kept = store.uploads.iter().filter_map(|(id, upload)| {
        id.strip_prefix(&prefix).map(|key| (key.to_owned(), upload.bytes.clone().freeze()))
    });
    let mut kept: Vec<_> = kept.collect();
    kept.sort();
    kept
}

fn id(kind: &str, name: &str, key: &str) -> String {
    format!("/{kind}/{name}/@/{key}")
}
