//! The tags of a repository: each points at a manifest, and has the hint by which the delete of that manifest
//! finds it.

use bytes::Bytes;

use super::finding::{Done, Kind};
use super::run::{Fault, Run};
use crate::backend::When;
use crate::oci::{Digest, Tag};
use crate::store::claims::Claim;
use crate::store::record::{self, TagRecord};
use crate::store::{Error, RepositoryKey, Space, Store, layout};

/// What is wrong with a tag that points at a digest.
struct TagFault {
    digest: Digest,
    /// The record, byte for byte.
    bytes: Bytes,
    fault: Fault,
}

impl Run<'_> {
    /// Looks at every tag of a repository.
    pub(super) async fn walk_tags(&mut self, repository: &RepositoryKey) {
        let tags = self.check_names(&layout::tags(repository), |name| Tag::parse(name).is_ok()).await;
        for tag in tags.iter().filter_map(|name| Tag::parse(name).ok()) {
            self.count_record().await;
            match self.store.tag_fault(repository, &tag).await {
                Ok(None) => {}
                Ok(Some(seen)) => self.judge_tag(repository, &tag, seen.digest).await,
                Err(error) => self.judge_unreadable_tag(repository, &tag, &error).await,
            }
        }
    }

    async fn judge_tag(&mut self, repository: &RepositoryKey, tag: &Tag, digest: Digest) {
        // The manifest is written, and the hint, before the tag; and deleted after it, under this claim. A tag
        // that has moved meanwhile is looked at the next time.
        let alone = self.store.0.claims.exclude(Claim::Object(repository.clone(), digest)).await;
        let looked = self.store.tag_fault(repository, tag).await;
        drop(alone);
        let Ok(Some(mut found)) = looked else { return };
        if found.digest != digest {
            return;
        }
        let (key, kind) = (layout::tag(repository, tag), found.fault.kind);
        let done = match kind {
            // It is 404 for clients, and a push of the manifest brings it back.
            Kind::TagDangling if repository.space == Space::Hosted => Done::Reported,
            Kind::TagDangling => {
                let removing = self.store.remove_tag_record(repository, tag, Some(digest), found.bytes);
                self.repair(&mut found.fault, removing).await
            }
            _ => self.repair(&mut found.fault, self.store.restore_hint(repository, tag, digest)).await,
        };
        self.found_in((repository, key), Some(&digest), found.fault, done);
    }

    async fn judge_unreadable_tag(&mut self, repository: &RepositoryKey, tag: &Tag, error: &Error) {
        let (key, mut fault) = (layout::tag(repository, tag), Fault::unreadable(error));
        let bytes = self.store.0.backend.read(&key).await.ok().flatten();
        let done = match (bytes, error) {
            (Some(bytes), Error::Record { .. }) if repository.space != Space::Hosted => {
                self.repair(&mut fault, self.store.remove_tag_record(repository, tag, None, bytes)).await
            }
            _ => Done::Reported,
        };
        self.found_in((repository, key), None, fault, done);
    }

    /// Looks at every hint at a tag of a manifest: one whose manifest is gone leads to nothing. That the tag has
    /// moved is what hints are for.
    pub(super) async fn walk_hints(&mut self, repository: &RepositoryKey) {
        for digest in self.digests(&layout::part(repository, layout::TAGGED)).await {
            let hints = layout::tagged(repository, &digest);
            let tags = self.check_names(&hints, |name| Tag::parse(name).is_ok()).await;
            for tag in tags.iter().filter_map(|name| Tag::parse(name).ok()) {
                self.count_record().await;
                self.look_at_hint(repository, &digest, &tag).await;
            }
        }
    }

    async fn look_at_hint(&mut self, repository: &RepositoryKey, digest: &Digest, tag: &Tag) {
        let key = layout::tagged(repository, digest).child(tag.as_str());
        let mut looked = self.store.is_hint_stale(repository, digest, tag).await;
        if matches!(looked, Ok(true)) {
            let _alone = self.store.0.claims.exclude(Claim::Object(repository.clone(), *digest)).await;
            looked = self.store.is_hint_stale(repository, digest, tag).await;
        }
        match looked {
            // A tag's record that cannot be read was found with the tags.
            Ok(false) | Err(Error::Record { .. }) => {}
            Ok(true) => {
                let mut fault = Fault::new(Kind::HintStale, "its manifest is gone");
                let removing = self.store.remove_stale_hint(repository, digest, tag);
                let done = self.repair(&mut fault, removing).await;
                self.found_in((repository, key), Some(digest), fault, done);
            }
            Err(error) => self.found_unreadable(key, &error),
        }
    }
}

