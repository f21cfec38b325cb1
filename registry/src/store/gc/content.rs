//! Content that nothing links.

use std::sync::{Arc, PoisonError};

use super::report::Kind;
use super::run::Sweep;
use crate::backend::Outcome;
use crate::oci::{Algorithm, Digest};
use crate::store::claims::Claim;
use crate::store::linking::Removal;
use crate::store::{Error, Store, layout};

/// Content that one run condemns for the next to remove, where other processes write to the store.
const CONDEMNED_MAX: usize = 100_000;

impl Store {
    /// Decides about content of which the removal has found no link, and removes it; returns its size if it
    /// was there.
    ///
    /// It stays when somebody has begun to link it since the removal began. Who looks for it from now on sees
    /// that it is gone.
    ///
    /// *Cancellation:* it runs to its end.
    pub(in crate::store) async fn remove_unlinked(
        &self,
        removal: &Arc<Removal>,
        digest: &Digest,
    ) -> Result<Option<u64>, Error> {
        let (store, removal, digest) = (self.clone(), Arc::clone(removal), *digest);
        self.change(async move {
            let _alone = store.0.claims.exclude(Claim::Content(digest)).await;
            if removal.has_met(&digest) {
                return Ok(None);
            }
            let key = layout::blob(&digest);
            let size = store.0.backend.size(&key).await?;
            // Without a sync: what a power cut brings back is content that nothing links.
            store.0.backend.sweep(&key).await?;
            Ok(size)
        })
        .await
    }
}

impl Sweep<'_> {
    /// Removes content that no link has stayed of.
    pub(super) async fn content(&mut self) -> Result<(), Error> {
        for algorithm in Algorithm::ALL {
            let all = layout::blobs(algorithm);
            for shard in self.store.0.backend.list(&all).await? {
                for digest in self.digests(algorithm, &all.child(&shard)).await? {
                    if self.linked.has(&digest) {
                        continue;
                    }
                    let removed = match self.removes() {
                        true if self.store.is_shared() => self.remove_beside_others(digest).await,
                        true => self.store.remove_unlinked(&self.removal, &digest).await,
                        false => Ok(self.store.0.backend.size(&layout::blob(&digest)).await?),
                    };
                    match removed {
                        Ok(Some(bytes)) => self.gone(Kind::Content, digest, bytes),
                        Ok(None) => {}
                        Err(error) => self.failed(&error, "content could not be removed"),
                    }
                }
            }
        }
        Ok(())
    }

    /// Removes content that was condemned when this process came to it in the run before, and that nobody has
    /// linked since; else condemns it for the next one. Who links it meanwhile spares it, after he wrote the link, so a run that
    /// began after the sentence sees every link that stays.
    async fn remove_beside_others(&mut self, digest: Digest) -> Result<Option<u64>, Error> {
        let (backend, key) = (&self.store.0.backend, layout::blob(&digest));
        if let Some(sentence) = self.condemned.remove(&digest) {
            let size = backend.size(&key).await?;
            if backend.execute(&key, &sentence).await? == Outcome::Done {
                return Ok(size);
            }
        }
        if let Some(sentence) = backend.condemn(&key).await? {
            let mut condemned = self.store.0.condemned.lock().unwrap_or_else(PoisonError::into_inner);
            if condemned.len() < CONDEMNED_MAX {
                condemned.insert(digest, sentence);
            }
        }
        Ok(None)
    }

    /// Forgets of upstreams' content that it is here when it is not.
    pub(super) async fn held(&mut self) -> Result<(), Error> {
        for upstream in self.store.0.backend.list(&layout::upstreams()).await? {
            for algorithm in Algorithm::ALL {
                for digest in self.digests(algorithm, &layout::all_held(&upstream, algorithm)).await? {
                    if self.store.0.backend.size(&layout::blob(&digest)).await?.is_some() {
                        continue;
                    }
                    let forgotten = match self.removes() {
                        true => self.forget_absent(&upstream, &digest).await,
                        false => Ok(true),
                    };
                    match forgotten {
                        Ok(true) => self.gone(Kind::Held, format_args!("{upstream} {digest}"), 0),
                        Ok(false) => {}
                        Err(error) => self.failed(&error, "a note of content could not be removed"),
                    }
                }
            }
        }
        Ok(())
    }

    async fn forget_absent(&self, upstream: &str, digest: &Digest) -> Result<bool, Error> {
        let (store, upstream, digest) = (self.store.clone(), upstream.to_owned(), *digest);
        let forgetting = async move {
            // Who fetches it shares this, from before its content is there until it is noted.
            let _alone = store.0.claims.exclude(Claim::Content(digest)).await;
            if store.0.backend.size(&layout::blob(&digest)).await?.is_some() {
                return Ok(false);
            }
            store.forget_held(&upstream, &digest).await?;
            Ok(true)
        };
        self.store.change(forgetting).await
    }
}
