//! Makes the store that `cargo xtask bench storage` measures: 10,000 repositories of 100 tags, and one of
//! 100,000, written by the store itself without waiting for the disk.
//!
//! `generate-store DIR` leaves `DIR/store`, and `DIR/made` once it is whole; a folder of another version
//! of this program, or one that was cut short, is made anew. Content is small and shared: what grows with
//! a registry is the number of its names.

mod inline;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::json;
use tokio::task::JoinSet;
use wharfinger::backend::disk::OsDisk;
use wharfinger::backend::fs::{Durability, FsBackend};
use wharfinger::clock::Clock;
use wharfinger::oci::{Algorithm, Digest, Hasher, Manifest, RepositoryName, Tag, media_type};
use wharfinger::store::manifests::{NewManifest, References, Tagging};
use wharfinger::store::uploads::{Chunk, UploadRef};
use wharfinger::store::{RepositoryKey, Store, options};

use self::inline::Inline;

/// What a folder was made by; another number is another store.
const VERSION: u32 = 1;
/// Repositories, and the tags of each.
const REPOSITORIES: usize = 10_000;
const TAGS: usize = 100;
/// The repository with many tags, and how many.
const LARGE: &str = "large/app";
const LARGE_TAGS: usize = 100_000;
/// Tags that one push brings.
const TAGS_AT_ONCE: usize = 1_000;
/// Repositories that are written at once.
const TASKS: usize = 8;
/// Bytes of the layer that all images have.
const LAYER_BYTES: usize = 16 * 1024;

#[tokio::main]
async fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from).context("generate-store DIR")?;
    let (mark, said) = (folder.join("made"), said());
    if fs::read_to_string(&mark).is_ok_and(|text| text == said) {
        return Ok(());
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let begun = Instant::now();
    fill(&folder.join("store")).await?;
    fs::write(&mark, said).with_context(|| format!("writing {}", mark.display()))?;
    eprintln!("the store was made in {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// What a whole folder says of itself.
fn said() -> String {
    json!({"version": VERSION, "repositories": REPOSITORIES, "tags": TAGS, "large": LARGE, "largeTags": LARGE_TAGS})
        .to_string()
}

/// Fills a new store.
async fn fill(root: &Path) -> Result<()> {
    fs::create_dir_all(root).with_context(|| format!("making {}", root.display()))?;
    let backend = FsBackend::open(Arc::new(Inline(OsDisk::open(root)?)), Durability::Unsynced).await?;
    let store = Store::open(Arc::new(backend), options::Options::default(), Clock::system()).await?;
    let large = repository(LARGE)?;
    let config = push(&store, &large, Bytes::from_static(b"{}")).await?;
    let layer = push(&store, &large, Bytes::from(vec![b'w'; LAYER_BYTES])).await?;
    let source = Arc::new(Source { store, large, config, layer });
    let (next, mut tasks) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    for _ in 0..TASKS {
        let (source, next) = (Arc::clone(&source), Arc::clone(&next));
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= REPOSITORIES {
                    return Ok::<_, anyhow::Error>(());
                }
                if number % 1_000 == 0 {
                    eprintln!("{number} of {REPOSITORIES} repositories");
                }
                source.small(number).await?;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.context("a task panicked")??;
    }
    eprintln!("{LARGE_TAGS} tags of one repository");
    for first in (0..LARGE_TAGS).step_by(TAGS_AT_ONCE) {
        let tags = tags(first..LARGE_TAGS.min(first + TAGS_AT_ONCE))?;
        source.image(&source.large, first / TAGS_AT_ONCE, tags).await?;
    }
    Ok(())
}

/// What images are made of.
struct Source {
    store: Store,
    large: RepositoryKey,
    config: Digest,
    layer: Digest,
}

impl Source {
    /// Writes a repository: two images, with half of the tags each.
    async fn small(&self, number: usize) -> Result<()> {
        let name = repository(&format!("team-{:02}/app-{number:05}", number % 100))?;
        for digest in [&self.config, &self.layer] {
            let is_mounted = self.store.mount_blob(&self.large, &name, digest).await?;
            ensure!(is_mounted, "{digest} is not there");
        }
        for half in 0..2 {
            let tags = tags(half * TAGS / 2..(half + 1) * TAGS / 2)?;
            self.image(&name, half, tags).await?;
        }
        Ok(())
    }

    /// Pushes an image of this number, the same in every repository, under tags.
    async fn image(&self, to: &RepositoryKey, number: usize, tags: Vec<Tag>) -> Result<()> {
        let bytes = Bytes::from(
            json!({
                "schemaVersion": 2,
                "mediaType": media_type::OCI_MANIFEST,
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": self.config.to_string(), "size": 2},
                "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": self.layer.to_string(), "size": LAYER_BYTES}],
                "annotations": {"number": number.to_string()},
            })
            .to_string(),
        );
        let manifest = Manifest::parse(&bytes, None)?;
        let digest = Hasher::digest(Algorithm::Sha256, &bytes);
        let new = NewManifest {
            manifest,
            bytes,
            digest,
            tags,
            tagging: Tagging::Move,
            references: References::Required,
        };
        Ok(self.store.put_manifest(to, new).await?)
    }
}

fn repository(name: &str) -> Result<RepositoryKey> {
    Ok(RepositoryKey::hosted(RepositoryName::parse(name)?))
}

/// Names tags by their numbers, as long as those of a build that carry a date and a commit.
fn tags(numbers: std::ops::Range<usize>) -> Result<Vec<Tag>> {
    numbers.map(|number| Ok(Tag::parse(&format!("v1.{number}.0-20260101-{number:08x}"))?)).collect()
}

/// Pushes a blob, and returns its digest.
async fn push(store: &Store, to: &RepositoryKey, bytes: Bytes) -> Result<Digest> {
    let (digest, len) = (Hasher::digest(Algorithm::Sha256, &bytes), bytes.len() as u64);
    let id = store.open_upload(to, "bench", None).await?;
    let upload = UploadRef { repository: to.clone(), id, owner: "bench".to_owned() };
    let chunk = Chunk { start: None, len: Some(len), blob_bytes_max: len };
    store.commit_upload(&upload, chunk, stream::iter([Ok(bytes)]).boxed(), &digest).await?;
    Ok(digest)
}
