//! Names that are hosted and, where the operator wants it (`overlay`), an upstream's as well: what was pushed comes
//! first, the upstream has the rest, and a tag that was deleted stays deleted.
//!
//! Without `overlay` a name with anything hosted is hosted only, so that nobody can slip in what was not pushed.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::list::{ReferrersList, TagList};
use super::service::Sides;
use super::{Error, Repositories};
use crate::auth::{Grant, Pull};
use crate::oci::{Digest, Reference, Tag};
use crate::store::referrers::ReferrersQuery;
use crate::store::{self, RepositoryKey};

impl Repositories {
    /// Says whether a tag was deleted here, so that no upstream may bring it back.
    pub(super) async fn is_gone(&self, sides: &Sides, reference: &Reference) -> Result<bool, Error> {
        match (&sides.hosted, reference) {
            (Some(hosted), Reference::Tag(tag)) if sides.is_overlaid => {
                Ok(self.at(hosted).is_gone(hosted, tag).await?)
            }
            _ => Ok(false),
        }
    }

    /// Writes down that tags are about to be deleted here: by their names, or with the manifest they point at.
    ///
    /// *Durability:* when this returns, no crash can bring them back from an upstream.
    pub(super) async fn note_gone(
        &self,
        hosted: &RepositoryKey,
        reference: &Reference,
    ) -> Result<(), store::Error> {
        let store = self.at(hosted);
        let tags = match reference {
            Reference::Tag(tag) => vec![tag.clone()],
            Reference::Digest(digest) => store.tags_at(hosted, digest).await?,
        };
        for tag in &tags {
            store.note_gone(hosted, tag).await?;
        }
        Ok(())
    }

    /// Returns the tags of both sides, but for those that were deleted here. What an upstream cannot say now is
    /// left out.
    pub(super) async fn merged_tags(
        &self,
        grant: &Grant<Pull>,
        hosted: &RepositoryKey,
        sides: &Sides,
    ) -> Result<TagList, Error> {
        let (ours, gone) = (self.at(hosted).tags(hosted).await?, self.at(hosted).gone_tags(hosted).await?);
        let theirs = match self.tags_of_upstreams(grant, sides).await {
            Ok(theirs) => theirs,
            Err(Error::NameUnknown { .. }) => TagList::default(),
            Err(Error::Upstream(_)) => TagList { stale: label(sides), ..TagList::default() },
            Err(error) => return Err(error),
        };
        let is_left = |tag: &&String| Tag::parse(tag).is_ok_and(|tag| !gone.contains(&tag));
        let all: BTreeSet<&String> = ours.iter().chain(theirs.tags.iter().filter(is_left)).collect();
        Ok(TagList { tags: Arc::new(all.into_iter().cloned().collect()), stale: theirs.stale })
    }

    /// Returns the referrers of both sides.
    pub(super) async fn merged_referrers(
        &self,
        grant: &Grant<Pull>,
        hosted: &RepositoryKey,
        sides: &Sides,
        subject: &Digest,
        query: ReferrersQuery<'_>,
    ) -> Result<ReferrersList, Error> {
        let all = ReferrersQuery::default();
        let ours = self.at(hosted).referrers(hosted, subject, all).await?.descriptors;
        let theirs = match self.referrers_of_upstreams(grant, sides, subject, all).await {
            Ok(theirs) => theirs,
            Err(Error::Upstream(_)) => ReferrersList { stale: label(sides), ..ReferrersList::default() },
            Err(error) => return Err(error),
        };
        let mut both = ours;
        let known: BTreeSet<String> = both.iter().map(|it| it.digest.to_string()).collect();
        let new = theirs.page.descriptors.into_iter();
        both.extend(new.filter(|it| !known.contains(&it.digest.to_string())));
        both.sort_by_cached_key(|it| it.digest.to_string());
        Ok(ReferrersList { page: query.cut(&both), stale: theirs.stale })
    }
}

/// Returns what the first upstream of a name is called to clients.
fn label(sides: &Sides) -> Option<Arc<str>> {
    sides.upstreams.first().map(|it| Arc::clone(it.upstream.label()))
}
