//! P4: however many clients ask for a cold blob, in however many repositories, the origin is asked for it
//! once; and for what clients only ask the head of, it sends nothing.

use std::collections::BTreeMap;

use super::verdict::{Evidence, Tally};
use crate::{
    digest::Digest,
    origin::SeededImage,
    traffic::{Ask, Exchange},
};

pub(super) fn judge(evidence: &Evidence<'_>) -> Tally {
    let mut tally = Tally::default();
    let blobs: BTreeMap<&Digest, u64> =
        evidence.images.iter().flat_map(SeededImage::blobs).map(|it| (&it.digest, it.size)).collect();
    for (digest, size) in blobs {
        let asked: Vec<&Exchange> =
            evidence.exchanges.iter().filter(|it| it.wanted.content.digest == *digest).collect();
        let only_heads = !asked.is_empty() && asked.iter().all(|it| it.wanted.ask == Ask::Head);
        let gets: Vec<_> = evidence.journal.iter().filter(|it| it.is_blob_get(digest)).collect();
        // No GET at all: the target has the bytes from an earlier run, so nothing was cold.
        if gets.is_empty() && !only_heads {
            continue;
        }
        tally.look();
        if gets.len() > usize::from(!only_heads) {
            let bytes: u64 = gets.iter().map(|it| it.bytes_sent).sum();
            let text = format!("{} upstream GETs and {bytes} bytes for {digest} of {size} bytes", gets.len());
            tally.wrong(text, asked.first().copied());
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::{
        super::planted::{check, entry, good, layer},
        *,
    };
    use crate::validate::Ruling;

    #[test]
    fn p4_more_than_is_wanted_is_caught() {
        let gets = |count: u64| (0..count).map(|at| entry(&layer().path(), at)).collect::<Vec<_>>();
        let check = |wanted, count, expect| {
            let verdict = check(judge, &[good(wanted)], &gets(count));
            assert_eq!(verdict.ruling, expect, "{verdict:#?}");
        };
        check(layer(), 1, Ruling::Pass);
        check(layer(), 2, Ruling::Fail);
        check(layer(), 0, Ruling::Vacuous);
        check(layer().only(Ask::Head), 0, Ruling::Pass);
        check(layer().only(Ask::Head), 1, Ruling::Fail);
    }
}
