//! The matrix: every fault, met cold and warm, by every question that a client can ask. One scenario a
//! fault, twelve cells each.
//!
//! A cell is an image of its own, so that no two of them share a manifest or a layer. The warm ones are
//! pulled before the fault begins.

use super::{Expect, Image, Scenario, Step};
use crate::{
    digest::Algorithm,
    fault::{At, Destination, DigestHeader, Fault, Realm, Rule, Selector},
    stand::Needs,
    traffic::{Login, Question},
    validate::Validator,
};

/// The family's name.
const FAMILY: &str = "matrix";
/// The size of the first cell's layer: more than what is verified before the status line.
const LAYER_BYTES: usize = 100_000;
/// For how long a client asks again after the fault: longer than anything is remembered against an upstream.
const PATIENCE_MS: u64 = 30_000;
/// What a warm repository's name begins with.
const WARM: &str = "matrix/warm";
const COLD: &str = "matrix/cold";

const VALIDATORS: [Validator; 6] = [
    Validator::Content,
    Validator::Bounded,
    Validator::Outage,
    Validator::Statuses,
    Validator::Ends,
    Validator::Completes,
];

/// Makes the family.
pub(super) fn scenarios() -> Vec<Scenario> {
    faults().into_iter().map(|(name, fault)| scenario(name, fault)).collect()
}

fn scenario(name: &str, fault: Fault) -> Scenario {
    // Only these lead to another host.
    let lures = matches!(fault, Fault::Redirect { .. } | Fault::Challenge { .. });
    let secrets = lures.then_some(Validator::Secrets);
    Scenario {
        name: format!("{FAMILY}/{name}"),
        about: format!("Everything that is asked of the origin suffers `{}`, cold and warm.", fault.name()),
        needs: Needs::default(),
        access: None,
        login: Login::Anonymous,
        images: images(),
        faults: vec![Rule { on: Selector::any("/v2/matrix/*"), fault }],
        traffic: vec![
            Step::Pull { clients: 1, expect: Expect::Complete, patience_ms: 0, only: WARM.to_owned() },
            Step::Rest,
            Step::Break,
            Step::Questions { expect: Expect::Any, patience_ms: 0 },
            Step::Heal,
            Step::Questions { expect: Expect::Complete, patience_ms: PATIENCE_MS },
        ],
        validators: VALIDATORS.into_iter().chain(secrets).collect(),
    }
}

fn images() -> Vec<Image> {
    let cells = [COLD, WARM].into_iter().flat_map(|state| Question::ALL.map(|question| (state, question)));
    let image = |(number, (state, question)): (usize, (&str, Question))| Image {
        repository: format!("{state}-{}", question.name()),
        tag: "v1".to_owned(),
        layers: vec![LAYER_BYTES + number],
        algorithm: Algorithm::Sha256,
        question: Some(question),
    };
    cells.enumerate().map(image).collect()
}

/// Returns the faults, the slow ones first.
fn faults() -> Vec<(&'static str, Fault)> {
    let middle = At::Percent(50);
    let status = |status| Fault::Status { status, retry_after: None };
    let limited = |status| Fault::Status { status, retry_after: Some("1".to_owned()) };
    let redirect = |to| Fault::Redirect { to, status: 307 };
    vec![
        ("stall-headers", Fault::StallHeaders),
        ("stall-body", Fault::StallBody { at: middle, ms: None }),
        ("drip", Fault::Drip { bytes: 2048, ms: 10 }),
        ("latency", Fault::Latency { ms: 300 }),
        ("short-stall", Fault::StallBody { at: middle, ms: Some(300) }),
        ("status-400", status(400)),
        ("status-401", status(401)),
        ("status-403", status(403)),
        ("status-404", status(404)),
        ("status-408", status(408)),
        ("status-429", status(429)),
        ("status-429-seconds", limited(429)),
        ("status-429-date", Fault::StatusUntil { status: 429, seconds: 2 }),
        ("status-500", status(500)),
        ("status-502", status(502)),
        ("status-503", status(503)),
        ("status-503-seconds", limited(503)),
        ("status-504", status(504)),
        ("reset-headers", Fault::ResetHeaders),
        ("close-headers", Fault::CloseHeaders),
        ("reset-body", Fault::Reset { at: middle }),
        ("truncated", Fault::Truncate { at: middle }),
        ("corrupt", Fault::Corrupt { at: middle }),
        ("too-short-a-length", Fault::ContentLength { delta: -10 }),
        ("too-long-a-length", Fault::ContentLength { delta: 10 }),
        ("digest-missing", Fault::DigestHeader { value: DigestHeader::Missing }),
        ("digest-false", Fault::DigestHeader { value: DigestHeader::False }),
        ("digest-garbage", Fault::DigestHeader { value: DigestHeader::Garbage }),
        ("html", Fault::Html),
        ("wrong-type", Fault::ContentType { value: "text/plain".to_owned() }),
        ("redirect-loop", redirect(Destination::Itself)),
        ("redirect-foreign", redirect(Destination::Stranger)),
        ("redirect-nowhere", redirect(Destination::Nowhere)),
        ("redirect-scheme", redirect(Destination::OtherScheme)),
        ("token-refused", Fault::Challenge { realm: Realm::Own }),
        ("realm-foreign", Fault::Challenge { realm: Realm::Stranger }),
        ("refused", Fault::Refuse),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_cell_is_an_image_of_its_own() {
        let scenarios = scenarios();
        assert_eq!(scenarios.len(), 37);
        for scenario in scenarios {
            let images = &scenario.images;
            assert_eq!(images.len(), 2 * Question::ALL.len(), "{}", scenario.name);
            let sizes: HashSet<_> = images.iter().map(|it| it.layers.clone()).collect();
            assert_eq!(sizes.len(), images.len(), "layers of one size would be shared");
        }
    }
}
