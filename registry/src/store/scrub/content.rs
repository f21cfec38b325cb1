//! The walk over all content: every byte is hashed.

use futures_util::StreamExt;

use super::finding::{Done, Finding, Kind};
use super::run::{Acting, Phase, Run, chain};
use crate::backend;
use crate::oci::{Algorithm, Digest, Hasher};
use crate::store::claims::Claim;
use crate::store::layout;
use crate::store::quarantine::{Quarantined, Wrong};

/// What a look at content says.
enum Look {
    Sound,
    /// It went while it was looked for.
    Gone,
    Wrong(Wrong),
}

/// Bytes that are read before others are told how far it is.
const TELL_BYTES: u64 = 64 * 1024 * 1024;

impl Run<'_> {
    /// Hashes all content, folder by folder; after each it is written down how far it is.
    pub(super) async fn walk_content(&mut self) {
        let folders = self.content_folders().await;
        let after = self.state.after.clone();
        for (algorithm, shard) in folders {
            let folder = format!("{algorithm}/{shard}");
            let key = layout::contents(algorithm).child(&shard);
            if after.as_ref().is_some_and(|after| folder <= *after) {
                continue;
            }
            for name in self.list(&key).await {
                match Digest::from_hex(algorithm, &name) {
                    Ok(digest) if digest.hex().starts_with(&shard) => self.look_at_content(&digest).await,
                    _ => self.found_foreign(key.child(&name)),
                }
            }
            self.state.after = Some(folder);
            (self.state.objects, self.state.bytes) = (self.progress.objects, self.progress.bytes);
            self.note().await;
        }
    }

    /// Lists the folders of content, and counts what is in them.
    async fn content_folders(&mut self) -> Vec<(Algorithm, String)> {
        let (mut folders, mut total) = (Vec::new(), 0);
        for algorithm in Algorithm::ALL {
            let key = layout::contents(algorithm);
            for shard in self.list(&key).await {
                if !is_shard(&shard) {
                    self.found_foreign(key.child(&shard));
                    continue;
                }
                total += self.list(&key.child(&shard)).await.len() as u64;
                folders.push((algorithm, shard));
            }
        }
        // Their order is that of the text which is written down.
        folders.sort_unstable_by_key(|(algorithm, shard)| format!("{algorithm}/{shard}"));
        self.progress.objects_total = total;
        self.progress.phase = Phase::Content;
        self.tell_progress();
        folders
    }

    async fn look_at_content(&mut self, digest: &Digest) {
        let looked = self.hash(digest).await;
        match looked {
            Ok(Look::Sound) => self.progress.objects += 1,
            Ok(Look::Gone) => {}
            Ok(Look::Wrong(wrong)) => {
                self.progress.objects += 1;
                self.judge(digest, wrong).await;
            }
            Err(error) => {
                self.progress.objects += 1;
                self.found_wrong(digest, Kind::UnreadableContent, chain(&error), Done::Reported);
            }
        }
        self.tell_progress();
    }

    /// Hashes content, at the pace of the run.
    async fn hash(&mut self, digest: &Digest) -> Result<Look, backend::Error> {
        let Some(content) = self.store.0.backend.open(&layout::blob(digest)).await? else {
            return Ok(Look::Gone);
        };
        let (mut hasher, mut size, mut told) = (Hasher::new(digest.algorithm()), 0, 0);
        let mut chunks = content.stream(0, content.size());
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            hasher.update(&chunk);
            size += chunk.len() as u64;
            self.progress.bytes += chunk.len() as u64;
            if size - told >= TELL_BYTES {
                told = size;
                self.tell_progress();
            }
            self.pace.spend(chunk.len() as u64).await;
            tokio::task::yield_now().await;
        }
        let actual = hasher.finish();
        Ok(if actual == *digest { Look::Sound } else { Look::Wrong(Wrong { actual, size }) })
    }

    /// Looks again at content that was wrong, and moves it aside if it still is.
    async fn judge(&mut self, digest: &Digest, wrong: Wrong) {
        let judged = match self.options.acting {
            Acting::Repair => self.store.quarantine(digest).await.map(|quarantined| match quarantined {
                Quarantined::Sound | Quarantined::Gone => None,
                Quarantined::Moved(wrong) => Some((wrong, Done::Quarantined)),
                Quarantined::Healed(wrong) => Some((wrong, Done::Restored)),
            }),
            Acting::Report => self.look_again(digest).await.map(|wrong| Some((wrong?, Done::Reported))),
        };
        let describe = |Wrong { actual, size }| format!("its {size} bytes are {actual}");
        match judged {
            Ok(None) => {}
            Ok(Some((wrong, done))) => {
                self.found_wrong(digest, Kind::CorruptContent, describe(wrong), done);
            }
            Err(error) => {
                let detail =
                    format!("{}, and it could not be moved aside: {}", describe(wrong), chain(&error));
                self.found_wrong(digest, Kind::CorruptContent, detail, Done::Failed);
            }
        }
    }

    /// Hashes content again, while nobody publishes or removes it.
    async fn look_again(&mut self, digest: &Digest) -> Result<Option<Wrong>, crate::store::Error> {
        let _alone = self.store.0.claims.exclude(Claim::Content(*digest)).await;
        let counted = self.progress.bytes;
        let looked = self.hash(digest).await;
        self.progress.bytes = counted;
        Ok(match looked? {
            Look::Wrong(wrong) => Some(wrong),
            Look::Sound | Look::Gone => None,
        })
    }

    fn found_wrong(&mut self, digest: &Digest, kind: Kind, detail: String, done: Done) {
        let key = layout::blob(digest);
        self.found_corrupt(Finding { kind, key, repository: None, digest: Some(*digest), detail, done });
    }
}

fn is_shard(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
