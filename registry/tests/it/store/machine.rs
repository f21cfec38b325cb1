//! Goal: the store answers as the model does, and holds what the model holds, whatever came before.
//!
//! Method: random sequences of operations on few names; after each one the answers are compared,
//! and everything that is served, with caches of no, few and many bytes, and across restarts; on a disk,
//! and in a bucket that is this process's own or is shared.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use proptest::prelude::*;
use wharfinger::backend::Backend;
use wharfinger::backend::fs::{Durability, FsBackend};
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::backend::object::ObjectBackend;
use wharfinger::backend::object::memory::MemoryBucket;
use wharfinger::clock::{Clock, Timestamp};
use wharfinger::store::manifests::References;
use wharfinger::store::options::{Options, Writers};
use wharfinger::store::uploads::{Chunk, UploadRef};
use wharfinger::store::{Error, RepositoryKey, Space, Store, layout};

use super::audit;
use super::contents::{CONTENTS, digest, tag};
use super::model::{Answer, Model, Op, REPOSITORIES, TAGS, When, repository};

/// Opens a store on a disk, with caches of so many bytes.
pub(super) async fn open(disk: &MemoryDisk, memory_cache_bytes_max: u64) -> Store {
    Ground { disk: disk.clone(), bucket: None, writers: Writers::One }.open(memory_cache_bytes_max).await
}

/// Where a store is, for one process after another.
#[derive(Debug)]
struct Ground {
    disk: MemoryDisk,
    /// The disk is only the spool then.
    bucket: Option<MemoryBucket>,
    writers: Writers,
}

impl Ground {
    async fn open(&self, memory_cache_bytes_max: u64) -> Store {
        let folder = FsBackend::open(Arc::new(self.disk.clone()), Durability::Synced).await.unwrap();
        let folder: Arc<dyn Backend> = Arc::new(folder);
        let backend = match &self.bucket {
            None => folder,
            Some(bucket) => Arc::new(ObjectBackend::new(Arc::new(bucket.clone()), folder, layout::ROOTS)),
        };
        let options = Options { memory_cache_bytes_max, writers: self.writers, ..Options::default() };
        let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
        Store::open(backend, options, clock).await.unwrap()
    }
}

fn ground() -> impl Strategy<Value = Ground> {
    let bucket =
        |writers| move || Ground { disk: MemoryDisk::new(), bucket: Some(MemoryBucket::new()), writers };
    prop_oneof![
        2 => Just(()).prop_map(|()| Ground { disk: MemoryDisk::new(), bucket: None, writers: Writers::One }),
        1 => Just(()).prop_map(move |()| bucket(Writers::One)()),
        1 => Just(()).prop_map(move |()| bucket(Writers::Several)()),
    ]
}

/// Returns every repository that the operations name.
pub(super) fn repositories() -> Vec<RepositoryKey> {
    (0..REPOSITORIES.len()).map(repository).collect()
}

/// Does an operation on a store, and returns the answer.
pub(super) async fn apply(store: &Store, op: &Op) -> Answer {
    Answer::of(ask(store, op).await)
}

pub(super) async fn ask(store: &Store, op: &Op) -> Result<Answer, Error> {
    match op {
        Op::PutBlob(to, blob) => put_blob(store, &repository(*to), &CONTENTS.blobs[*blob]).await?,
        Op::Mount { from, to, blob } => {
            let digest = digest(&CONTENTS.blobs[*blob]);
            return store
                .mount_blob(&repository(*from), &repository(*to), &digest)
                .await
                .map(Answer::Mounted);
        }
        Op::PutManifest { repository: to, item, tags, when } => {
            let tags = tags.iter().map(|name| tag(TAGS[*name])).collect();
            let new = CONTENTS.manifests[*item].pushed(tags, when.tagging(), References::Required);
            store.put_manifest(&repository(*to), new).await?;
        }
        Op::DeleteTag(of, name) => store.delete_tag(&repository(*of), &tag(TAGS[*name])).await?,
        Op::DeleteManifest(of, item) => {
            store.delete_manifest(&repository(*of), &CONTENTS.manifests[*item].digest).await?;
        }
        Op::DeleteBlob(of, blob) => {
            store.delete_blob(&repository(*of), &digest(&CONTENTS.blobs[*blob])).await?;
        }
        Op::Tags(of) => return Ok(Answer::Tags(store.tags(&repository(*of)).await?.to_vec())),
        Op::Referrers(of, item) => {
            let listed = store
                .referrers(&repository(*of), &CONTENTS.manifests[*item].digest, Default::default())
                .await?
                .descriptors;
            let mut digests: Vec<_> = listed.iter().map(|descriptor| descriptor.digest).collect();
            digests.sort_unstable();
            return Ok(Answer::Referrers(digests));
        }
        Op::Catalog => return Ok(Answer::Catalog(store.repositories(&Space::Hosted).await?.to_vec())),
        Op::Reopen => {}
    }
    Ok(Answer::Done)
}

