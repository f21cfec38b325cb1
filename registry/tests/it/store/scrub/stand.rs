//! A store of every shape, on a disk whose files can be read and changed behind its back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use wharfinger::backend::disk::{Disk, OsDisk, Stat};
use wharfinger::backend::fs::{Durability, FsBackend};
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::clock::{Clock, Timestamp};
use wharfinger::oci::{Algorithm, Digest, Hasher};
use wharfinger::store::manifests::{References, Tagging};
use wharfinger::store::scrub::{Acting, Finding, From, Lost, Options, Progress, Report, Watch};
use wharfinger::store::uploads::{Chunk, UploadRef};
use wharfinger::store::{Error, RepositoryKey, Space, Store};

use crate::store::contents::{CONTENTS, cached, digest, hosted, tag};

/// Every file of a disk, and its bytes.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Opens a store as the server does.
pub(crate) async fn open(disk: &Arc<dyn Disk>) -> Store {
    let backend = FsBackend::open(Arc::clone(disk), Durability::Synced).await.unwrap();
    let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
    Store::open(Arc::new(backend), Default::default(), clock).await.unwrap()
}

/// The disks that tests run on: one in memory, and a folder of the operating system.
pub(crate) fn disks() -> [(Arc<dyn Disk>, Option<tempfile::TempDir>); 2] {
    let folder = tempfile::tempdir().unwrap();
    let disk = OsDisk::open(folder.path()).unwrap();
    [(Arc::new(MemoryDisk::new()), None), (Arc::new(disk), Some(folder))]
}

/// Pushes a blob, or what is here of a number.
pub(crate) async fn push(store: &Store, repository: &RepositoryKey, bytes: &Bytes, algorithm: Algorithm) {
    let owner = "me".to_owned();
    let id = store.open_upload(repository, &owner, Some(algorithm)).await.unwrap();
    let upload = UploadRef { repository: repository.clone(), id, owner };
    let chunk = Chunk { start: None, len: None, blob_bytes_max: u64::MAX };
    let body = stream::iter([Ok(bytes.clone())]).boxed();
    store.commit_upload(&upload, chunk, body, &Hasher::digest(algorithm, bytes)).await.unwrap();
}

/// Puts a manifest.
pub(crate) async fn put(store: &Store, repository: &RepositoryKey, item: usize, tags: &[&str]) {
    try_put(store, repository, item, tags).await.unwrap();
}

async fn try_put(store: &Store, repository: &RepositoryKey, item: usize, tags: &[&str]) -> Result<(), Error> {
    let references = match repository.space {
        Space::Hosted => References::Required,
        Space::Upstream(_) => References::OnDemand,
    };
    let tags = tags.iter().map(|name| tag(name)).collect();
    let new = CONTENTS.manifests[item].pushed(tags, Tagging::Move, references);
    store.put_manifest(repository, new).await
}

/// Does what a fill does.
pub(crate) async fn fill(store: &Store, repository: &RepositoryKey, blob: usize) {
    try_fill(store, repository, blob).await.unwrap();
}

async fn try_fill(store: &Store, repository: &RepositoryKey, blob: usize) -> Result<(), Error> {
    let (_, mut stage) = store.stage_copy().await?;
    stage.append(vec![CONTENTS.blobs[blob].clone()]).await?;
    store.commit_blob(stage, repository, &digest(&CONTENTS.blobs[blob])).await
}

