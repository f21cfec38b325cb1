//! P7: what was pulled before is served, promptly, while the origin is away.

use std::time::Duration;

use super::verdict::{Evidence, Tally};
use crate::traffic::Upstream;

/// The longest wait for the first byte of cached content. A check of the upstream that fails may come first.
const PROMPT: Duration = Duration::from_secs(10);

pub(super) fn judge(evidence: &Evidence<'_>) -> Tally {
    let mut tally = Tally::default();
    for exchange in evidence.exchanges.iter().filter(|it| it.upstream == Upstream::Down && it.pulled_before) {
        tally.look();
        if !exchange.succeeded() {
            tally.wrong(
                "content that was pulled before is not served without the origin".to_owned(),
                Some(exchange),
            );
        } else if exchange.first_byte.is_some_and(|it| it > PROMPT) {
            let text = format!("cached content took more than {} s without the origin", PROMPT.as_secs());
            tally.wrong(text, Some(exchange));
        }
    }
    tally
}
