//! The blobs that a repository no longer needs: they are taken out of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::try_join_all;

use super::report::Kind;
use super::run::{Mode, Sweep};
use crate::backend::{Outcome, When};
use crate::mutants;
use crate::oci::{Algorithm, Digest};
use crate::store::claims::{Claim, Watch};
use crate::store::filter::Filter;
use crate::store::index::READS_AT_ONCE;
use crate::store::record::{self, Member};
use crate::store::replicas::settle;
use crate::store::{Error, RepositoryKey, Space, layout};

/// The bits of what one repository's manifests need; half a mebibyte. Of a million digests, one in seven pieces
/// of garbage is taken for needed, and stays until a later run.
const NEEDED_BITS: u64 = 1 << 22;

/// What became of a link.
enum Link {
    /// It stays.
    Kept,
    /// It went, or would; its blob has so many bytes.
    Gone(u64),
}

impl Sweep<'_> {
    /// Takes out of a repository what none of its manifests needs; what it keeps is linked.
    ///
    /// Manifests that `would_go` need nothing: the run only tells.
    pub(super) async fn links(
        &mut self,
        repository: &RepositoryKey,
        would_go: &BTreeSet<Digest>,
    ) -> Result<(), Error> {
        // Before the manifests are read: who pushes one of them meanwhile is seen.
        let watch = self.store.0.claims.watch(repository);
        let needed = self.needed(repository, would_go).await?;
        for algorithm in Algorithm::ALL {
            for digest in self.digests(algorithm, &layout::members(repository, algorithm)).await? {
                let link = match needed.has(&digest) {
                    true => Ok(Link::Kept),
                    false => self.unlink(repository, &digest, &watch).await,
                };
                match link {
                    Ok(Link::Gone(bytes)) => {
                        self.gone(Kind::Link, format_args!("{repository} {digest}"), bytes);
                        continue;
                    }
                    Ok(Link::Kept) => {}
                    Err(error) => self.failed(&error, "a blob could not be taken out of a repository"),
                }
                self.linked.add(&digest);
            }
        }
        Ok(())
    }

    /// Returns what the manifests of a repository need; they themselves are linked.
    async fn needed(
        &mut self,
        repository: &RepositoryKey,
        would_go: &BTreeSet<Digest>,
    ) -> Result<Filter, Error> {
        let mut needed = Filter::new(NEEDED_BITS);
        for algorithm in Algorithm::ALL {
            let folder = layout::manifests(repository, algorithm);
            let digests = self.digests(algorithm, &folder).await?;
            for some in digests.chunks(READS_AT_ONCE) {
                let reads = some.iter().map(|digest| self.store.manifest_record(repository, digest));
                for (digest, record) in some.iter().zip(try_join_all(reads).await?) {
                    // One that is gone again was deleted meanwhile.
                    let Some(record) = record.filter(|_| !would_go.contains(digest)) else { continue };
                    self.linked.add(digest);
                    record.references.iter().for_each(|reference| needed.add(reference));
                }
            }
            // What is not listed may have been deleted by somebody who has not synced it yet: a power cut
            // would bring it back without what it needs.
            self.store.0.backend.settle(&[folder.child("any")]).await?;
        }
        Ok(needed)
    }

    /// Decides about a link that no manifest needs, as far as they were read, and removes it.
    ///
    /// It stays while it is young, while a client may rely on it, and when somebody has claimed it since the
    /// manifests were read: he may have pushed one.
    async fn unlink(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
        watch: &Arc<Watch>,
    ) -> Result<Link, Error> {
        let (store, request, now) = (self.store, self.request, self.store.0.steady.now());
        let key = layout::member(repository, digest);
        let Some(bytes) = store.0.backend.read(&key).await? else { return Ok(Link::Kept) };
        let Member { size, linked_at } = record::decode(&key, &bytes)?;
        let is_impatient = mutants::is("MU77-garbage-is-not-waited-for");
        if now.since(linked_at) < store.0.options.gc.delay && !is_impatient {
            return Ok(Link::Kept);
        }
        if request.mode == Mode::Tell {
            let is_asked = repository.space == Space::Hosted
                && store.0.asked.was_asked(repository, digest, store.0.clock.passed(), request.clients);
            return Ok(if is_asked { Link::Kept } else { Link::Gone(size) });
        }
        let (store, watch, clients) = (store.clone(), Arc::clone(watch), request.clients);
        let (repository, digest) = (repository.clone(), *digest);
        // To its end: who waits for the claim must not go on before the link is gone.
        let this = store.clone();
        let removing = async move {
            let claim = Claim::Object(repository.clone(), digest);
            let announced = store.announce_alone(&claim).await?;
            let is_blind = mutants::is("MU78-garbage-is-not-claimed");
            let _alone = if is_blind { None } else { Some(store.0.claims.exclude(claim).await) };
            let is_met = watch.has_met(&digest) && !is_blind;
            let is_hosted = repository.space == Space::Hosted && !is_impatient;
            let mut _condemned = None;
            if is_hosted && !is_met {
                _condemned = store.0.asked.condemn(&repository, &digest, store.0.clock.passed(), clients);
            }
            if is_met || (is_hosted && _condemned.is_none()) {
                return settle(announced, std::future::ready(Ok(Link::Kept))).await;
            }
            if mutants::is("MU79-content-goes-before-its-links") {
                store.0.backend.sweep(&layout::blob(&digest)).await?;
            }
            let removing = async {
                // Of what other processes have pushed meanwhile only the records tell.
                if store.is_shared() && store.is_referred_to(&repository, &digest).await? {
                    return Ok(Link::Kept);
                }
                let removed = store.0.backend.delete(&key, When::Is(bytes)).await;
                store.0.members.forget(&(repository.clone(), digest));
                // Another record than the one judged is not garbage.
                Ok(if removed? == Outcome::Done { Link::Gone(size) } else { Link::Kept })
            };
            settle(announced, removing).await
        };
        this.change(removing).await
    }
}
