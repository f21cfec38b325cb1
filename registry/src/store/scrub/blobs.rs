//! The blobs of a repository: each has its content.

use super::finding::{Done, Kind};
use super::run::{Fault, Lost, Run};
use crate::oci::Digest;
use crate::store::claims::Claim;
use crate::store::record::{self, Member};
use crate::store::{Error, RepositoryKey, Store, layout};

impl Run<'_> {
    /// Looks at every blob that a repository has.
    pub(super) async fn walk_members(&mut self, repository: &RepositoryKey) {
        for digest in self.digests(&layout::part(repository, layout::BLOBS)).await {
            self.count_record().await;
            if self.member_fault(repository, &digest).await.is_some() {
                self.judge_member(repository, &digest).await;
            }
        }
    }

    /// Says what is wrong with a blob of a repository.
    async fn member_fault(&self, repository: &RepositoryKey, digest: &Digest) -> Option<Fault> {
        let fault = async {
            let key = layout::member(repository, digest);
            // From the disk: what memory knows of it is no evidence.
            let Some(bytes) = self.store.0.backend.read(&key).await? else { return Ok(None) };
            let Member { size, .. } = record::decode(&key, &bytes)?;
            let fault = self.content_fault(digest, size).await?;
            Ok::<_, Error>(fault.map(|detail| Fault::new(Kind::BlobContent, detail)))
        };
        fault.await.unwrap_or_else(|error| Some(Fault::unreadable(&error)))
    }

    async fn judge_member(&mut self, repository: &RepositoryKey, digest: &Digest) {
        // Nobody publishes, links or removes the content meanwhile.
        let alone = self.store.0.claims.exclude(Claim::Content(*digest)).await;
        let fault = self.member_fault(repository, digest).await;
        drop(alone);
        let Some(mut fault) = fault else { return };
        let done = self.make_good(repository, digest, Lost::Blob, &mut fault).await;
        self.found_in((repository, layout::member(repository, digest)), Some(digest), fault, done);
    }
}

impl Store {
    /// Takes a blob out of a cached repository, if it is still not whole; whoever asks for it has it fetched.
    pub(super) async fn let_blob_go(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
    ) -> Result<Done, Error> {
        let (store, repository, digest) = (self.clone(), repository.clone(), *digest);
        self.change(async move {
            let _alone = store.0.claims.exclude(Claim::Content(digest)).await;
            if !matches!(store.has_blob(&repository, &digest).await, Ok(true)) {
                store.remove_cached_blobs(&repository, [digest]).await?;
            }
            Ok(Done::Removed)
        })
        .await
    }
}
