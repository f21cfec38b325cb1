//! P1: no response completes with bytes that are not the content that was asked for.
//!
//! A response may break off, and a blob that the origin corrupts may be passed on up to its last byte; but
//! what broke off for another reason must be a beginning of the content: an error text spliced into a
//! started body becomes layer bytes in a client that resumes.

use super::verdict::{Evidence, Tally};
use crate::traffic::Exchange;

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
    let content = &exchange.wanted.content;
    if exchange.completed() && exchange.digest != content.digest {
        return Some(format!(
            "a complete response with wrong bytes: {} instead of {}",
            exchange.digest, content.digest
        ));
    }
    if let Some(claimed) = &exchange.false_digest {
        return Some(format!("Docker-Content-Digest says {claimed}, the content is {}", content.digest));
    }
    let spoiled = |it: &&crate::origin::Entry| {
        it.names(&exchange.wanted.reference)
            && it.faults.iter().any(|fault| matches!(*fault, "corrupt" | "html"))
    };
    match exchange.first_wrong_byte {
        Some(at) if !evidence.journal.iter().any(|it| spoiled(&it)) => {
            Some(format!("a body that broke off holds bytes that are not the content's, from byte {at}"))
        }
        _ => None,
    }
}
