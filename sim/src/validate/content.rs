//! P1: no response completes with bytes that are not the content that was asked for.
//!
//! A response may break off, and a blob that the origin corrupts may be passed on up to its last byte; but
//! what broke off for another reason must be a beginning of the content: an error text spliced into a
//! started body becomes layer bytes in a client that resumes.

use super::verdict::{Evidence, Tally};
use crate::traffic::{Ask, Exchange};

pub(super) fn judge(evidence: &Evidence<'_>) -> Tally {
    let mut tally = Tally::default();
    for exchange in evidence.exchanges.iter().filter(|it| matches!(it.status, Some(200..=299))) {
        tally.look();
        if let Some(text) = fault_of(exchange, evidence) {
            tally.wrong(text, Some(exchange));
        }
    }
    tally
}

fn fault_of(exchange: &Exchange, evidence: &Evidence<'_>) -> Option<String> {
    let wanted = &exchange.wanted;
    if wanted.ask == Ask::Push {
        return None;
    }
    let content = &wanted.content;
    if let Some(claimed) = &exchange.false_digest {
        return Some(format!("Docker-Content-Digest says {claimed}, the content is {}", content.digest));
    }
    // What a tag named before is news of yesterday, but no lie.
    if wanted.former.contains(&exchange.digest) {
        return None;
    }
    let is_spoiled = || {
        let spoils = |it: &&str| matches!(*it, "corrupt" | "html");
        evidence.journal.iter().any(|it| it.names(&wanted.reference) && it.faults.iter().any(spoils))
    };
    // No digest can check a slice of bytes that are not here yet: it is passed on as the origin sends it.
    let is_unchecked_slice = exchange.status == Some(206) && is_spoiled();
    if exchange.completed() && !exchange.exact && !is_unchecked_slice {
        return Some(match wanted.ask {
            Ask::Head => {
                let declared = exchange.declared_bytes.unwrap_or_default();
                format!("a head that says {declared} bytes of content that has {}", content.size)
            }
            _ => format!("a complete response with wrong bytes: {} of {}", exchange.digest, content.digest),
        });
    }
    match exchange.first_wrong_byte {
        Some(at) if !is_spoiled() => {
            Some(format!("a body that broke off holds bytes that are not the content's, from byte {at}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::planted::{check, entry, findings, good, layer, tag},
        *,
    };
    use crate::{
        digest::Digest,
        origin::Entry,
        traffic::{Outcome, Wanted},
    };

    #[test]
    fn p1_wrong_bytes_are_caught() {
        let range = || layer().only(Ask::Range { first: 0, last: Some(9), takes: None });
        let wrong = |wanted| Exchange { exact: false, first_wrong_byte: Some(3), ..good(wanted) };
        for wanted in [layer(), range(), layer().only(Ask::Head)] {
            assert_eq!(findings(&check(judge, &[good(wanted.clone())], &[])), [""; 0]);
            assert_eq!(check(judge, &[wrong(wanted)], &[]).wrong, 1);
        }
        let spliced = Exchange { outcome: Outcome::Cut(String::new()), ..wrong(layer()) };
        let expect = ["a body that broke off holds bytes that are not the content's, from byte 3"];
        assert_eq!(findings(&check(judge, &[spliced], &[])), expect);
        let claimed = Exchange { false_digest: Some("x".to_owned()), ..good(layer()) };
        assert_eq!(check(judge, &[claimed], &[]).wrong, 1);
    }

    #[test]
    fn p1_what_no_digest_can_check_is_excused() {
        let corrupt = [Entry { faults: vec!["corrupt"], ..entry(&layer().path(), 0) }];
        let slice = layer().only(Ask::Range { first: 0, last: Some(9), takes: None });
        let passed_on =
            Exchange { status: Some(206), exact: false, first_wrong_byte: Some(3), ..good(slice) };
        assert_eq!(findings(&check(judge, std::slice::from_ref(&passed_on), &corrupt)), [""; 0]);
        assert_eq!(check(judge, &[Exchange { status: Some(200), ..passed_on }], &corrupt).wrong, 1);
        let former = Digest::sha256_of(b"former");
        let stale = Wanted { former: vec![former.clone()], ..tag() };
        let stale = Exchange { digest: former, exact: false, first_wrong_byte: Some(0), ..good(stale) };
        assert_eq!(findings(&check(judge, &[stale], &[])), [""; 0]);
    }
}
