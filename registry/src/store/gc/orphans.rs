//! What is cached of upstreams that are no longer configured.

use super::report::{Amount, Kind};
use super::run::{Orphans, Sweep};
use crate::oci::{Algorithm, RepositoryName};
use crate::store::record::{self, Member};
use crate::store::{Error, RepositoryKey, Space, layout};

impl Sweep<'_> {
    /// Counts what is cached of an upstream that is not configured, and removes it if it shall go; returns what
    /// becomes of it.
    pub(super) async fn orphan(&mut self, upstream: &str) -> Result<Orphans, Error> {
        let amount = self.amount(upstream).await?;
        let orphans = self.request.orphans;
        match orphans {
            Orphans::Keep => {
                self.report.orphans.insert(upstream.to_owned(), amount);
            }
            Orphans::Remove => {
                if self.removes() {
                    for part in self.store.parked_parts(upstream).await? {
                        self.store.remove_parked(&part).await?;
                    }
                    // Nobody serves it, so its parts may go in any order.
                    self.store.0.backend.sweep(&layout::upstream(upstream)).await?;
                }
                self.report.add(Kind::Orphan, amount.objects.saturating_sub(1), 0);
                self.gone(Kind::Orphan, upstream, amount.bytes);
            }
        }
        Ok(orphans)
    }

    /// Returns how many manifests and blobs are cached of an upstream, and their bytes; those of several
    /// repositories count for each.
    async fn amount(&self, upstream: &str) -> Result<Amount, Error> {
        let mut amount = Amount::default();
        for path in self.store.repository_paths(&layout::repositories_of(upstream)).await? {
            let Ok(name) = RepositoryName::parse(&path) else { continue };
            let repository = RepositoryKey { space: Space::Upstream(upstream.into()), name };
            for algorithm in Algorithm::ALL {
                for digest in self.digests(algorithm, &layout::manifests(&repository, algorithm)).await? {
                    let record = self.store.manifest_record(&repository, &digest).await.ok().flatten();
                    amount.add(1, record.map_or(0, |record| record.size));
                }
                for digest in self.digests(algorithm, &layout::members(&repository, algorithm)).await? {
                    let key = layout::member(&repository, &digest);
                    let bytes = self.store.0.backend.read(&key).await?.unwrap_or_default();
                    let size = record::decode::<Member>(&key, &bytes).map_or(0, |member| member.size);
                    amount.add(1, size);
                }
            }
        }
        Ok(amount)
    }
}
