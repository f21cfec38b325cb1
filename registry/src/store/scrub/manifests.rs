//! The manifests of a repository: each has its content, says what its record says, and refers to what is there.

use super::finding::{Done, Kind};
use super::run::{Fault, Lost, Run, chain};
use crate::backend::{Key, RECORD_BYTES_MAX, When};
use crate::oci::{self, Descriptor, Digest, Manifest};
use crate::store::claims::Claim;
use crate::store::manifests::is_needed;
use crate::store::options::Missing;
use crate::store::record::{self, ManifestRecord};
use crate::store::{Error, RepositoryKey, Space, Store, layout};

/// What is wrong with a manifest, or with what it refers to.
struct ManifestFault {
    fault: Fault,
    key: Key,
    digest: Digest,
    remedy: Remedy,
}

/// What makes it good.
enum Remedy {
    /// A push, or a hand.
    Push,
    /// Fetching it again, if it was cached.
    Fetch,
    /// Letting go of it, if it was cached: fetching it finds it here.
    LetGo,
    /// Writing a record again by what the content says.
    Write(Box<dyn Fn() -> bytes::Bytes + Send + Sync>),
}

impl Run<'_> {
    /// Looks at every manifest that a repository has.
    pub(super) async fn walk_manifests(&mut self, repository: &RepositoryKey) {
        for digest in self.digests(&layout::part(repository, layout::MANIFESTS)).await {
            self.count_record().await;
            if !self.manifest_faults(repository, &digest).await.is_empty() {
                self.judge_manifest(repository, &digest).await;
            }
        }
    }

    async fn judge_manifest(&mut self, repository: &RepositoryKey, digest: &Digest) {
        // A push claims its manifest from before its first write to after its last, and a delete of what the
        // manifest refers to is refused for as long as it is there.
        let alone = self.store.0.claims.exclude(Claim::Object(repository.clone(), *digest)).await;
        let faults = self.manifest_faults(repository, digest).await;
        drop(alone);
        for ManifestFault { mut fault, key, digest: about, remedy } in faults {
            let done = match remedy {
                Remedy::Push => Done::Reported,
                Remedy::Fetch => self.make_good(repository, digest, Lost::Manifest, &mut fault).await,
                Remedy::LetGo if repository.space == Space::Hosted => Done::Reported,
                Remedy::LetGo => {
                    self.repair(&mut fault, self.store.let_manifest_go(repository, digest)).await
                }
                Remedy::Write(record) => {
                    let writing = self.store.write_derived(repository, digest, key.clone(), record());
                    self.repair(&mut fault, writing).await
                }
            };
            self.found_in((repository, key), Some(&about), fault, done);
        }
    }

    /// Says what is wrong with a manifest.
    async fn manifest_faults(&mut self, repository: &RepositoryKey, digest: &Digest) -> Vec<ManifestFault> {
        let key = layout::manifest(repository, digest);
        let one = |fault, remedy| vec![ManifestFault { fault, key: key.clone(), digest: *digest, remedy }];
        let record = match self.store.manifest_record(repository, digest).await {
            Ok(Some(record)) => record,
            Ok(None) => return Vec::new(),
            Err(error) => return one(Fault::unreadable(&error), Remedy::LetGo),
        };
        let read = match self.content_fault(digest, record.size).await {
            Ok(Some(detail)) => return one(Fault::new(Kind::ManifestContent, detail), Remedy::Fetch),
            Ok(None) => self.read_manifest(digest, &record).await,
            Err(error) => Err(error),
        };
        let read = match read {
            Ok(read) => read,
            Err(error) => return one(Fault::new(Kind::ManifestContent, chain(&error)), Remedy::Fetch),
        };
        match read {
            Ok(manifest) => {
                let faults = self.faults_around(repository, digest, &record, &manifest).await;
                faults.unwrap_or_else(|error| one(Fault::unreadable(&error), Remedy::Push))
            }
            Err(detail) => one(Fault::new(Kind::ManifestSyntax, detail), Remedy::LetGo),
        }
    }

    /// Reads a manifest's content, or says why it is none.
    async fn read_manifest(
        &mut self,
        digest: &Digest,
        record: &ManifestRecord,
    ) -> Result<Result<Manifest, String>, Error> {
        if record.size > RECORD_BYTES_MAX as u64 {
            return Ok(Err(format!("a manifest has no {} bytes", record.size)));
        }
        self.pace.spend(record.size).await;
        let bytes = self.store.open_content(digest, record.size).await?.bytes().await?;
        Ok(Manifest::parse(&bytes, Some(&record.media_type)).map_err(|error| chain(&error)))
    }

    /// Says what is wrong with what stands around a manifest that can be read.
    async fn faults_around(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
        record: &ManifestRecord,
        manifest: &Manifest,
    ) -> Result<Vec<ManifestFault>, Error> {
        let (mut faults, key) = (Vec::new(), layout::manifest(repository, digest));
        let right = ManifestRecord {
            subject: manifest.subject.as_ref().map(|subject| subject.digest),
            artifact_type: manifest.artifact_type.clone(),
            annotations: manifest.annotations.clone(),
            references: manifest.references.iter().map(|descriptor| descriptor.digest).collect(),
            ..record.clone()
        };
        if record::encode(&right) != record::encode(record) {
            let fault = Fault::new(Kind::Record, "the record does not say what the manifest says");
            let remedy = Remedy::Write(Box::new(move || record::encode(&right)));
            faults.push(ManifestFault { fault, key: key.clone(), digest: *digest, remedy });
        }
        for missing in self.missing_references(repository, manifest).await? {
            let detail = format!("the repository does not have {missing}, which the manifest refers to");
            let fault = Fault::new(Kind::ReferenceMissing, detail);
            faults.push(ManifestFault { fault, key: key.clone(), digest: missing, remedy: Remedy::Push });
        }
        if let Some(subject) = &manifest.subject {
            let entry = layout::referrer(repository, &subject.digest, digest);
            let right = descriptor(digest, record.size, manifest);
            if let Some(fault) = self.referrer_fault(&entry, &right).await? {
                let remedy = Remedy::Write(Box::new(move || record::encode(&right)));
                faults.push(ManifestFault { fault, key: entry, digest: *digest, remedy });
            }
        }
        Ok(faults)
    }

    async fn referrer_fault(&self, entry: &Key, right: &Descriptor) -> Result<Option<Fault>, Error> {
        let written = self.store.0.backend.read(entry).await?;
        Ok(match written.map(|bytes| serde_json::from_slice::<Descriptor>(&bytes)) {
            Some(Ok(written)) if written == *right => None,
            Some(Ok(_)) => Some(Fault::new(Kind::Record, "the entry does not say what the manifest says")),
            Some(Err(error)) => Some(Fault::unreadable(&error)),
            None => Some(Fault::new(Kind::ReferrerMissing, "no list of referrers shows the manifest")),
        })
    }

    /// Returns what a hosted manifest refers to that its repository does not have. What is cached arrives on
    /// demand, and an operator may have allowed manifests without.
    async fn missing_references(
        &self,
        repository: &RepositoryKey,
        manifest: &Manifest,
    ) -> Result<Vec<Digest>, Error> {
        let options = &self.store.0.options;
        let policy = match manifest.kind {
            oci::Kind::Image => options.missing_in_image,
            oci::Kind::Index => options.missing_in_index,
        };
        let mut missing = Vec::new();
        if repository.space != Space::Hosted || policy == Missing::Accept {
            return Ok(missing);
        }
        for needed in manifest.references.iter().filter(is_needed) {
            let key = match needed.media_type.manifest_kind() {
                Some(_) => layout::manifest(repository, &needed.digest),
                None => layout::member(repository, &needed.digest),
            };
            if self.store.0.backend.size(&key).await?.is_none() && !missing.contains(&needed.digest) {
                missing.push(needed.digest);
            }
        }
        Ok(missing)
    }
}

