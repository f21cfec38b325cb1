//! Deletes, on the hosted side.

use super::{Error, Repositories};
use crate::auth::{Delete, Grant};
use crate::oci::{Digest, Reference};
use crate::store::RepositoryKey;

impl Repositories {
    /// Deletes a tag, or a manifest with all its tags.
    ///
    /// *Durability:* when this returns, no crash can bring it back.
    ///
    /// *Spec:* `[end-9]`.
    pub async fn delete_manifest(&self, grant: &Grant<Delete>, reference: &Reference) -> Result<(), Error> {
        let repository = RepositoryKey::hosted(grant.name().clone());
        match reference {
            Reference::Tag(tag) => self.0.store.delete_tag(&repository, tag).await?,
            Reference::Digest(digest) => self.0.store.delete_manifest(&repository, digest).await?,
        }
        Ok(())
    }

    /// Deletes a blob from the repository.
    ///
    /// *Spec:* `[end-10]`.
    pub async fn delete_blob(&self, grant: &Grant<Delete>, digest: &Digest) -> Result<(), Error> {
        let repository = RepositoryKey::hosted(grant.name().clone());
        Ok(self.0.store.delete_blob(&repository, digest).await?)
    }
}
