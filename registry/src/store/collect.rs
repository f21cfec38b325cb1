//! Removing content that nothing links any more.
//!
//! What is looked at is the tree itself, hosted and cached, with every repository that has a folder: a blob
//! that was pushed before any manifest is linked, though its repository is in no list.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Error, Store, layout};
use crate::backend::{Key, Outcome, Sentence};
use crate::oci::{Algorithm, Digest};

impl Store {
    /// Removes those of the digests that nothing links, and returns how many bytes that gave back.
    ///
    /// Content that is open is read to its end.
    ///
    /// *Cancellation:* leaves some of them.
    pub async fn collect(&self, candidates: Vec<Digest>) -> Result<u64, Error> {
        if candidates.is_empty() {
            return Ok(0);
        }
        let _one_at_a_time = self.0.collecting.lock().await;
        if self.is_shared() {
            return self.collect_beside_others(candidates).await;
        }
        let removal = Arc::new(self.0.linking.remove());
        let mut wanted: BTreeSet<Digest> = candidates.into_iter().collect();
        self.take_out_linked(&mut wanted).await?;
        let mut freed = 0;
        for digest in wanted {
            freed += self.remove_unlinked(&removal, &digest).await?.unwrap_or_default();
        }
        Ok(freed)
    }

    /// The same where other processes may link meanwhile: content is condemned before the links are looked at,
    /// and who links it spares it after that.
    async fn collect_beside_others(&self, candidates: Vec<Digest>) -> Result<u64, Error> {
        let mut condemned: BTreeMap<Digest, Sentence> = BTreeMap::new();
        for digest in candidates {
            if let Some(sentence) = self.0.backend.condemn(&layout::blob(&digest)).await? {
                condemned.insert(digest, sentence);
            }
        }
        let mut unlinked: BTreeSet<Digest> = condemned.keys().copied().collect();
        self.take_out_linked(&mut unlinked).await?;
        let mut freed = 0;
        for (digest, sentence) in condemned {
            let key = layout::blob(&digest);
            if !unlinked.contains(&digest) {
                self.0.backend.spare(&key).await?;
                continue;
            }
            let size = self.0.backend.size(&key).await?;
            if self.0.backend.execute(&key, &sentence).await? == Outcome::Done {
                freed += size.unwrap_or_default();
            }
        }
        Ok(freed)
    }

    /// Takes out of a set what a repository of any space links.
    async fn take_out_linked(&self, digests: &mut BTreeSet<Digest>) -> Result<(), Error> {
        let mut folders = vec![layout::repositories()];
        for upstream in self.0.backend.list(&layout::upstreams()).await? {
            folders.push(layout::repositories_of(&upstream));
        }
        while let Some(folder) = folders.pop() {
            if digests.is_empty() {
                return Ok(());
            }
            for name in self.0.backend.list(&folder).await? {
                match name.as_str() {
                    layout::BLOBS | layout::MANIFESTS => {
                        self.take_out_links(&folder.child(&name), digests).await?;
                    }
                    // No component of a name begins with it.
                    name if name.starts_with('_') => {}
                    name => folders.push(folder.child(name)),
                }
            }
        }
        Ok(())
    }

    async fn take_out_links(&self, links: &Key, digests: &mut BTreeSet<Digest>) -> Result<(), Error> {
        for algorithm in Algorithm::ALL {
            for hex in self.0.backend.list(&links.child(&algorithm.to_string())).await? {
                if let Ok(digest) = Digest::from_hex(algorithm, &hex) {
                    digests.remove(&digest);
                }
            }
        }
        Ok(())
    }
}
