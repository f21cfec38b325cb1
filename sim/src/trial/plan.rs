//! What happens in a trial, as data.

use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// Repositories of the upstream; few, so that clients meet.
const REPOSITORIES: usize = 2;
/// Sizes of layers at which something changes: nothing, verified first, several reads.
const SIZES: [usize; 7] = [0, 1, 1000, 65_536, 65_537, 200_000, 600_000];
/// The most of each, in one plan.
const CLIENTS_MAX: u64 = 5;
const ASKS_MAX: u64 = 7;
const FAULTS_MAX: u64 = 8;
const MOVES_MAX: u64 = 3;
/// Over which time clients come.
const SPAN_MS: u64 = 60_000;

/// A trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Decides bytes and latencies.
    pub seed: u64,
    /// How the cache is configured.
    pub settings: Settings,
    /// Sizes of the layers of each image; image `i` is in repository `i % 2`, under the tag `v`.
    pub images: Vec<Vec<usize>>,
    /// When a repository's tag moves to another of its images.
    pub moves: Vec<Move>,
    /// What clients ask, one after another within each.
    pub clients: Vec<Vec<Ask>>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

/// How the cache is configured; times in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Mirrors of the same content.
    pub urls: usize,
    /// `maxRetries`.
    pub retries: u32,
    /// `retryDelay`.
    pub retry_delay_ms: u64,
    /// `onDemandTimeout`.
    pub on_demand_ms: u64,
    /// `responseTimeout`.
    pub response_ms: u64,
    /// `checkTimeout`.
    pub check_ms: u64,
    /// `manifestCheckInterval`.
    pub interval_ms: u64,
    /// `negativeTtl`.
    pub negative_ms: u64,
    /// `breakerFailures`.
    pub breaker: u32,
}

/// A tag moves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// When.
    pub at_ms: u64,
    /// To which image; its repository's tag moves.
    pub image: usize,
}

/// Something of the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The manifest that the tag of a repository points at.
    Tag(usize),
    /// The manifest of an image, by digest.
    Manifest(usize),
    /// A layer of an image.
    Layer(usize, usize),
}

/// What a client does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Pulls it whole.
    Get,
    /// Asks whether it is there.
    Head,
    /// Pulls a part, from and to in thousandths of the size.
    Range(u32, u32),
    /// Begins to pull it, and leaves after so many milliseconds.
    Leave(u64),
}

/// One request of a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// Not before this moment, and after the client's request before it.
    pub at_ms: u64,
    /// For what.
    pub target: Target,
    /// How.
    pub op: Op,
}

/// What goes wrong, with which request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// Which url, by its place in the configuration.
    pub url: usize,
    /// What is asked for.
    pub target: Target,
    /// From which request for it at that url on, counted from 1, HEAD and GET together.
    pub nth: u32,
    /// For how many requests.
    pub times: u32,
    /// What happens.
    pub kind: Kind,
}

/// What happens to a response. Positions are in thousandths of the body.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The connection is refused.
    Refuse,
    /// It is reset before a head comes.
    Reset,
    /// No head ever comes.
    Silence,
    /// The head comes so many milliseconds late.
    Late(u64),
    /// Another status, perhaps with Retry-After in seconds.
    Status(u16, Option<u64>),
    /// The body is reset there.
    ResetAt(u32),
    /// The body ends there, short of its length.
    CutAt(u32),
    /// The body ends there, and no length was told: a clean end.
    ShortAt(u32),
    /// The body stands still there.
    StallAt(u32),
    /// A byte is another one.
    FlipAt(u32),
    /// The length is told wrong by so much.
    Length(i64),
    /// A page of the web instead.
    Html,
    /// The digest in the header is another one.
    FalseDigest,
    /// A range is not honoured.
    NoRange,
    /// The body comes in pieces of so many bytes, with a second between.
    Drip(u32),
}

impl Plan {
    /// Makes the plan of a seed: the same for the same seed, always.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let rng = &mut Rng::labelled(seed, "plan");
        let settings = settings(rng);
        let images = (0..2 + below(rng, 3)).map(|_| layers(rng)).collect::<Vec<_>>();
        let moves = (0..rng.below(MOVES_MAX + 1))
            .map(|_| Move { at_ms: rng.below(SPAN_MS), image: below(rng, images.len()) })
            .collect();
        let clients = (0..=rng.below(CLIENTS_MAX)).map(|_| client(rng, &images)).collect();
        let faults = (0..rng.below(FAULTS_MAX + 1)).map(|_| fault(rng, &images, settings.urls)).collect();
        Self { seed, settings, images, moves, clients, faults }
    }

    /// Returns the number of repositories.
    #[must_use]
    pub const fn repositories() -> usize {
        REPOSITORIES
    }

    /// Returns the repository of an image.
    #[must_use]
    pub const fn repository_of(image: usize) -> usize {
        image % REPOSITORIES
    }
}

