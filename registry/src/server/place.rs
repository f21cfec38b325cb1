//! From where a store is to the backend that keeps it.

use std::path::PathBuf;
use std::sync::Arc;

use super::StartError;
use crate::backend::Backend;
use crate::backend::disk::{Disk, OsDisk};
use crate::backend::error::OpenError;
use crate::backend::fs::{Durability, FsBackend};
use crate::backend::memory::MemoryDisk;
use crate::backend::object::ObjectBackend;
use crate::backend::object::bucket::Bucket;
use crate::backend::object::client::Client;
use crate::backend::object::probe::{Alone, Conditions, probe};
use crate::backend::shared::SharedDisk;
use crate::store::layout;
use crate::store::options::{BucketPlace, Commit, Options, Place, Writers};

/// A backend, and what it is called in messages.
pub(super) struct Opened {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) place: String,
}

/// Opens the backend of a store.
pub(super) async fn open(options: &Options) -> Result<Opened, StartError> {
    match &options.place {
        Place::Memory => {
            let place = "memory".to_owned();
            let opened = FsBackend::open(Arc::new(MemoryDisk::new()), durability(options)).await;
            let backend = opened.map_err(|source| StartError::Backend { place: place.clone(), source })?;
            Ok(Opened { backend: Arc::new(backend), place })
        }
        Place::Folder(path) => {
            let place = path.display().to_string();
            let backend = folder(path.clone(), options.writers, durability(options), &place).await?;
            Ok(Opened { backend: Arc::new(backend), place })
        }
        Place::Bucket(bucket) => in_bucket(bucket, options).await,
    }
}

const fn durability(options: &Options) -> Durability {
    match options.commit {
        Commit::Yes => Durability::Synced,
        Commit::No => Durability::Unsynced,
    }
}

async fn folder(
    path: PathBuf,
    writers: Writers,
    durability: Durability,
    place: &str,
) -> Result<FsBackend, StartError> {
    let to_open = path.clone();
    let open = move || -> Result<Arc<dyn Disk>, OpenError> {
        Ok(match writers {
            Writers::One => Arc::new(OsDisk::open(&to_open)?),
            Writers::Several => Arc::new(SharedDisk::open(&to_open)?),
        })
    };
    let opened = tokio::task::spawn_blocking(open).await;
    let disk = opened.unwrap_or(Err(OpenError::Held { path }))?;
    let opened = FsBackend::open(disk, durability).await;
    opened.map_err(|source| StartError::Backend { place: place.to_owned(), source })
}

async fn in_bucket(place: &BucketPlace, options: &Options) -> Result<Opened, StartError> {
    let url = place.bucket.url();
    let client = Client::new(place.bucket.clone());
    let client = client.map_err(|source| StartError::Settings { bucket: url.clone(), source })?;
    let bucket: Arc<dyn Bucket> = Arc::new(client);
    let asked = probe(bucket.as_ref()).await;
    let conditions = asked.map_err(|source| StartError::Bucket { bucket: url.clone(), source })?;
    let bucket = match (conditions, options.writers) {
        (Conditions::Honoured, _) => bucket,
        (_, Writers::One) => {
            tracing::warn!(
                bucket = url,
                "the bucket honours no conditions; no other process may write to it"
            );
            Arc::new(Alone::new(bucket))
        }
        (conditions, Writers::Several) => return Err(StartError::Conditions { bucket: url, conditions }),
    };
    let name = place.spool.display().to_string();
    let spool = folder(place.spool.clone(), Writers::One, durability(options), &name).await?;
    let backend = ObjectBackend::new(bucket, Arc::new(spool), layout::ROOTS);
    Ok(Opened { backend: Arc::new(backend), place: url })
}
