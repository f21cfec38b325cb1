//! Tags: one record each, so that moving one rewrites nothing else.

use std::collections::HashSet;
use std::sync::Arc;

use super::claims::Claim;
use super::manifests::Tagging;
use super::record::{self, CheckedRecord, TagRecord};
use super::replicas::settle;
use super::{Error, RepositoryKey, Space, Store, layout};
use crate::backend::{Outcome, When};
use crate::clock::Timestamp;
use crate::oci::{Digest, Tag};

/// What a tag points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TagEntry {
    /// The digest, in the algorithm it was pushed with.
    pub digest: Digest,
    /// When it was pushed.
    pub pushed_at: Timestamp,
}

impl Store {
    /// Returns what a tag points at, or `None` when there is no such tag.
    pub async fn tag(&self, repository: &RepositoryKey, tag: &Tag) -> Result<Option<TagEntry>, Error> {
        let key = (repository.clone(), tag.clone());
        if let Some(entry) = self.0.tags.find(&key) {
            return Ok(Some(entry));
        }
        let ticket = self.0.tags.ticket(&key);
        let at = layout::tag(repository, tag);
        let Some(bytes) = self.0.backend.read(&at).await? else { return Ok(None) };
        let TagRecord { digest, pushed_at } = record::decode(&at, &bytes)?;
        let entry = TagEntry { digest, pushed_at };
        self.0.tags.offer(ticket, key, entry);
        Ok(Some(entry))
    }

    /// Returns all tags of the repository, sorted bytewise; none when it has none.
    ///
    /// *Spec:* `spec.md#listing-tags` allows this order, which needs no folding of case.
    pub async fn tags(&self, repository: &RepositoryKey) -> Result<Arc<Vec<String>>, Error> {
        if let Some(tags) = self.0.tag_lists.find(repository) {
            return Ok(tags);
        }
        let ticket = self.0.tag_lists.ticket(repository);
        let mut tags = self.0.backend.list(&layout::tags(repository)).await?;
        tags.retain(|name| Tag::parse(name).is_ok());
        let tags = Arc::new(tags);
        self.0.tag_lists.offer(ticket, repository.clone(), Arc::clone(&tags));
        Ok(tags)
    }

    /// Returns when a cached tag was last checked, as far as that was written down.
    pub async fn checked_at(
        &self,
        repository: &RepositoryKey,
        tag: &Tag,
    ) -> Result<Option<Timestamp>, Error> {
        let bytes = self.0.backend.read(&layout::checked(repository, tag)).await?;
        // Written without a sync: what power loss has left of it may be nothing, and costs a check.
        let record = bytes.and_then(|bytes| serde_json::from_slice::<CheckedRecord>(&bytes).ok());
        Ok(record.map(|record| record.checked_at))
    }

    /// Writes down when a cached tag was checked.
    ///
    /// *Durability:* it survives the process, not always the machine; losing it costs a check.
    pub async fn note_check(
        &self,
        repository: &RepositoryKey,
        tag: &Tag,
        checked_at: Timestamp,
    ) -> Result<(), Error> {
        let record = record::encode(&CheckedRecord { checked_at });
        self.0.backend.write_unsynced(&layout::checked(repository, tag), record).await?;
        Ok(())
    }

    /// Deletes a tag; the manifest it points at stays.
    ///
    /// *Errors:* [`Error::TagUnknown`].
    ///
    /// *Cancellation:* it runs to its end.
    ///
    /// *Spec:* `[end-9]`.
    pub async fn delete_tag(&self, repository: &RepositoryKey, tag: &Tag) -> Result<(), Error> {
        let (store, repository, tag) = (self.clone(), repository.clone(), tag.clone());
        self.change(async move {
            let unknown = || Error::TagUnknown { tag: tag.clone() };
            let entry = store.tag(&repository, &tag).await?.ok_or_else(unknown)?;
            // A push that points the tag at the same manifest meanwhile would lose its hint here,
            // and the tag would outlive the manifest.
            let manifest = Claim::Object(repository.clone(), entry.digest);
            let announced = store.announce_alone(&manifest).await?;
            let _alone = store.0.claims.exclude(manifest).await;
            let deleting = async {
                let deleted = store.0.backend.delete(&layout::tag(&repository, &tag), When::Always).await;
                store.forget_tag(&repository, &tag);
                if deleted? == Outcome::Refused {
                    return Err(unknown());
                }
                // Only a hint that is checked when used, so losing this write is harmless.
                let hint = layout::tagged(&repository, &entry.digest).child(tag.as_str());
                store.0.backend.delete(&hint, When::Always).await?;
                Ok(())
            };
            settle(announced, deleting).await
        })
        .await
    }

    /// Returns the tags that point at a manifest.
    pub async fn tags_at(&self, repository: &RepositoryKey, digest: &Digest) -> Result<Vec<Tag>, Error> {
        let mut tags = Vec::new();
        for name in self.0.backend.list(&layout::tagged(repository, digest)).await? {
            let Ok(tag) = Tag::parse(&name) else { continue };
            if self.tag(repository, &tag).await?.is_some_and(|entry| entry.digest == *digest) {
                tags.push(tag);
            }
        }
        Ok(tags)
    }

    /// Writes down that a tag is deleted, whatever an upstream has.
    ///
    /// *Durability:* when this returns, no crash can undo it.
    pub async fn note_gone(&self, repository: &RepositoryKey, tag: &Tag) -> Result<(), Error> {
        let key = layout::gone(repository, tag);
        self.0.backend.write(&key, bytes::Bytes::new(), When::Always).await?;
        Ok(())
    }