fn below(rng: &mut Rng, limit: usize) -> usize {
    usize::try_from(rng.below(limit as u64)).unwrap_or_default()
}

fn pick<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[below(rng, of.len())]
}

fn settings(rng: &mut Rng) -> Settings {
    Settings {
        urls: pick(rng, &[1, 1, 2, 3]),
        retries: pick(rng, &[0, 1, 2, 4]),
        retry_delay_ms: pick(rng, &[0, 100, 1_000, 5_000, 300_000]),
        on_demand_ms: pick(rng, &[0, 3_000, 20_000, 60_000]),
        response_ms: pick(rng, &[2_000, 30_000]),
        check_ms: pick(rng, &[500, 3_000]),
        interval_ms: pick(rng, &[0, 0, 10_000]),
        negative_ms: pick(rng, &[0, 10_000]),
        breaker: pick(rng, &[0, 2, 5]),
    }
}

fn layers(rng: &mut Rng) -> Vec<usize> {
    (0..=rng.below(3)).map(|_| pick(rng, &SIZES)).collect()
}

fn target(rng: &mut Rng, images: &[Vec<usize>]) -> Target {
    let image = below(rng, images.len());
    match rng.below(4) {
        0 => Target::Tag(below(rng, REPOSITORIES)),
        1 => Target::Manifest(image),
        _ => Target::Layer(image, below(rng, images[image].len())),
    }
}

fn client(rng: &mut Rng, images: &[Vec<usize>]) -> Vec<Ask> {
    // Often at the same moment as others, so that they meet.
    let begin = pick(rng, &[0, 0, 0, 1, 1_000, 20_000]);
    (0..=rng.below(ASKS_MAX))
        .map(|_| Ask {
            at_ms: begin + pick(rng, &[0, 0, 500, 15_000]),
            target: target(rng, images),
            op: op(rng),
        })
        .collect()
}

fn op(rng: &mut Rng) -> Op {
    match rng.below(8) {
        0 => Op::Head,
        1 => {
            let from = u32::try_from(rng.below(1000)).unwrap_or_default();
            Op::Range(from, from + u32::try_from(rng.below(1000)).unwrap_or_default())
        }
        2 => Op::Leave(pick(rng, &[0, 1, 20, 2_000])),
        _ => Op::Get,
    }
}

fn fault(rng: &mut Rng, images: &[Vec<usize>], urls: usize) -> Fault {
    Fault {
        url: below(rng, urls),
        target: target(rng, images),
        nth: pick(rng, &[1, 1, 1, 2, 3]),
        times: pick(rng, &[1, 1, 2, 3, 1000]),
        kind: kind(rng),
    }
}

fn kind(rng: &mut Rng) -> Kind {
    let at = u32::try_from(rng.below(1000)).unwrap_or_default();
    match rng.below(16) {
        0 => Kind::Refuse,
        1 => Kind::Reset,
        2 => Kind::Silence,
        3 => Kind::Late(pick(rng, &[100, 1_500, 10_000])),
        4 => Kind::Status(pick(rng, &[400, 401, 403, 404, 408]), None),
        5 => Kind::Status(pick(rng, &[500, 502, 503, 504]), None),
        6 => Kind::Status(pick(rng, &[429, 503]), Some(pick(rng, &[0, 1, 30]))),
        7 => Kind::ResetAt(at),
        8 => Kind::CutAt(at),
        9 => Kind::ShortAt(at),
        10 => Kind::StallAt(at),
        11 => Kind::FlipAt(at),
        12 => Kind::Length(pick(rng, &[-1, 1, 1000])),
        13 if pick(rng, &[0, 1]) == 0 => Kind::Html,
        13 => Kind::FalseDigest,
        14 => Kind::NoRange,
        _ => Kind::Drip(pick(rng, &[10, 5_000])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_its_seed_and_survives_writing() {
        for seed in 0..200 {
            let plan = Plan::of(seed);
            assert_eq!(plan, Plan::of(seed));
            let text = serde_json::to_string(&plan).unwrap();
            assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
        }
        assert_ne!(Plan::of(1), Plan::of(2));
    }
}
