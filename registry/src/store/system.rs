//! Small records that the registry keeps for itself below `system/`: keys that sign, keys that users make.

use bytes::Bytes;

use super::{Error, Store, layout};
use crate::backend::{Outcome, When};

impl Store {
    /// Returns a record of the registry's own, or `None` when there is none.
    pub async fn kept(&self, folder: &str, name: &str) -> Result<Option<Bytes>, Error> {
        Ok(self.0.backend.read(&layout::kept(folder).child(name)).await?)
    }

    /// Writes a record of the registry's own, unless there is one; says whether it was written.
    ///
    /// *Durability:* what was written survives power loss.
    pub async fn keep_record(&self, folder: &str, name: &str, record: Bytes) -> Result<bool, Error> {
        let key = layout::kept(folder).child(name);
        Ok(self.0.backend.write(&key, record, When::Absent).await? == Outcome::Done)
    }

    /// Returns the names of the registry's own records in a folder, sorted.
    pub async fn kept_names(&self, folder: &str) -> Result<Vec<String>, Error> {
        Ok(self.0.backend.list(&layout::kept(folder)).await?)
    }

    /// Removes a record of the registry's own; says whether there was one.
    pub async fn forget(&self, folder: &str, name: &str) -> Result<bool, Error> {
        let key = layout::kept(folder).child(name);
        Ok(self.0.backend.delete(&key, When::Always).await? == Outcome::Done)
    }
}
