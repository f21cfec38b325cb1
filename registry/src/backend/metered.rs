//! Counts and times what a backend does.
//!
//! Series: `wharfinger_storage_operations_total{operation, outcome}` and
//! `wharfinger_storage_operation_seconds{operation}`. Both labels are words of this file, so their
//! number is fixed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::disk::Space;
use super::{Backend, Content, Error, Key, Outcome, Reclaimed, Sentence, Stage, When};

/// A backend whose operations are counted and timed.
#[derive(Debug, Clone)]
pub struct Metered(Arc<dyn Backend>);

impl Metered {
    /// Puts a meter before a backend.
    pub fn new(below: Arc<dyn Backend>) -> Self {
        Self(below)
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
        meter("write", self.0.write(key, record, when)).await
    }

    async fn write_unsynced(&self, key: &Key, record: Bytes) -> Result<(), Error> {
        meter("write_unsynced", self.0.write_unsynced(key, record)).await
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
        meter("stage", self.0.stage(key)).await
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
