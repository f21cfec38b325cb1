//! What a client asks for, one step at a time, through the store's own methods.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use wharfinger::backend::Backend;
use wharfinger::backend::disk::Disk;
use wharfinger::backend::fs::{Durability, FsBackend};
use wharfinger::clock::{Clock, Timestamp};
use wharfinger::oci::Algorithm;
use wharfinger::store::gc::Clients;
use wharfinger::store::manifests::{References, Tagging};
use wharfinger::store::options::retention::{Glob, Pattern, Policy, Retention, Rule, TagRule};
use wharfinger::store::options::{GcOptions, Options};
use wharfinger::store::uploads::{Body, Chunk, UploadRef};
use wharfinger::store::{Error, RepositoryKey, Space, Store};

use crate::store::collecting::request;
use crate::store::contents::{CONTENTS, digest, tag};

/// One request, or the few that make one push. Blobs and manifests are numbers in [`CONTENTS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// POST and PUT with the whole blob.
    Push(RepositoryKey, usize),
    /// POST; the number names the upload in the steps that follow.
    Open {
        upload: u8,
        repository: RepositoryKey,
        blob: usize,
        hint: Option<Algorithm>,
    },
    /// PATCH from where the upload stands up to an offset.
    Patch {
        upload: u8,
        upto: usize,
    },
    /// PUT with what is left.
    Close {
        upload: u8,
    },
    /// POST that mounts a blob.
    Mount {
        from: RepositoryKey,
        to: RepositoryKey,
        blob: usize,
    },
    /// PUT of a manifest.
    Put(RepositoryKey, usize, &'static [&'static str]),
    /// PUT of a manifest as soon as what it needs is there.
    PutSoon(RepositoryKey, usize, &'static [&'static str]),
    DeleteTag(RepositoryKey, &'static str),
    DeleteManifest(RepositoryKey, usize),
    DeleteBlob(RepositoryKey, usize),
    /// What a fill does with an upstream's blob.
    Fill(RepositoryKey, usize),
    /// What the garbage collection of a server does, to which everything is old; retention lets go what is not
    /// tagged `v…` in repositories below `old`.
    Collect,
}

/// Whether a step was asked for before, and may have been done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    First,
    Again,
}

/// How a step was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// With 201 or 202: it is promised to last.
    Done,
    /// With 404 to who deletes again what an error has left in doubt, or by a collection: nothing is promised.
    Gone,
}

/// An upload that a client has opened.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    pub(super) at: UploadRef,
    pub(super) blob: usize,
    pub(super) hint: Option<Algorithm>,
    /// The offset that was answered last.
    pub(super) acked: usize,
    /// The furthest offset that was asked for.
    pub(super) asked: usize,
}

/// What a client remembers between steps.
pub(super) type Uploads = BTreeMap<u8, Upload>;

/// How often [`Step::PutSoon`] asks.
const PUTS_MAX: usize = 8;

impl Step {
    /// Returns the repositories that it names.
    pub(super) fn repositories(&self) -> Vec<RepositoryKey> {
        match self {
            Self::Patch { .. } | Self::Close { .. } | Self::Collect => Vec::new(),
            Self::Mount { from, to, .. } => vec![from.clone(), to.clone()],
            Self::Push(repository, _)
            | Self::Open { repository, .. }
            | Self::Put(repository, ..)
            | Self::PutSoon(repository, ..)
            | Self::DeleteTag(repository, _)
            | Self::DeleteManifest(repository, _)
            | Self::DeleteBlob(repository, _)
            | Self::Fill(repository, _) => vec![repository.clone()],
        }
    }

    fn is_delete(&self) -> bool {
        matches!(self, Self::DeleteTag(..) | Self::DeleteManifest(..) | Self::DeleteBlob(..))
    }
}

/// Opens a store as the server does.
pub(super) async fn open(disk: Arc<dyn Disk>) -> Result<Store, Error> {
    let backend = FsBackend::open(disk, Durability::Synced).await?;
    open_over(Arc::new(backend), 16 * 1024).await
}

/// Opens a store over a backend, with caches of so many bytes.
pub(super) async fn open_over(
    backend: Arc<dyn Backend>,
    memory_cache_bytes_max: u64,
) -> Result<Store, Error> {
    let gc = GcOptions { delay: Duration::ZERO, ..GcOptions::default() };
    let options = Options { memory_cache_bytes_max, gc, retention: retention(), ..Options::default() };
    Store::open(backend, options, Clock::manual(Timestamp::from_millis(1_700_000_000_000))).await
}

/// Returns the policy of the repositories below `old`.
fn retention() -> Retention {
    let pattern = Pattern::from(regex::bytes::Regex::new("^v").unwrap());
    let policy = Policy {
        repositories: vec![Glob::parse("old/**").unwrap()],
        delete_referrers: true,
        delete_untagged: true,
        keep_tags: vec![TagRule { patterns: vec![pattern], rule: Rule::default() }],
        keep_untagged: None,
    };
    Retention { delay: Duration::ZERO, policies: vec![policy], ..Retention::default() }
}

/// Makes a body of small frames.
pub(super) fn body(bytes: &Bytes) -> Body {
    let frames: Vec<Bytes> = bytes.chunks(3_000).map(Bytes::copy_from_slice).collect();
    stream::iter(frames.into_iter().map(Ok)).boxed()
}

/// A chunk of which the headers say its length.
pub(super) fn chunk(start: usize, len: usize) -> Chunk {
    Chunk { start: Some(start as u64), len: Some(len as u64), blob_bytes_max: 1 << 30 }
}

