//! Referrers: the manifests about a manifest, one record each, so that pushing one rewrites no list.

use super::manifests::NewManifest;
use super::{Error, RepositoryKey, Store, layout, record};
use crate::backend::When;
use crate::oci::{Descriptor, Digest};

/// Which referrers are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReferrersQuery<'a> {
    /// Only those after this digest, in the order of their text.
    pub after: Option<&'a str>,
    /// Only those of one of these types; none is any type.
    pub types: &'a [&'a str],
    /// As many as fit into this many bytes of JSON, but at least one; `None` is all.
    pub bytes_max: Option<usize>,
}

/// Some referrers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Referrers {
    /// Their descriptors, sorted by the text of their digest.
    pub descriptors: Vec<Descriptor>,
    /// Whether more follow.
    pub more: bool,
}

impl ReferrersQuery<'_> {
    /// Returns the page of a whole list, which is sorted by the text of the digests.
    pub fn cut(&self, all: &[Descriptor]) -> Referrers {
        let begin =
            self.after.map_or(0, |after| all.partition_point(|it| it.digest.to_string().as_str() <= after));
        let (mut page, mut bytes) = (Referrers::default(), 0);
        for descriptor in all[begin..].iter().filter(|it| self.wants(it)) {
            bytes += record::encode(descriptor).len() + 1;
            if self.is_full(&page, bytes) {
                page.more = true;
                break;
            }
            page.descriptors.push(descriptor.clone());
        }
        page
    }

    fn wants(&self, descriptor: &Descriptor) -> bool {
        let own = descriptor.artifact_type.as_deref();
        self.types.is_empty() || own.is_some_and(|own| self.types.contains(&own))
    }

    /// Says whether a page is too full for what would make it this many bytes.
    fn is_full(&self, page: &Referrers, bytes: usize) -> bool {
        !page.descriptors.is_empty() && self.bytes_max.is_some_and(|max| bytes > max)
    }
}

impl Store {
    /// Returns the descriptors of the manifests whose subject is this digest; none when there are
    /// none, or no such repository.
    ///
    /// *Units and limits:* holds one page and one record in memory, however many there are.
    ///
    /// *Spec:* `[end-12a]`, `[end-12b]`.
    pub async fn referrers(
        &self,
        repository: &RepositoryKey,
        subject: &Digest,
        query: ReferrersQuery<'_>,
    ) -> Result<Referrers, Error> {
        let names = self.0.backend.list(&layout::referrers(repository, subject)).await?;
        let begin = query.after.map_or(0, |after| names.partition_point(|name| name.as_str() <= after));
        let (mut page, mut bytes) = (Referrers::default(), 0);
        for digest in names[begin..].iter().filter_map(|name| Digest::parse(name).ok()) {
            let Some((descriptor, len)) = self.referrer(repository, subject, &digest).await? else {
                continue;
            };
            if !query.wants(&descriptor) {
                continue;
            }
            bytes += len + 1;
            if query.is_full(&page, bytes) {
                page.more = true;
                break;
            }
            page.descriptors.push(descriptor);
        }
        Ok(page)
    }

    /// Returns the descriptor of a referrer that is there, and its length as JSON.
    async fn referrer(
        &self,
        repository: &RepositoryKey,
        subject: &Digest,
        digest: &Digest,
    ) -> Result<Option<(Descriptor, usize)>, Error> {
        // The entry is written before the manifest and deleted after it, so it alone says nothing.
        if !self.has_manifest(repository, digest).await? {
            return Ok(None);
        }
        let key = layout::referrer(repository, subject, digest);
        let Some(bytes) = self.0.backend.read(&key).await? else { return Ok(None) };
        Ok(Some((record::decode(&key, &bytes)?, bytes.len())))
    }

    pub(super) async fn write_referrer(
        &self,
        repository: &RepositoryKey,
        subject: &Digest,
        new: &NewManifest,
    ) -> Result<(), Error> {
        let descriptor = Descriptor {
            media_type: new.manifest.media_type.clone(),
            digest: new.digest,
            size: new.bytes.len() as u64,
            urls: Vec::new(),
            artifact_type: new.manifest.artifact_type.clone(),
            platform: None,
            annotations: new.manifest.annotations.clone(),
        };
        let key = layout::referrer(repository, subject, &new.digest);
        self.0.backend.write(&key, record::encode(&descriptor), When::Always).await?;
        Ok(())
    }
}
