//! Counts and times what a backend does, and tells when it takes nothing more.
//!
//! Series: `wharfinger_storage_operations_total{operation, outcome}` and
//! `wharfinger_storage_operation_seconds{operation}`. Both labels are words of this file, so their
//! number is fixed.
//!
//! A disk that is full or read-only stays so until somebody acts, and every request meets it. That is told once,
//! with what to do, and once more when it is over.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::disk::Space;
use super::{Backend, Content, Error, Key, Outcome, Reclaimed, Sentence, Stage, When};
use crate::telemetry::WithCauses;

/// A backend whose operations are counted and timed.
#[derive(Debug, Clone)]
pub struct Metered(Arc<dyn Backend>, Arc<Standing>);

impl Metered {
    /// Puts a meter before a backend.
    pub fn new(below: Arc<dyn Backend>) -> Self {
        Self(below, Arc::default())
    }
}

/// A fault that stands until somebody acts: the first component of the key that could not be written.
#[derive(Debug, Default)]
struct Standing(Mutex<Option<String>>);

impl Standing {
    /// Looks at what became of a write, and tells when the fault begins and ends.
    fn note<T>(&self, key: &Key, written: Result<T, Error>) -> Result<T, Error> {
        let root = key.as_str().split('/').next().unwrap_or_default();
        let mut standing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &written {
            Err(error) if error.is_standing() && standing.is_none() => {
                *standing = Some(root.to_owned());
                drop(standing);
                tracing::error!(error = %WithCauses(error),
                    "the store takes nothing more: {}. What is in it is served, what is fetched is passed on and \
                     not kept, and pushes are refused, until it does", advice(error));
            }
            // By the same sort of key: of several folders only some may be forbidden.
            Ok(_) if standing.as_deref() == Some(root) => {
                *standing = None;
                drop(standing);
                tracing::info!("the store can be written to again");
            }
            _ => {}
        }
        written
    }
}

/// Returns what to do about a fault that stands.
fn advice(error: &Error) -> &'static str {
    match error {
        Error::Full { .. } => "make room where it is, or raise the quota",
        Error::Denied { source, .. } if source.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            "its file system is read-only; look for why in the kernel's log, mend it, and mount it for writing"
        }
        _ => {
            "give this process the right to write there: the folder to its user, or the bucket to its account"
        }
    }
}

async fn meter<T>(operation: &'static str, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let begun = Instant::now();
    let result = work.await;
    let outcome = match &result {
        Ok(_) => "ok",
        Err(Error::Full { .. }) => "full",
        Err(Error::Denied { .. }) => "denied",
        Err(Error::Unreachable { .. }) => "unreachable",
        Err(_) => "error",
    };
    metrics::counter!("wharfinger_storage_operations_total", "operation" => operation, "outcome" => outcome)
        .increment(1);
    metrics::histogram!("wharfinger_storage_operation_seconds", "operation" => operation)
        .record(begun.elapsed());
    result
}

#[async_trait::async_trait]
impl Backend for Metered {
    async fn read(&self, key: &Key) -> Result<Option<Bytes>, Error> {
        meter("read", self.0.read(key)).await
    }

    async fn write(&self, key: &Key, record: Bytes, when: When) -> Result<Outcome, Error> {
        self.1.note(key, meter("write", self.0.write(key, record, when)).await)
    }

    async fn write_unsynced(&self, key: &Key, record: Bytes) -> Result<(), Error> {
        self.1.note(key, meter("write_unsynced", self.0.write_unsynced(key, record)).await)
    }

    async fn delete(&self, key: &Key, when: When) -> Result<Outcome, Error> {
        meter("delete", self.0.delete(key, when)).await
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, Error> {
        meter("size", self.0.size(key)).await
    }

    async fn settle(&self, keys: &[Key]) -> Result<(), Error> {
        meter("settle", self.0.settle(keys)).await
    }

    async fn list(&self, key: &Key) -> Result<Vec<String>, Error> {
        meter("list", self.0.list(key)).await
    }

    async fn open(&self, key: &Key) -> Result<Option<Content>, Error> {
        meter("open", self.0.open(key)).await
    }

    async fn stage(&self, key: &Key) -> Result<Box<dyn Stage>, Error> {
        self.1.note(key, meter("stage", self.0.stage(key)).await)
    }

    async fn resume(&self, key: &Key, len: u64) -> Result<Option<Box<dyn Stage>>, Error> {
        meter("resume", self.0.resume(key, len)).await
    }

    async fn sweep(&self, key: &Key) -> Result<(), Error> {
        meter("sweep", self.0.sweep(key)).await
    }

    async fn reclaim(&self, idle: Duration) -> Result<Reclaimed, Error> {
        meter("reclaim", self.0.reclaim(idle)).await
    }

    async fn condemn(&self, key: &Key) -> Result<Option<Sentence>, Error> {
        meter("condemn", self.0.condemn(key)).await
    }

    async fn execute(&self, key: &Key, sentence: &Sentence) -> Result<Outcome, Error> {
        meter("execute", self.0.execute(key, sentence)).await
    }

    async fn spare(&self, key: &Key) -> Result<bool, Error> {
        meter("spare", self.0.spare(key)).await
    }

    async fn space(&self) -> Result<Option<Space>, Error> {
        meter("space", self.0.space()).await
    }
}
