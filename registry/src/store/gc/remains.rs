//! Small keys that point to nothing, and uploads that stand still.

use super::report::Kind;
use super::run::Sweep;
use crate::backend::Key;
use crate::oci::{Algorithm, Digest, Tag};
use crate::store::claims::Claim;
use crate::store::{Error, RepositoryKey, layout};

/// A key that means something only together with another one.
#[derive(Debug, Clone)]
enum Remains {
    /// The entry of a manifest in the list of another one's referrers.
    Referrer { subject: Digest, manifest: Digest },
    /// A tag that may point at a manifest.
    Hint { manifest: Digest, tag: Tag },
    /// When a manifest was pulled.
    Pull { manifest: Digest },
}

impl Remains {
    const fn kind(&self) -> Kind {
        match self {
            Self::Referrer { .. } => Kind::Referrer,
            Self::Hint { .. } => Kind::Hint,
            Self::Pull { .. } => Kind::Pull,
        }
    }

    /// Returns the manifest that a push of which makes it mean something again.
    const fn manifest(&self) -> &Digest {
        match self {
            Self::Referrer { manifest, .. } | Self::Hint { manifest, .. } | Self::Pull { manifest } => {
                manifest
            }
        }
    }

    fn key(&self, repository: &RepositoryKey) -> Key {
        match self {
            Self::Referrer { subject, manifest } => layout::referrer(repository, subject, manifest),
            Self::Hint { manifest, tag } => layout::tagged(repository, manifest).child(tag.as_str()),
            Self::Pull { manifest } => layout::pulled(repository, manifest),
        }
    }
}

impl Sweep<'_> {
    /// Counts, and removes, uploads and fetches that stood still for too long.
    pub(super) async fn uploads(&mut self) -> Result<(), Error> {
        let expired = match self.removes() {
            true => self.store.expire_uploads().await? + self.store.expire_fills().await?,
            false => self.store.expired_uploads().await?,
        };
        if expired > 0 {
            self.report.add(Kind::Upload, expired as u64, 0);
        }
        Ok(())
    }

    /// Removes what points to nothing in a repository.
    pub(super) async fn remains(&mut self, repository: &RepositoryKey) -> Result<(), Error> {
        for algorithm in Algorithm::ALL {
            let all = layout::all_referrers(repository, algorithm);
            for subject in self.digests(algorithm, &all).await? {
                let names = self.store.0.backend.list(&layout::referrers(repository, &subject)).await?;
                for manifest in names.iter().filter_map(|name| Digest::parse(name).ok()) {
                    self.look_at(repository, Remains::Referrer { subject, manifest }).await?;
                }
            }
            for manifest in self.digests(algorithm, &layout::all_tagged(repository, algorithm)).await? {
                let names = self.store.0.backend.list(&layout::tagged(repository, &manifest)).await?;
                for tag in names.iter().filter_map(|name| Tag::parse(name).ok()) {
                    self.look_at(repository, Remains::Hint { manifest, tag }).await?;
                }
            }
            for manifest in self.digests(algorithm, &layout::all_pulled(repository, algorithm)).await? {
                self.look_at(repository, Remains::Pull { manifest }).await?;
            }
        }
        Ok(())
    }

    async fn look_at(&mut self, repository: &RepositoryKey, remains: Remains) -> Result<(), Error> {
        if self.store.means_something(repository, &remains).await? {
            return Ok(());
        }
        let is_gone = match self.removes() {
            true => self.store.remove_remains(repository, &remains).await?,
            false => true,
        };
        if is_gone {
            self.gone(remains.kind(), remains.key(repository), 0);
        }
        Ok(())
    }
}

impl crate::store::Store {
    async fn means_something(&self, repository: &RepositoryKey, remains: &Remains) -> Result<bool, Error> {
        match remains {
            Remains::Hint { manifest, tag } => {
                let entry = self.tag(repository, tag).await?;
                Ok(entry.is_some_and(|entry| entry.digest == *manifest))
            }
            Remains::Referrer { manifest, .. } | Remains::Pull { manifest } => {
                let key = layout::manifest(repository, manifest);
                Ok(self.0.backend.size(&key).await?.is_some())
            }
        }
    }

    /// Removes it, unless it means something by now; a push of its manifest claims that one from before it
    /// writes the first of its keys until it has written the last.
    async fn remove_remains(&self, repository: &RepositoryKey, remains: &Remains) -> Result<bool, Error> {
        let (store, repository, remains) = (self.clone(), repository.clone(), remains.clone());
        self.change(async move {
            let claim = Claim::Object(repository.clone(), *remains.manifest());
            store
                .alone(claim, async {
                    if store.means_something(&repository, &remains).await? {
                        return Ok(false);
                    }
                    // Without a sync: what a power cut brings back points to nothing again.
                    store.0.backend.sweep(&remains.key(&repository)).await?;
                    Ok(true)
                })
                .await
        })
        .await
    }
}