    /// Says whether a tag was deleted.
    pub async fn is_gone(&self, repository: &RepositoryKey, tag: &Tag) -> Result<bool, Error> {
        Ok(self.0.backend.size(&layout::gone(repository, tag)).await?.is_some())
    }

    /// Returns the tags that were deleted.
    pub async fn gone_tags(&self, repository: &RepositoryKey) -> Result<HashSet<Tag>, Error> {
        let names = self.0.backend.list(&layout::all_gone(repository)).await?;
        Ok(names.iter().filter_map(|name| Tag::parse(name).ok()).collect())
    }

    /// Refuses early what [`Store::write_tag`] would refuse, so that nothing is written for it.
    pub(super) async fn check_tag(
        &self,
        repository: &RepositoryKey,
        tag: &Tag,
        digest: &Digest,
        tagging: &Tagging,
    ) -> Result<(), Error> {
        let at = self.tag(repository, tag).await?.map(|entry| entry.digest);
        match (tagging, at) {
            (Tagging::Move, _) | (Tagging::Keep | Tagging::Absent, None) => Ok(()),
            (Tagging::Keep, Some(at)) if at == *digest => Ok(()),
            (Tagging::Keep, Some(_)) => Err(Error::TagTaken { tag: tag.clone() }),
            (Tagging::At(expected), Some(at)) if at == *expected => Ok(()),
            (Tagging::At(_) | Tagging::Absent, _) => Err(Error::TagChanged { tag: tag.clone() }),
        }
    }

    /// Points a tag at a manifest that is visible and claimed by the caller.
    pub(super) async fn write_tag(
        &self,
        repository: &RepositoryKey,
        tag: &Tag,
        digest: &Digest,
        tagging: &Tagging,
    ) -> Result<(), Error> {
        let hint = layout::tagged(repository, digest).child(tag.as_str());
        self.0.backend.write(&hint, bytes::Bytes::new(), When::Always).await?;
        let key = layout::tag(repository, tag);
        let when = match tagging {
            Tagging::Move => When::Always,
            Tagging::Keep | Tagging::Absent => When::Absent,
            Tagging::At(expected) => self.current_record(repository, tag, expected).await?,
        };
        let record = record::encode(&TagRecord { digest: *digest, pushed_at: self.0.clock.now() });
        let written = self.0.backend.write(&key, record, when).await;
        self.0.tags.forget(&(repository.clone(), tag.clone()));
        // A tag that moves stays in the list, so that a page of 100,000 tags does not cost a scan after each push.
        let name = tag.as_str();
        self.0.tag_lists.forget_unless(repository, |tags| {
            tags.binary_search_by(|listed| listed.as_str().cmp(name)).is_ok()
        });
        match (written?, tagging) {
            (Outcome::Done, _) => Ok(()),
            (Outcome::Refused, Tagging::Keep) => {
                // There already; pushing what it points at moves nothing.
                self.0.backend.settle(&[key]).await?;
                self.check_tag(repository, tag, digest, tagging).await
            }
            (Outcome::Refused, _) => Err(Error::TagChanged { tag: tag.clone() }),
        }
    }

    /// Returns the condition that a tag still points where it is expected to.
    async fn current_record(
        &self,
        repository: &RepositoryKey,
        tag: &Tag,
        expected: &Digest,
    ) -> Result<When, Error> {
        let key = layout::tag(repository, tag);
        let changed = || Error::TagChanged { tag: tag.clone() };
        let bytes = self.0.backend.read(&key).await?.ok_or_else(changed)?;
        let record: TagRecord = record::decode(&key, &bytes)?;
        if record.digest == *expected { Ok(When::Is(bytes)) } else { Err(changed()) }
    }

    /// Deletes every tag that points at a digest which the caller claims alone.
    pub(super) async fn delete_tags_of(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
    ) -> Result<(), Error> {
        let hints = layout::tagged(repository, digest);
        let mut elsewhere = Vec::new();
        for name in self.0.backend.list(&hints).await? {
            let Ok(tag) = Tag::parse(&name) else { continue };
            match self.current_record(repository, &tag, digest).await {
                Ok(condition) => {
                    // By its bytes: a tag that moves away between the look and the delete stays.
                    let deleted = self.0.backend.delete(&layout::tag(repository, &tag), condition).await;
                    self.forget_tag(repository, &tag);
                    if deleted? == Outcome::Refused {
                        elsewhere.push(layout::tag(repository, &tag));
                    } else if repository.space != Space::Hosted {
                        self.0.backend.sweep(&layout::checked(repository, &tag)).await?;
                    }
                }
                Err(Error::TagChanged { .. }) => elsewhere.push(layout::tag(repository, &tag)),
                Err(error) => return Err(error),
            }
        }
        // Somebody else may have deleted or moved them without having synced that yet: a power cut
        // would bring back a tag to a manifest that is gone.
        self.0.backend.settle(&elsewhere).await?;
        self.0.backend.sweep(&hints).await?;
        Ok(())
    }

    pub(super) fn forget_tag(&self, repository: &RepositoryKey, tag: &Tag) {
        self.0.tags.forget(&(repository.clone(), tag.clone()));
        self.0.tag_lists.forget(repository);
    }
}
