//! P7: what was pulled before is served, promptly, while the origin is away; and what has a digest for its
//! name also while the origin answers whatever it likes.

use std::time::Duration;

use super::verdict::{Evidence, Tally};
use crate::traffic::{Exchange, Upstream};

/// The longest wait for the first byte of cached content. A check of the upstream that fails may come first.
const PROMPT: Duration = Duration::from_secs(10);

pub(super) fn judge(evidence: &Evidence<'_>) -> Tally {
    let mut tally = Tally::default();
    let needs_no_origin = |it: &&Exchange| {
        it.pulled_before && (it.upstream == Upstream::Down || (it.troubled && it.wanted.by_digest()))
    };
    for exchange in evidence.exchanges.iter().filter(needs_no_origin) {
        tally.look();
        if !exchange.succeeded() {
            let text = match exchange.upstream {
                Upstream::Down => "content that was pulled before is not served without the origin",
                Upstream::Up => "content that was pulled before is not served while the origin is broken",
            };
            tally.wrong(text.to_owned(), Some(exchange));
        } else if exchange.wait() > PROMPT {
            let text = format!("cached content took more than {} s", PROMPT.as_secs());
            tally.wrong(text, Some(exchange));
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::{
        super::planted::{check, findings, good, layer, refused, tag},
        *,
    };

    #[test]
    fn p7_cached_content_that_needs_the_origin_is_caught() {
        let cached = |it: Exchange| Exchange { pulled_before: true, troubled: true, ..it };
        assert_eq!(findings(&check(judge, &[cached(good(layer()))], &[])), [""; 0]);
        let verdict = check(judge, &[cached(refused(layer(), 502))], &[]);
        let expect = ["content that was pulled before is not served while the origin is broken"];
        assert_eq!(findings(&verdict), expect);
        let away = Exchange { upstream: Upstream::Down, ..cached(refused(tag(), 502)) };
        let expect = ["content that was pulled before is not served without the origin"];
        assert_eq!(findings(&check(judge, &[away], &[])), expect);
        let late = Exchange { first_byte: Some(PROMPT * 2), ..cached(good(layer())) };
        assert_eq!(findings(&check(judge, &[late], &[])), ["cached content took more than 10 s"]);
    }
}
