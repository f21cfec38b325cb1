//! What the access layer keeps, in the main store.

use bytes::Bytes;

use crate::auth::keep::{Keep, KeepError};
use crate::store::Store;

/// A store as a place of the access layer.
#[derive(Debug)]
pub(super) struct InStore(pub(super) Store);

#[async_trait::async_trait]
impl Keep for InStore {
    async fn read(&self, folder: &str, name: &str) -> Result<Option<Vec<u8>>, KeepError> {
        Ok(self.0.kept(folder, name).await.map_err(KeepError::new)?.map(Vec::from))
    }

    async fn create(&self, folder: &str, name: &str, record: Vec<u8>) -> Result<bool, KeepError> {
        self.0.keep_record(folder, name, Bytes::from(record)).await.map_err(KeepError::new)
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, KeepError> {
        self.0.kept_names(folder).await.map_err(KeepError::new)
    }

    async fn remove(&self, folder: &str, name: &str) -> Result<bool, KeepError> {
        self.0.forget(folder, name).await.map_err(KeepError::new)
    }
}
