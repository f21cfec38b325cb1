//! P11: what the target shows its upstream reaches no other host, neither along a redirect nor to a realm
//! that the upstream names; and what a client shows the target reaches no upstream.

use super::verdict::{Evidence, Tally};
use crate::{fault::Place, traffic::Login};

pub(super) fn judge(evidence: &Evidence<'_>) -> Tally {
    let mut tally = Tally::default();
    let clients_log_in = evidence.scenario.login == Login::Named;
    for entry in evidence.journal {
        let was_lured = entry.faults.iter().any(|it| matches!(*it, "redirect" | "challenge"));
        if was_lured || clients_log_in || entry.place == Place::Stranger {
            tally.look();
        }
        if entry.place == Place::Stranger && entry.authorized {
            tally.wrong(format!("Authorization sent to another host: {} {}", entry.method, entry.path), None);
        }
        if entry.client_secret {
            let text = format!("a client's secret sent to the upstream: {} {}", entry.method, entry.path);
            tally.wrong(text, None);
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::{
        super::planted::{check, entry, findings},
        *,
    };
    use crate::origin::Entry;

    #[test]
    fn p11_a_secret_that_leaks_is_caught() {
        let lured = || Entry { authorized: true, faults: vec!["redirect"], ..entry("/v2/a/blobs/x", 0) };
        let stranger = || Entry { place: Place::Stranger, ..entry("/v2/a/blobs/x", 1) };
        assert_eq!(findings(&check(judge, &[], &[lured(), stranger()])), [""; 0]);
        let leak = Entry { authorized: true, ..stranger() };
        let verdict = check(judge, &[], &[lured(), leak]);
        assert_eq!(findings(&verdict), ["Authorization sent to another host: GET /v2/a/blobs/x"]);
        let passed_on = Entry { client_secret: true, ..lured() };
        let verdict = check(judge, &[], &[passed_on]);
        assert_eq!(findings(&verdict), ["a client's secret sent to the upstream: GET /v2/a/blobs/x"]);
    }
}