/// Makes a store of every shape: images, an index, artifacts, tags that moved, were deleted and stand on what a
/// cache may lack, repositories in repositories, uploads and fetches under way, both algorithms.
pub(crate) async fn every_shape(store: &Store) {
    let (app, below, other) = (hosted("team/app"), hosted("team/app/below"), hosted("other"));
    for bytes in &CONTENTS.blobs {
        push(store, &app, bytes, Algorithm::Sha256).await;
    }
    for (item, tags) in [(0, &["v1", "latest"][..]), (1, &["v1"]), (2, &["all"]), (3, &[]), (4, &["att"])] {
        put(store, &app, item, tags).await;
    }
    store.delete_tag(&app, &tag("att")).await.unwrap();
    push(store, &below, &CONTENTS.blobs[2], Algorithm::Sha512).await;
    store.mount_blob(&app, &other, &digest(&CONTENTS.blobs[1])).await.unwrap();
    push(store, &other, &CONTENTS.blobs[0], Algorithm::Sha256).await;
    put(store, &other, 0, &["only", "two"]).await;
    store.delete_manifest(&other, &CONTENTS.manifests[0].digest).await.unwrap();
    store.note_gone(&other, &tag("only")).await.unwrap();
    let alpine = cached("library/alpine");
    put(store, &alpine, 2, &["latest"]).await;
    put(store, &alpine, 0, &[]).await;
    put(store, &alpine, 3, &["sig"]).await;
    fill(store, &alpine, 0).await;
    fill(store, &alpine, 1).await;
    let now = Timestamp::from_millis(1_700_000_000_000);
    store.note_check(&alpine, &tag("latest"), now).await.unwrap();
    store.note_pull(&alpine, &CONTENTS.manifests[0].digest, now).await.unwrap();
    store.note_mirrored(&alpine, &CONTENTS.manifests[0].digest).await.unwrap();
    let id = store.open_upload(&app, "me", None).await.unwrap();
    let upload = UploadRef { repository: app.clone(), id, owner: "me".to_owned() };
    let chunk = Chunk { start: Some(0), len: Some(3), blob_bytes_max: 1000 };
    let body = stream::iter([Ok(Bytes::from_static(b"abc"))]).boxed();
    store.append_upload(&upload, chunk, body).await.unwrap();
    let mut fetch = store.begin_fill(&alpine, &digest(b"under way")).await.unwrap();
    fetch.append(vec![Bytes::from_static(b"under")]).await.unwrap();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(b"under");
    fetch.park(&hasher, 5, None).await.unwrap();
}

/// Writes down what a scrub says, and fetches as it is told.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) findings: Mutex<Vec<Finding>>,
    pub(crate) progress: Mutex<Vec<Progress>>,
    /// Whose blobs can be fetched again.
    pub(crate) upstream: Option<Store>,
}

#[async_trait::async_trait]
impl Watch for Heard {
    fn progress(&self, progress: &Progress) {
        self.progress.lock().unwrap().push(*progress);
    }

    fn finding(&self, finding: &Finding) {
        self.findings.lock().unwrap().push(finding.clone());
    }

    async fn refetch(&self, repository: &RepositoryKey, wanted: &Digest, lost: Lost) -> bool {
        let Some(store) = &self.upstream else { return false };
        match lost {
            Lost::Blob => {
                let blob = CONTENTS.blobs.iter().position(|bytes| digest(bytes) == *wanted).unwrap();
                try_fill(store, repository, blob).await.is_ok()
            }
            Lost::Manifest => {
                let item = CONTENTS.manifests.iter().position(|item| item.digest == *wanted).unwrap();
                try_put(store, repository, item, &[]).await.is_ok()
            }
        }
    }
}

/// Scrubs from the beginning.
pub(crate) async fn scrub(store: &Store, acting: Acting) -> Report {
    let options = Options { bytes_per_second: None, acting, from: From::Beginning };
    store.scrub(options, &Heard::default()).await
}

/// Returns what was found, as `kind key`, sorted.
pub(crate) fn found(report: &Report) -> Vec<String> {
    let mut found: Vec<String> = report.findings.iter().map(|it| format!("{} {}", it.kind, it.key)).collect();
    found.sort_unstable();
    found
}

/// Returns where content is.
pub(crate) fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}/{}", digest.algorithm(), &digest.hex()[..2], digest.hex())
}

/// Reads every file, but for those that no start finds again.
pub(crate) fn files(disk: &Arc<dyn Disk>) -> Files {
    let (mut files, mut folders) = (Files::new(), vec![String::new()]);
    while let Some(folder) = folders.pop() {
        for name in disk.entries(&folder).unwrap() {
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            match disk.stat(&path).unwrap() {
                Stat::Folder if path == "tmp" => {}
                Stat::Folder => folders.push(path),
                Stat::File(len) => {
                    let len = usize::try_from(len).unwrap();
                    let bytes = disk.open(&path).unwrap().read_at(0, len).unwrap();
                    files.insert(path, bytes);
                }
            }
        }
    }
    files
}

/// Writes a file, whatever was there.
pub(crate) fn write(disk: &Arc<dyn Disk>, path: &str, bytes: &[u8]) {
    let mut at = 0;
    while let Some(slash) = path[at..].find('/') {
        let _ = disk.create_dir(&path[..at + slash]);
        at += slash + 1;
    }
    let _ = disk.remove(path);
    disk.create(path).unwrap().write_at(0, bytes).unwrap();
}

/// Turns a bit of a file.
pub(crate) fn flip(disk: &Arc<dyn Disk>, path: &str, at: u64) {
    let file = disk.open_writable(path).unwrap();
    let byte = file.read_at(at, 1).unwrap()[0];
    file.write_at(at, &[byte ^ 4]).unwrap();
}
