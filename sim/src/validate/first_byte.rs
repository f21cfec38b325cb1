//! P5: the first byte of a cold blob reaches the client before the origin has sent half of it.
//!
//! Only blobs that the origin sent slowly, and that are large enough to be streamed, can tell.

use super::verdict::{Evidence, Tally};
use crate::traffic::{Ask, Kind};

/// Smaller blobs may be held back whole until they are verified.
const SIZE_MIN: u64 = 256 * 1024;

pub(super) fn judge(evidence: &Evidence<'_>) -> Tally {
    let mut tally = Tally::default();
    let cold = evidence.exchanges.iter().filter(|it| {
        it.wanted.kind == Kind::Blob
            && it.wanted.ask == Ask::Whole
            && it.wanted.content.size >= SIZE_MIN
            && !it.pulled_before
            && it.attempt == 1
    });
    for exchange in cold {
        let content = &exchange.wanted.content;
        let dripped =
            |it: &&crate::origin::Entry| it.is_blob_get(&content.digest) && it.faults.contains(&"drip");
        let (Some(sent), true) =
            (exchange.origin_sent_at_first_byte, evidence.journal.iter().any(|it| dripped(&it)))
        else {
            continue;
        };
        tally.look();
        if sent > content.size / 2 {
            let text = format!(
                "the origin had sent {sent} of {} bytes when the first one reached the client",
                content.size
            );
            tally.wrong(text, Some(exchange));
        }
    }
    tally
}
