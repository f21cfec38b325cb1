//! What the access layer keeps: its signing keys, and the keys that users make.
//!
//! The layer knows no store; whoever wires it gives it one.

use std::fmt;
use std::sync::Arc;

/// A place for small records, by folder and name, both of `[a-z0-9-]`.
#[async_trait::async_trait]
pub trait Keep: fmt::Debug + Send + Sync + 'static {
    /// Returns a record, or `None` when there is none.
    async fn read(&self, folder: &str, name: &str) -> Result<Option<Vec<u8>>, KeepError>;

    /// Writes a record, durably, unless there is one; says whether it was written.
    async fn create(&self, folder: &str, name: &str, record: Vec<u8>) -> Result<bool, KeepError>;

    /// Returns the names in a folder, sorted.
    async fn list(&self, folder: &str) -> Result<Vec<String>, KeepError>;

    /// Removes a record, durably; says whether there was one.
    async fn remove(&self, folder: &str, name: &str) -> Result<bool, KeepError>;
}

/// Why a place cannot be read or written.
#[derive(Debug, Clone, thiserror::Error)]
#[error("what the access layer keeps in the store cannot be read or written")]
pub struct KeepError(#[source] Arc<dyn std::error::Error + Send + Sync>);

impl KeepError {
    /// Makes it of its cause.
    pub fn new(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(cause))
    }
}

/// A place that lasts as long as the process.
#[derive(Debug, Default)]
pub struct InMemory(std::sync::Mutex<std::collections::BTreeMap<(String, String), Vec<u8>>>);

impl InMemory {
    fn records(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<(String, String), Vec<u8>>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[async_trait::async_trait]
impl Keep for InMemory {
    async fn read(&self, folder: &str, name: &str) -> Result<Option<Vec<u8>>, KeepError> {
        Ok(self.records().get(&(folder.to_owned(), name.to_owned())).cloned())
    }

    async fn create(&self, folder: &str, name: &str, record: Vec<u8>) -> Result<bool, KeepError> {
        let mut records = self.records();
        let at = (folder.to_owned(), name.to_owned());
        let is_free = !records.contains_key(&at);
        records.entry(at).or_insert(record);
        Ok(is_free)
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, KeepError> {
        let records = self.records();
        Ok(records.keys().filter(|(it, _)| it == folder).map(|(_, name)| name.clone()).collect())
    }

    async fn remove(&self, folder: &str, name: &str) -> Result<bool, KeepError> {
        Ok(self.records().remove(&(folder.to_owned(), name.to_owned())).is_some())
    }
}
