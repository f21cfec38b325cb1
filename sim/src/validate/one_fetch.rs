//! P4: however many clients ask for a cold blob, the origin is asked for it once.

use std::collections::BTreeMap;

use super::verdict::{Evidence, Tally};
use crate::{digest::Digest, origin::SeededImage};

pub(super) fn judge(evidence: &Evidence<'_>) -> Tally {
    let mut tally = Tally::default();
    let blobs: BTreeMap<&Digest, u64> =
        evidence.images.iter().flat_map(SeededImage::blobs).map(|it| (&it.digest, it.size)).collect();
    for (digest, size) in blobs {
        let gets: Vec<_> = evidence.journal.iter().filter(|it| it.is_blob_get(digest)).collect();
        // No GET at all: the target has the bytes from an earlier run, so nothing was cold.
        if gets.is_empty() {
            continue;
        }
        tally.look();
        if gets.len() > 1 {
            let bytes: u64 = gets.iter().map(|it| it.bytes_sent).sum();
            let shown = evidence.exchanges.iter().find(|it| it.wanted.content.digest == *digest);
            let text = format!("{} upstream GETs and {bytes} bytes for {digest} of {size} bytes", gets.len());
            tally.wrong(text, shown);
        }
    }
    tally
}