pub(crate) async fn put_blob(store: &Store, to: &RepositoryKey, bytes: &Bytes) -> Result<(), Error> {
    let id = store.open_upload(to, "alice", None).await?;
    let upload = UploadRef { repository: to.clone(), id, owner: "alice".to_owned() };
    let chunk = |len: usize| Chunk { start: None, len: Some(len as u64), blob_bytes_max: 1 << 20 };
    let body = |bytes: Bytes| stream::iter([Ok(bytes)]).boxed();
    let half = bytes.slice(..bytes.len() / 2);
    store.append_upload(&upload, chunk(half.len()), body(half)).await?;
    let rest = bytes.slice(bytes.len() / 2..);
    let size = store.commit_upload(&upload, chunk(rest.len()), body(rest), &digest(bytes)).await?;
    assert_eq!(size, bytes.len() as u64);
    Ok(())
}

fn op() -> impl Strategy<Value = Op> {
    let repository = || 0..REPOSITORIES.len();
    let (blob, item, name) = (|| 0..CONTENTS.blobs.len(), || 0..CONTENTS.manifests.len(), || 0..TAGS.len());
    let when = prop_oneof![
        4 => Just(When::Move),
        1 => Just(When::Keep),
        1 => Just(When::Absent),
        1 => item().prop_map(When::At),
    ];
    let tags = proptest::sample::subsequence((0..TAGS.len()).collect::<Vec<_>>(), 0..=2);
    prop_oneof![
        6 => (repository(), blob()).prop_map(|(to, blob)| Op::PutBlob(to, blob)),
        2 => (repository(), repository(), blob()).prop_map(|(from, to, blob)| Op::Mount { from, to, blob }),
        8 => (repository(), item(), tags, when)
            .prop_map(|(repository, item, tags, when)| Op::PutManifest { repository, item, tags, when }),
        2 => (repository(), name()).prop_map(|(of, name)| Op::DeleteTag(of, name)),
        2 => (repository(), item()).prop_map(|(of, item)| Op::DeleteManifest(of, item)),
        2 => (repository(), blob()).prop_map(|(of, blob)| Op::DeleteBlob(of, blob)),
        1 => repository().prop_map(Op::Tags),
        1 => (repository(), item()).prop_map(|(of, item)| Op::Referrers(of, item)),
        1 => Just(Op::Catalog),
        1 => Just(Op::Reopen),
    ]
}

/// Pushes every blob to a repository: else few manifests would ever be accepted.
fn stocked(number: usize) -> Vec<Op> {
    (0..CONTENTS.blobs.len()).map(|blob| Op::PutBlob(number, blob)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn p3_p12_the_store_does_what_the_model_does(
        ops in proptest::collection::vec(op(), 1..40),
        cache in prop_oneof![Just(0_u64), Just(3_000), Just(32 << 20)],
        ground in ground(),
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut model = Model::default();
            let mut store = ground.open(cache).await;
            for op in stocked(0).iter().chain(&ops) {
                if matches!(op, Op::Reopen) {
                    store = ground.open(cache).await;
                }
                prop_assert_eq!(apply(&store, op).await, model.apply(op), "the answer to {:?}", op);
                let world = audit::observe(&store, &repositories()).await;
                let world = world.map_err(|violation| TestCaseError::fail(violation.to_string()))?;
                prop_assert_eq!(world, model.world(), "what is there after {:?}", op);
            }
            prop_assert_eq!(apply(&store, &Op::Catalog).await, model.apply(&Op::Catalog));
            Ok(())
        })?;
    }
}
