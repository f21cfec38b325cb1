//! Fetching again what a cache has lost, as a scrub asks for it.

use std::sync::Arc;
use std::time::Duration;

use super::service::cached;
use super::{Error, Repositories};
use crate::oci::{Digest, Reference};
use crate::store::scrub::Lost;
use crate::store::{RepositoryKey, Space};
use crate::upstream::{self, Asking, Candidate, Phase};

/// How long a scrub waits for one of them. The fetch goes on beside it, and whoever asks for it joins in.
const REFETCH_PATIENCE: Duration = Duration::from_secs(600);

impl Repositories {
    /// Fetches again what a cached repository has lost; says whether it has an upstream that could be asked.
    ///
    /// *Errors:* what the upstream or the store said; late, a timeout of the upstream.
    pub async fn refetch(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
        lost: Lost,
    ) -> Result<bool, Error> {
        let Space::Upstream(whose) = &repository.space else { return Ok(false) };
        // What was cached of an upstream that is no longer configured waits for one.
        let Some(upstream) = self.upstream(whose) else { return Ok(false) };
        let candidate = Candidate { upstream, name: repository.name.clone(), asking: Asking::Allowed };
        debug_assert_eq!(&cached(&candidate.upstream, &candidate.name), repository, "it is that one's cache");
        let fetching = async {
            match lost {
                Lost::Blob => self.bring(&candidate, digest).await,
                Lost::Manifest => self.current(&candidate, Reference::Digest(*digest)).await.map(drop),
            }
        };
        let late = || {
            let upstream = Arc::clone(candidate.upstream.label());
            upstream::Error::Timeout { upstream, phase: Phase::Body }.into()
        };
        tokio::time::timeout(REFETCH_PATIENCE, fetching).await.unwrap_or_else(|_| Err(late()))?;
        Ok(true)
    }
}