/// Takes one step.
pub(super) async fn take(
    store: &Store,
    step: &Step,
    uploads: &mut Uploads,
    attempt: Attempt,
) -> Result<Taken, Error> {
    let done = match step {
        Step::Push(repository, blob) => {
            let upload = open_upload(store, repository, *blob, None).await?;
            close(store, &upload, 0).await
        }
        Step::Open { upload, repository, blob, hint } => {
            let opened = open_upload(store, repository, *blob, *hint).await?;
            uploads.insert(*upload, opened);
            Ok(())
        }
        Step::Patch { upload, upto } => patch(store, uploads, *upload, *upto, attempt).await,
        Step::Close { upload } => finish(store, uploads, *upload, attempt).await,
        Step::Mount { from, to, blob } => {
            let digest = digest(&CONTENTS.blobs[*blob]);
            let mounted = store.mount_blob(from, to, &digest).await?;
            if mounted { Ok(()) } else { Err(Error::BlobUnknown { digest }) }
        }
        Step::Put(repository, item, tags) => put(store, repository, *item, tags).await,
        Step::PutSoon(repository, item, tags) => put_soon(store, repository, *item, tags).await,
        Step::DeleteTag(repository, name) => store.delete_tag(repository, &tag(name)).await,
        Step::DeleteManifest(repository, item) => {
            store.delete_manifest(repository, &CONTENTS.manifests[*item].digest).await
        }
        Step::DeleteBlob(repository, blob) => {
            store.delete_blob(repository, &digest(&CONTENTS.blobs[*blob])).await
        }
        Step::Fill(repository, blob) => fill(store, repository, *blob).await,
        Step::Collect => {
            let report = store.collect_garbage(&request(Clients::Served)).await?;
            // What it has removed was nobody's: nothing is promised of it.
            // A fault that the run has met is as good as its end here.
            return if report.failures == 0 { Ok(Taken::Gone) } else { Err(Error::Abandoned) };
        }
    };
    match done {
        Err(Error::TagUnknown { .. } | Error::ManifestUnknown { .. } | Error::BlobUnknown { .. })
            if attempt == Attempt::Again && step.is_delete() =>
        {
            Ok(Taken::Gone)
        }
        other => other.map(|()| Taken::Done),
    }
}

async fn open_upload(
    store: &Store,
    repository: &RepositoryKey,
    blob: usize,
    hint: Option<Algorithm>,
) -> Result<Upload, Error> {
    let id = store.open_upload(repository, "alice", hint).await?;
    let at = UploadRef { repository: repository.clone(), id, owner: "alice".to_owned() };
    Ok(Upload { at, blob, hint, acked: 0, asked: 0 })
}

/// Returns where an upload stands; one that a crash has taken is opened anew by who asks again.
async fn offset(store: &Store, upload: &mut Upload, attempt: Attempt) -> Result<usize, Error> {
    match store.upload_offset(&upload.at).await {
        Err(Error::UploadUnknown) if attempt == Attempt::Again => {
            *upload = open_upload(store, &upload.at.repository, upload.blob, upload.hint).await?;
            Ok(0)
        }
        other => Ok(usize::try_from(other?).unwrap()),
    }
}

async fn patch(
    store: &Store,
    uploads: &mut Uploads,
    number: u8,
    upto: usize,
    attempt: Attempt,
) -> Result<(), Error> {
    let upload = uploads.get_mut(&number).unwrap();
    let start = offset(store, upload, attempt).await?;
    if start >= upto {
        return Ok(());
    }
    upload.asked = upload.asked.max(upto);
    let bytes = CONTENTS.blobs[upload.blob].slice(start..upto);
    let stands = store.append_upload(&upload.at, chunk(start, bytes.len()), body(&bytes)).await?;
    assert_eq!(stands, upto as u64, "an answered chunk moves the offset by its length");
    upload.acked = upto;
    Ok(())
}

async fn finish(store: &Store, uploads: &mut Uploads, number: u8, attempt: Attempt) -> Result<(), Error> {
    let upload = uploads.get_mut(&number).unwrap();
    let start = offset(store, upload, attempt).await?;
    upload.asked = CONTENTS.blobs[upload.blob].len();
    close(store, upload, start).await?;
    uploads.remove(&number);
    Ok(())
}

/// Sends what is left of an upload from an offset, and commits it.
pub(super) async fn close(store: &Store, upload: &Upload, start: usize) -> Result<(), Error> {
    let whole = &CONTENTS.blobs[upload.blob];
    let rest = whole.slice(start..);
    let chunk = chunk(start, rest.len());
    store.commit_upload(&upload.at, chunk, body(&rest), &digest(whole)).await.map(drop)
}

async fn put(store: &Store, repository: &RepositoryKey, item: usize, tags: &[&str]) -> Result<(), Error> {
    let references =
        if repository.space == Space::Hosted { References::Required } else { References::OnDemand };
    let tags = tags.iter().map(|name| tag(name)).collect();
    store.put_manifest(repository, CONTENTS.manifests[item].pushed(tags, Tagging::Move, references)).await
}

async fn put_soon(
    store: &Store,
    repository: &RepositoryKey,
    item: usize,
    tags: &[&str],
) -> Result<(), Error> {
    for _ in 1..PUTS_MAX {
        match put(store, repository, item, tags).await {
            Err(Error::ReferencesMissing { .. }) => tokio::task::yield_now().await,
            other => return other,
        }
    }
    put(store, repository, item, tags).await
}

async fn fill(store: &Store, repository: &RepositoryKey, blob: usize) -> Result<(), Error> {
    let bytes = &CONTENTS.blobs[blob];
    let (_, mut stage) = store.stage_copy().await?;
    for piece in bytes.chunks(3_000) {
        stage.append(vec![Bytes::copy_from_slice(piece)]).await?;
    }
    store.commit_blob(stage, repository, &digest(bytes)).await
}
