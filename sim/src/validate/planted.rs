//! Histories made by hand, for the proof that each validator fails on a wrong one.

use std::time::Duration;

use super::{
    Evidence, Finding, Ruling, Validator, Verdict,
    verdict::{Tally, ruled},
};
use crate::{
    digest::{Algorithm, Digest},
    fault::Place,
    origin::{Entry, SeededBlob, SeededImage},
    scenario::{Expect, Scenario, Step},
    stand::{Breaker, Needs, Retries, Stand},
    traffic::{Ask, Exchange, Login, Outcome, Upstream, Wanted},
};

/// The stand of every planted history.
pub(super) fn stand() -> Stand {
    Stand {
        account: true,
        retries: Some(Retries { max: 2, delay_ms: 200 }),
        breaker: Some(Breaker { failures: 2, delay_ms: 1000 }),
        ..Stand::plain("http://127.0.0.1:5000", "127.0.0.1:5001")
    }
}

/// An image of a configuration and one layer of a thousand bytes.
pub(super) fn image() -> SeededImage {
    let blob = |text: &str, size| SeededBlob { digest: Digest::sha256_of(text.as_bytes()), size };
    SeededImage {
        repository: "planted/app".to_owned(),
        tag: Some("v1".to_owned()),
        manifest: blob("manifest", 300),
        config: blob("config", 100),
        layers: vec![blob("layer", 1000)],
    }
}

/// The layer of the image, as a client asks for it.
pub(super) fn layer() -> Wanted {
    Wanted::blob("planted/app", &image().layers[0])
}

/// The tag of the image, as a client asks for it.
pub(super) fn tag() -> Wanted {
    Wanted { reference: "v1".to_owned(), ..Wanted::manifest("planted/app", &image().manifest) }
}

/// An exchange that went well.
pub(super) fn good(wanted: Wanted) -> Exchange {
    let size = if wanted.ask == Ask::Head { 0 } else { wanted.content.size };
    Exchange {
        step: 0,
        client: 0,
        attempt: 1,
        upstream: Upstream::Up,
        troubled: false,
        pulled_before: false,
        status: Some(200),
        declared_bytes: Some(wanted.content.size),
        false_digest: None,
        retry_after: None,
        outcome: Outcome::Complete,
        bytes: size,
        digest: wanted.content.digest.clone(),
        exact: true,
        first_wrong_byte: None,
        error_body: None,
        first_byte: Some(Duration::from_millis(2)),
        total: Duration::from_millis(3),
        origin_sent_at_first_byte: Some(10),
        wanted,
    }
}

/// An exchange that was refused with a status.
pub(super) fn refused(wanted: Wanted, status: u16) -> Exchange {
    Exchange {
        status: Some(status),
        exact: false,
        digest: Digest::sha256_of(b"error"),
        error_body: Some(r#"{"errors":[{"code":"UNKNOWN"}]}"#.to_owned()),
        ..good(wanted)
    }
}

/// A request that reached the origin so many milliseconds after its start, and was answered with 200.
pub(super) fn entry(path: &str, at_ms: u64) -> Entry {
    Entry {
        sequence: at_ms,
        method: "GET".to_owned(),
        path: path.to_owned(),
        query: String::new(),
        range: None,
        authorized: false,
        client_secret: false,
        place: Place::First,
        status: Some(200),
        bytes_sent: 1000,
        complete: true,
        faults: Vec::new(),
        at: Duration::from_millis(at_ms),
    }
}

/// The same request, answered with a status.
pub(super) fn failed(path: &str, at_ms: u64, status: u16) -> Entry {
    Entry { status: Some(status), faults: vec!["status"], ..entry(path, at_ms) }
}

/// Lets a validator's function judge a history.
pub(super) fn check(
    judge: impl FnOnce(&Evidence<'_>) -> Tally,
    exchanges: &[Exchange],
    journal: &[Entry],
) -> Verdict {
    let scenario = Scenario {
        name: "planted".to_owned(),
        about: String::new(),
        needs: Needs::default(),
        access: None,
        login: Login::Anonymous,
        images: Vec::new(),
        faults: Vec::new(),
        traffic: vec![Step::Heads { clients: 1, expect: Expect::Complete }],
        validators: Vec::new(),
    };
    let (stand, images) = (stand(), [image()]);
    let evidence = Evidence { scenario: &scenario, stand: &stand, images: &images, exchanges, journal };
    ruled(Validator::Content, judge(&evidence))
}

/// Returns the texts of the findings; the history must have been looked at.
pub(super) fn findings(verdict: &Verdict) -> Vec<&str> {
    assert_ne!(verdict.ruling, Ruling::Vacuous, "nothing was looked at");
    verdict.findings.iter().map(|Finding { text, .. }| text.as_str()).collect()
}

#[test]
fn the_planted_image_is_of_one_algorithm() {
    assert!(image().blobs().all(|it| it.digest.algorithm() == Algorithm::Sha256));
}