/// Returns what a list of referrers shows of a manifest.
fn descriptor(digest: &Digest, size: u64, manifest: &Manifest) -> Descriptor {
    Descriptor {
        media_type: manifest.media_type.clone(),
        digest: *digest,
        size,
        urls: Vec::new(),
        artifact_type: manifest.artifact_type.clone(),
        platform: None,
        annotations: manifest.annotations.clone(),
    }
}

impl Store {
    /// Takes a manifest out of a cached repository with its tags, also when its record cannot be read.
    pub(super) async fn let_manifest_go(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
    ) -> Result<Done, Error> {
        debug_assert_ne!(repository.space, Space::Hosted, "what was pushed is not removed here");
        let (store, repository, digest) = (self.clone(), repository.clone(), *digest);
        self.change(async move {
            let removing = async {
                if store.manifest_record(&repository, &digest).await.is_err() {
                    store.delete_tags_of(&repository, &digest).await?;
                    let key = layout::manifest(&repository, &digest);
                    let deleted = store.0.backend.delete(&key, When::Always).await;
                    store.forget_manifest(&repository, &digest);
                    deleted?;
                }
                Ok::<_, Error>(())
            };
            store.alone(Claim::Object(repository.clone(), digest), removing).await?;
            store.remove_cached_manifest(&repository, &digest).await?;
            Ok(Done::Removed)
        })
        .await
    }

    /// Writes a record again that follows from a manifest's content, if the manifest is still there.
    async fn write_derived(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
        key: Key,
        record: bytes::Bytes,
    ) -> Result<Done, Error> {
        let (store, repository, digest) = (self.clone(), repository.clone(), *digest);
        self.change(async move {
            store
                .alone(Claim::Object(repository.clone(), digest), async {
                    if store.0.backend.size(&layout::manifest(&repository, &digest)).await?.is_some() {
                        let written = store.0.backend.write(&key, record, When::Always).await;
                        store.forget_manifest(&repository, &digest);
                        written?;
                    }
                    Ok(Done::Restored)
                })
                .await
        })
        .await
    }

    fn forget_manifest(&self, repository: &RepositoryKey, digest: &Digest) {
        self.0.manifests.forget(&(repository.clone(), *digest));
        self.0.indexes.forget(repository);
        self.0.existing.forget(repository);
    }
}
