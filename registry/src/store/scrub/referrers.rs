//! The entries among the referrers of a repository: each has its manifest. That each manifest has its entry is
//! looked at with the manifests.

use super::finding::{Done, Kind};
use super::run::{Fault, Run};
use crate::backend::When;
use crate::oci::{Algorithm, Digest};
use crate::store::claims::Claim;
use crate::store::{Error, RepositoryKey, Store, layout};

impl Run<'_> {
    /// Looks at every entry among a repository's referrers.
    pub(super) async fn walk_referrers(&mut self, repository: &RepositoryKey) {
        let part = layout::part(repository, layout::REFERRERS);
        for subject in self.digests(&part).await {
            let entries = layout::referrers(repository, &subject);
            let names = self.check_names(&entries, is_digest).await;
            for referrer in names.iter().filter_map(|name| Digest::parse(name).ok()) {
                self.count_record().await;
                self.look_at_referrer(repository, &subject, &referrer).await;
            }
        }
    }

    async fn look_at_referrer(&mut self, repository: &RepositoryKey, subject: &Digest, referrer: &Digest) {
        let key = layout::referrer(repository, subject, referrer);
        let mut looked = self.store.is_referrer(repository, subject, referrer).await;
        if matches!(looked, Ok(false)) {
            // Written before its manifest, and deleted after it.
            let object = Claim::Object(repository.clone(), *referrer);
            let _alone = self.store.0.claims.exclude(object).await;
            looked = self.store.is_referrer(repository, subject, referrer).await;
        }
        match looked {
            // A manifest's record that cannot be read was found with the manifests.
            Ok(true) | Err(Error::Record { .. }) => {}
            Ok(false) => {
                let mut fault =
                    Fault::new(Kind::ReferrerStale, "its manifest is gone, or about another subject");
                let removing = self.store.remove_stale_referrer(repository, subject, referrer);
                let done = self.repair(&mut fault, removing).await;
                self.found_in((repository, key), Some(referrer), fault, done);
            }
            Err(error) => self.found_unreadable(key, &error),
        }
    }
}

fn is_digest(name: &str) -> bool {
    Algorithm::ALL.iter().any(|it| name.starts_with(it.as_str())) && Digest::parse(name).is_ok()
}

impl Store {
    /// Says whether an entry has its manifest, or is gone itself.
    async fn is_referrer(
        &self,
        repository: &RepositoryKey,
        subject: &Digest,
        referrer: &Digest,
    ) -> Result<bool, Error> {
        let record = self.manifest_record(repository, referrer).await?;
        if record.is_some_and(|record| record.subject == Some(*subject)) {
            return Ok(true);
        }
        Ok(self.0.backend.size(&layout::referrer(repository, subject, referrer)).await?.is_none())
    }

    async fn remove_stale_referrer(
        &self,
        repository: &RepositoryKey,
        subject: &Digest,
        referrer: &Digest,
    ) -> Result<Done, Error> {
        let (store, repository, subject, referrer) = (self.clone(), repository.clone(), *subject, *referrer);
        self.change(async move {
            store
                .alone(Claim::Object(repository.clone(), referrer), async {
                    if !store.is_referrer(&repository, &subject, &referrer).await? {
                        let key = layout::referrer(&repository, &subject, &referrer);
                        store.0.backend.delete(&key, When::Always).await?;
                    }
                    Ok(Done::Removed)
                })
                .await
        })
        .await
    }
}
