//! Figures of a scenario: not judged, but worth seeing side by side.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::Serialize;

use crate::{
    digest::Digest,
    origin::SeededImage,
    traffic::{Ask, Exchange, Kind, Outcome},
    validate::Evidence,
};

/// What a scenario came to in numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Figures {
    /// How many requests reached the origin.
    pub upstream_requests: usize,
    /// How many bytes of blobs left the origin.
    pub upstream_bytes: u64,
    /// How many bytes the blobs have that clients asked for, each counted once.
    pub blob_bytes: u64,
    /// The longest time to the first byte of a blob that was cold, in milliseconds.
    pub first_byte_ms: Option<u64>,
    /// The longest time that a client waited for a first byte, or for the end where none came, in
    /// milliseconds.
    pub wait_ms: u64,
    /// How often clients saw each status; without one, how the exchange ended.
    pub statuses: BTreeMap<String, usize>,
    /// How many images a fault really met, of those that are there for one question.
    pub cells: Option<Cells>,
}

/// How many cells of a matrix a fault met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cells {
    /// In how many the fault happened.
    pub hit: usize,
    /// How many there are.
    pub all: usize,
}

impl Figures {
    /// Counts what was seen.
    #[must_use]
    pub fn of(evidence: &Evidence<'_>) -> Self {
        let blobs: BTreeMap<&Digest, u64> =
            evidence.images.iter().flat_map(SeededImage::blobs).map(|it| (&it.digest, it.size)).collect();
        let asked: BTreeSet<&Digest> = evidence
            .exchanges
            .iter()
            .filter(|it| it.wanted.kind == Kind::Blob && !matches!(it.wanted.ask, Ask::Head | Ask::Push))
            .map(|it| &it.wanted.content.digest)
            .collect();
        let sent = evidence.journal.iter().filter(|it| it.path.contains("/blobs/"));
        let cold = evidence.exchanges.iter().filter(|it| {
            it.wanted.kind == Kind::Blob && it.wanted.ask == Ask::Whole && !it.pulled_before && it.succeeded()
        });
        let mut statuses = BTreeMap::new();
        for exchange in evidence.exchanges {
            let said = match (exchange.status, &exchange.outcome) {
                (_, Outcome::TimedOut) => "hung".to_owned(),
                (None, _) => "no answer".to_owned(),
                (Some(status), Outcome::Cut(_)) => format!("{status} cut"),
                (Some(status), _) => status.to_string(),
            };
            *statuses.entry(said).or_insert(0) += 1;
        }
        Self {
            upstream_requests: evidence.journal.len(),
            upstream_bytes: sent.map(|it| it.bytes_sent).sum(),
            blob_bytes: asked.iter().filter_map(|it| blobs.get(it)).sum(),
            first_byte_ms: cold.filter_map(|it| it.first_byte).max().map(milliseconds),
            wait_ms: milliseconds(evidence.exchanges.iter().map(Exchange::wait).max().unwrap_or_default()),
            statuses,
            cells: cells(evidence),
        }
    }

    /// Returns how many bytes left the origin for each that was needed.
    #[must_use]
    pub fn bytes_ratio(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "A ratio is shown with two decimals.")]
        (self.blob_bytes > 0).then(|| self.upstream_bytes as f64 / self.blob_bytes as f64)
    }
}

fn cells(evidence: &Evidence<'_>) -> Option<Cells> {
    let questions = evidence.scenario.questions(evidence.images);
    let is_hit = |name: &str| {
        let path = format!("/v2/{name}/");
        evidence.journal.iter().any(|it| !it.faults.is_empty() && it.path.starts_with(&path))
    };
    let hit = questions.iter().filter(|(name, _)| is_hit(name)).count();
    (!questions.is_empty()).then_some(Cells { hit, all: questions.len() })
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
