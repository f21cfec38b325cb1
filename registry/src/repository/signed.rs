//! Taking only what is signed from an upstream (`onlySigned`).
//!
//! A signature is a referrer of a known type, or a tag that cosign names after the digest. Who signed, and
//! whether that is right, is for the client to say: it knows whom to trust.

use std::sync::Arc;

use super::Repositories;
use super::attempts::Question;
use super::service::cached;
use crate::oci::{Digest, Kind, Manifest, Reference, RepositoryName};
use crate::upstream::mirror::{cosign_tags, is_cosign_tag, is_signature};
use crate::upstream::{self, Upstream};

impl Repositories {
    /// Says whether a manifest may be taken: an image that is signed, a part of an index that was taken, or
    /// what stands beside an image.
    ///
    /// *Errors:* the upstream could not say whether there is a signature.
    pub(super) async fn is_admitted(
        &self,
        question: &Question,
        manifest: &Manifest,
        digest: &Digest,
    ) -> Result<bool, upstream::Error> {
        let Question { upstream, name, reference, .. } = question;
        if !upstream.options().only_signed || stands_beside(manifest) {
            return Ok(true);
        }
        if matches!(reference, Reference::Tag(tag) if is_cosign_tag(tag.as_str())) {
            return Ok(true);
        }
        let repository = cached(upstream, name);
        // What cannot be read is asked for.
        if self.at(&repository).is_referred_to(&repository, digest).await.unwrap_or(false) {
            return Ok(true);
        }
        self.is_signed(upstream, name, digest).await
    }

    async fn is_signed(
        &self,
        upstream: &Arc<Upstream>,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, upstream::Error> {
        let referrers = upstream.referrers(name, digest).await?;
        if referrers.iter().any(|it| it.artifact_type.as_deref().is_some_and(is_signature)) {
            return Ok(true);
        }
        let Some(tag) = cosign_tags(digest).next() else { return Ok(false) };
        match upstream.manifest_digest(name, &Reference::Tag(tag)).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The types of configurations with which a manifest can be run as an image.
const RUNNABLE: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// Says whether a manifest is about another one, and no image itself: an image that only says so of itself
/// would need no signature.
fn stands_beside(manifest: &Manifest) -> bool {
    let config = manifest.references.first().map(|config| config.media_type.to_string());
    let is_inert = config.is_some_and(|config| !RUNNABLE.contains(&config.as_str()));
    let is_signature = manifest.artifact_type.as_deref().is_some_and(is_signature);
    manifest.subject.is_some() && manifest.kind == Kind::Image && (is_inert || is_signature)
}