impl Store {
    /// Reads a tag's record from the disk.
    async fn tag_record(
        &self,
        repository: &RepositoryKey,
        tag: &Tag,
    ) -> Result<Option<(Digest, Bytes)>, Error> {
        let key = layout::tag(repository, tag);
        let Some(bytes) = self.0.backend.read(&key).await? else { return Ok(None) };
        let TagRecord { digest, .. } = record::decode(&key, &bytes)?;
        Ok(Some((digest, bytes)))
    }

    async fn tag_fault(&self, repository: &RepositoryKey, tag: &Tag) -> Result<Option<TagFault>, Error> {
        let Some((digest, bytes)) = self.tag_record(repository, tag).await? else { return Ok(None) };
        let hint = layout::tagged(repository, &digest).child(tag.as_str());
        let fault = if self.0.backend.size(&layout::manifest(repository, &digest)).await?.is_none() {
            let detail = format!("the repository does not have {digest}, which the tag points at");
            Fault::new(Kind::TagDangling, detail)
        } else if self.0.backend.size(&hint).await?.is_none() {
            Fault::new(Kind::HintMissing, "the delete of its manifest would not find the tag")
        } else {
            return Ok(None);
        };
        Ok(Some(TagFault { digest, bytes, fault }))
    }

    async fn is_hint_stale(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
        tag: &Tag,
    ) -> Result<bool, Error> {
        if self.0.backend.size(&layout::manifest(repository, digest)).await?.is_some() {
            return Ok(false);
        }
        // A tag that points at nothing is a finding of its own, and keeps its hint.
        let is_pointed_at = self.tag_record(repository, tag).await?.is_some_and(|(at, _)| at == *digest);
        let hint = layout::tagged(repository, digest).child(tag.as_str());
        Ok(!is_pointed_at && self.0.backend.size(&hint).await?.is_some())
    }

    /// Removes a tag of a cached repository, if its record is still this; with the hint at it.
    async fn remove_tag_record(
        &self,
        repository: &RepositoryKey,
        tag: &Tag,
        digest: Option<Digest>,
        bytes: Bytes,
    ) -> Result<Done, Error> {
        debug_assert_ne!(repository.space, Space::Hosted, "what was pushed is not removed here");
        let (store, repository, tag) = (self.clone(), repository.clone(), tag.clone());
        self.change(async move {
            let deleted = store.0.backend.delete(&layout::tag(&repository, &tag), When::Is(bytes)).await;
            store.forget_tag(&repository, &tag);
            deleted?;
            store.0.backend.sweep(&layout::checked(&repository, &tag)).await?;
            if let Some(digest) = digest {
                store.remove_stale_hint(&repository, &digest, &tag).await?;
            }
            Ok(Done::Removed)
        })
        .await
    }

    /// Writes the hint at a tag again. One too many does no harm.
    async fn restore_hint(
        &self,
        repository: &RepositoryKey,
        tag: &Tag,
        digest: Digest,
    ) -> Result<Done, Error> {
        let (store, repository, tag) = (self.clone(), repository.clone(), tag.clone());
        self.change(async move {
            store
                .alone(Claim::Object(repository.clone(), digest), async {
                    let hint = layout::tagged(&repository, &digest).child(tag.as_str());
                    if store.0.backend.size(&layout::manifest(&repository, &digest)).await?.is_some() {
                        store.0.backend.write(&hint, Bytes::new(), When::Always).await?;
                    }
                    Ok(Done::Restored)
                })
                .await
        })
        .await
    }

    async fn remove_stale_hint(
        &self,
        repository: &RepositoryKey,
        digest: &Digest,
        tag: &Tag,
    ) -> Result<Done, Error> {
        let (store, repository, digest, tag) = (self.clone(), repository.clone(), *digest, tag.clone());
        self.change(async move {
            store
                .alone(Claim::Object(repository.clone(), digest), async {
                    if store.is_hint_stale(&repository, &digest, &tag).await? {
                        let hint = layout::tagged(&repository, &digest).child(tag.as_str());
                        store.0.backend.delete(&hint, When::Always).await?;
                    }
                    Ok(Done::Removed)
                })
                .await
        })
        .await
    }
}
