//! The quarantine: content that is not what its digest says is moved aside, never deleted.
//!
//! A backend cannot rename, so the bytes are copied, and gone from their place only when the copy and the
//! record beside it are durable. It is done under the claim that whoever links or removes the content takes,
//! and what is there is hashed once more on the way: what was healed meanwhile stays.
//!
//! Nothing here removes what is in quarantine. It does not stand in the way of the digest: a push or a fetch
//! publishes it anew.

use futures_util::StreamExt;

use super::claims::Claim;
use super::record::{self, QuarantineRecord};
use super::{Error, Store, layout};
use crate::backend::{Content, Stage, When};
use crate::oci::{Digest, Hasher};
use crate::telemetry::WithCauses;

/// What became of content that was thought to be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quarantined {
    /// It is right.
    Sound,
    /// It is gone.
    Gone,
    /// It was moved aside.
    Moved(Wrong),
    /// It was moved aside, and the right bytes, a manifest's that was in memory, stand in its place.
    Healed(Wrong),
}

/// What stood under a digest instead of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrong {
    /// What it is.
    pub actual: Digest,
    /// Its size, in bytes.
    pub size: u64,
}

impl Store {
    /// Moves content aside if it is not what its digest says.
    ///
    /// *Cancellation:* it runs to its end.
    ///
    /// *Durability:* when this returns, the copy is durable and the content gone. A crash before leaves the
    /// content where it is, with or without a copy in quarantine.
    ///
    /// *Errors:* those of the backend; then the content is where it was.
    pub async fn quarantine(&self, digest: &Digest) -> Result<Quarantined, Error> {
        let (store, digest) = (self.clone(), *digest);
        self.change(async move {
            let _alone = store.0.claims.exclude(Claim::Content(digest)).await;
            let Some(content) = store.0.backend.open(&layout::blob(&digest)).await? else {
                return Ok(Quarantined::Gone);
            };
            let (file, stage) = store.stage_copy().await?;
            let moved = store.move_aside(&digest, &content, stage).await;
            if !matches!(moved, Ok(Quarantined::Moved(_) | Quarantined::Healed(_))) {
                store.remove_copy(&file).await?;
            }
            moved
        })
        .await
    }

    async fn move_aside(
        &self,
        digest: &Digest,
        content: &Content,
        mut stage: Box<dyn Stage>,
    ) -> Result<Quarantined, Error> {
        let mut hasher = Hasher::new(digest.algorithm());
        let mut chunks = content.stream(0, content.size());
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            hasher.update(&chunk);
            stage.append(vec![chunk]).await?;
        }
        let wrong = Wrong { actual: hasher.finish(), size: stage.len() };
        if wrong.actual == *digest {
            return Ok(Quarantined::Sound);
        }
        stage.publish(&layout::quarantined_content(digest, &wrong.actual)).await?;
        let record = QuarantineRecord {
            found_at: self.0.clock.now(),
            digest: *digest,
            actual: wrong.actual,
            size: wrong.size,
            why: "a scrub found bytes that do not have the digest they stood under".to_owned(),
        };
        let key = layout::quarantined_record(digest, &wrong.actual);
        self.0.backend.write(&key, record::encode(&record), When::Always).await?;
        self.0.backend.delete(&layout::blob(digest), When::Always).await?;
        metrics::counter!("wharfinger_quarantined_total").increment(1);
        Ok(match self.heal_from_memory(digest).await {
            Ok(true) => Quarantined::Healed(wrong),
            Ok(false) => Quarantined::Moved(wrong),
            Err(error) => {
                tracing::warn!(manifest.digest = %digest, error = %WithCauses(&error),
                    "a manifest could not be written again from memory");
                Quarantined::Moved(wrong)
            }
        })
    }

    /// Writes the content of a manifest again that the disk has lost, if it is in memory; says whether it was.
    ///
    /// *Cancellation:* it runs to its end.
    pub(super) async fn restore_from_memory(&self, digest: &Digest) -> Result<bool, Error> {
        let (store, digest) = (self.clone(), *digest);
        self.change(async move {
            let _alone = store.0.claims.exclude(Claim::Content(digest)).await;
            store.heal_from_memory(&digest).await
        })
        .await
    }

    /// Writes a manifest again that is in memory, where it was hashed when it came; and forgets it, so that
    /// memory serves nothing that the disk does not have. The caller claims the content alone.
    async fn heal_from_memory(&self, digest: &Digest) -> Result<bool, Error> {
        let copy = self.0.manifests.find_where(|(_, held)| held == digest);
        let written = match &copy {
            Some(copy) => {
                let bytes = copy.bytes.clone();
                self.0.backend.write(&layout::blob(digest), bytes, When::Always).await.map(drop)
            }
            None => Ok(()),
        };
        self.0.manifests.forget_where(|(_, held)| held == digest);
        written?;
        Ok(copy.is_some())
    }

    /// Says whether something that stood under a digest is in quarantine.
    pub(super) async fn is_quarantined(&self, digest: &Digest) -> Result<bool, Error> {
        Ok(!self.0.backend.list(&layout::quarantined(digest)).await?.is_empty())
    }
}
