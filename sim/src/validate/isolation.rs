//! P10: what one repository holds is not read through another one, and what another one holds cannot be told
//! from what nobody holds.

use std::collections::BTreeMap;

use super::verdict::{Evidence, Tally};
use crate::traffic::Exchange;

pub(super) fn judge(evidence: &Evidence<'_>) -> Tally {
    let mut tally = Tally::default();
    let mut answers: BTreeMap<(&str, bool), &Exchange> = BTreeMap::new();
    for exchange in evidence.exchanges.iter().filter(|it| it.wanted.trespass) {
        tally.look();
        if exchange.status.is_some_and(|it| it < 300) {
            let text = "content of one repository is given in another one".to_owned();
            tally.wrong(text, Some(exchange));
        }
        let is_blob = exchange.wanted.kind == crate::traffic::Kind::Blob;
        let other = answers.entry((exchange.wanted.ask.method(), is_blob)).or_insert(exchange);
        if other.status != exchange.status {
            let text = "what another repository holds is refused in another way than what nobody holds";
            tally.wrong(text.to_owned(), Some(exchange));
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::{
        super::planted::{check, findings, good, layer, refused},
        *,
    };
    use crate::traffic::Wanted;

    #[test]
    fn p10_another_repositorys_content_is_caught() {
        let foreign = || Wanted { trespass: true, ..layer() };
        let honest = [refused(foreign(), 404), refused(foreign(), 404)];
        assert_eq!(findings(&check(judge, &honest, &[])), [""; 0]);
        let given = check(judge, &[good(foreign())], &[]);
        assert_eq!(findings(&given), ["content of one repository is given in another one"]);
        let told = check(judge, &[refused(foreign(), 404), refused(foreign(), 403)], &[]);
        let expect = ["what another repository holds is refused in another way than what nobody holds"];
        assert_eq!(findings(&told), expect);
    }
}
