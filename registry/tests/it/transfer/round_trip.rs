//! Goal: what leaves a store comes back the same, digest by digest, and the same content always leaves as the
//! same bytes.
//!
//! Method: random images by a seed go out as a folder and as a tar, and into stores of their own; all of what a
//! client sees is compared.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use wharfinger::oci::{Reference, Tag};
use wharfinger::store::{RepositoryKey, Store};
use wharfinger::transfer::Report;
use wharfinger::transfer::export::{Destination, export};

use super::images::{Images, observe};
use super::{Heard, options, store, take_in};
use crate::store::contents::hosted;

/// What is written, for who looks at it afterwards.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared(pub(super) Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Exports a repository, or what is named of it.
pub(super) async fn put_out(
    store: &Store,
    repository: &RepositoryKey,
    reference: Option<&Reference>,
    destination: Destination,
) -> Report {
    export(store, repository, reference, destination, &Heard::default()).await.unwrap()
}

async fn streamed(store: &Store, repository: &RepositoryKey) -> Vec<u8> {
    let out = Shared::default();
    put_out(store, repository, None, Destination::Stream(Box::new(out.clone()))).await;
    out.0.lock().unwrap().clone()
}

async fn round_trip(seed: u64) -> Result<(), TestCaseError> {
    let (from, to, folder) = (hosted("team/app"), hosted("else/where"), tempfile::tempdir().unwrap());
    let first = store().await;
    Images::random(seed).push(&first, &from).await;
    let whole = observe(&first, &from).await;
    prop_assert!(whole.len() > 1);

    let tree = folder.path().join("tree");
    let written = put_out(&first, &from, None, Destination::Folder(tree.clone())).await;
    let again = put_out(&first, &from, None, Destination::Folder(tree.clone())).await;
    prop_assert_eq!((again.manifests, again.blobs, again.bytes), (0, 0, 0), "all of it was there");
    prop_assert_eq!((again.manifests_here, again.blobs_here), (written.manifests, written.blobs));
    let second = store().await;
    let report = take_in(&second, &tree, &options("else/where")).await.unwrap();
    prop_assert!(report.failures.is_empty(), "{:?}", report.failures);
    prop_assert_eq!(report.bytes, written.bytes);
    prop_assert_eq!(&observe(&second, &to).await, &whole, "through a folder");

    let file = folder.path().join("file.tar");
    put_out(&first, &from, None, Destination::Tar(file.clone())).await;
    let third = store().await;
    let report = take_in(&third, &file, &options("else/where")).await.unwrap();
    prop_assert!(report.failures.is_empty(), "{:?}", report.failures);
    prop_assert_eq!(&observe(&third, &to).await, &whole, "through a tar");

    let bytes = std::fs::read(&file).unwrap();
    prop_assert!(bytes == streamed(&first, &from).await, "a file has other bytes than a stream");
    prop_assert!(bytes == streamed(&second, &to).await, "the same content has other bytes");
    let again = take_in(&third, &file, &options("else/where")).await.unwrap();
    prop_assert_eq!((again.manifests, again.blobs, again.tags, again.bytes), (0, 0, 0, 0));
    prop_assert_eq!((again.manifests_here, again.blobs_here > 0), (report.manifests, true));

    one_tag(&first, &from, &whole).await
}

/// One tag brings its image, all that the image needs, and all that is about any of that.
async fn one_tag(
    store: &Store,
    repository: &RepositoryKey,
    whole: &std::collections::BTreeMap<String, String>,
) -> Result<(), TestCaseError> {
    let Some((name, digest)) =
        whole.iter().find_map(|(name, digest)| Some((name.strip_prefix("tag ")?, digest)))
    else {
        return Ok(());
    };
    let (to, out) = (hosted("one"), tempfile::tempdir().unwrap());
    let file = out.path().join("one.tar");
    let reference = Reference::Tag(Tag::parse(name).unwrap());
    put_out(store, repository, Some(&reference), Destination::Tar(file.clone())).await;
    let other = super::store().await;
    let report = take_in(&other, &file, &options("one")).await.unwrap();
    prop_assert!(report.failures.is_empty(), "{:?}", report.failures);
    let part = observe(&other, &to).await;
    prop_assert_eq!(part.get(&format!("tag {name}")), Some(digest));
    for (fact, value) in &part {
        // What is about a child is there with all of its own; nothing is there that was not.
        prop_assert_eq!(whole.get(fact), Some(value), "{}", fact);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn p1_p3_what_is_exported_is_imported_as_it_was(seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(round_trip(seed))?;
    }
}
