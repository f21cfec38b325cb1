//! The plan of a seed.

use super::plan::{Ask, Event, Fault, Happening, Kind, Loss, Move, Op, Plan, Settings, Target};
use crate::rng::Rng;

/// Sizes of layers at which something changes: nothing, verified first, several reads.
const SIZES: [usize; 7] = [0, 1, 1000, 65_536, 65_537, 200_000, 600_000];
/// The most of each, in one plan.
const CLIENTS_MAX: u64 = 5;
const ASKS_MAX: u64 = 7;
const TROUBLES_MAX: u64 = 7;
const MOVES_MAX: u64 = 3;
const EVENTS_MAX: u64 = 3;
/// Over which time clients come.
const SPAN_MS: u64 = 60_000;
/// Moments at which something is under way, since clients often come a little earlier.
const BUSY_MS: [u64; 9] = [15, 45, 90, 200, 500, 1_100, 1_600, 15_100, 20_200];

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
        let faults =
            (0..rng.below(TROUBLES_MAX + 1)).flat_map(|_| trouble(rng, &images, settings.urls)).collect();
        let events = events(rng, &images, &settings);
        Self { seed, settings, images, moves, clients, faults, events }
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
        range_wait: pick(rng, &[0, 0, 30_000, 8 << 20]),
        range_max: pick(rng, &[10_000, 70_000, 16 << 20]),
        cache_bytes: pick(rng, &[None, None, Some(1), Some(100_000), Some(500_000)]),
        disk_bytes: pick(rng, &[None, None, None, None, None, None, Some(50_000), Some(400_000)]),
        token_ms: pick(rng, &[0, 0, 2_000, 3_600_000]),
        pause_ms: pick(rng, &[2, 2, 60]),
        redirects: pick(rng, &[false, false, true]),
    }
}

fn layers(rng: &mut Rng) -> Vec<usize> {
    (0..=rng.below(3)).map(|_| pick(rng, &SIZES)).collect()
}

fn target(rng: &mut Rng, images: &[Vec<usize>]) -> Target {
    let image = below(rng, images.len());
    match rng.below(4) {
        0 => Target::Tag(below(rng, Plan::repositories())),
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
    match rng.below(9) {
        0 => Op::Head,
        1 | 2 => {
            let from = u32::try_from(rng.below(1000)).unwrap_or_default();
            Op::Range(from, from + u32::try_from(rng.below(1000)).unwrap_or_default())
        }
        3 => Op::Leave(pick(rng, &[0, 1, 20, 2_000])),
        _ => Op::Get,
    }
}

/// Makes what goes wrong in one place: one thing, several with the same answer, or another one each time.
fn trouble(rng: &mut Rng, images: &[Vec<usize>], urls: usize) -> Vec<Fault> {
    let (url, target) = (below(rng, urls), target(rng, images));
    let (nth, times) = (pick(rng, &[1, 1, 1, 2, 3]), pick(rng, &[1, 1, 2, 3, 1000]));
    let first = Fault { url, target, nth, times, kind: kind(rng) };
    let mut all = vec![first];
    match rng.below(6) {
        0 | 1 => all.push(Fault { kind: body(rng), ..all[0].clone() }),
        2 => {
            all.push(Fault { kind: body(rng), ..all[0].clone() });
            all.push(Fault { kind: body(rng), ..all[0].clone() });
        }
        3 => {
            all[0].times = 1;
            for later in 1..=pick(rng, &[1, 2, 4]) {
                all.push(Fault { nth: nth + later, times: 1, kind: kind(rng), ..all[0].clone() });
            }
        }
        _ => {}
    }
    all
}

fn place(rng: &mut Rng) -> u32 {
    let anywhere = u32::try_from(rng.below(1000)).unwrap_or_default();
    pick(rng, &[0, anywhere, anywhere, anywhere, 999])
}

fn kind(rng: &mut Rng) -> Kind {
    match rng.below(17) {
        0 => Kind::Refuse,
        1 => Kind::Reset,
        2 => Kind::Silence,
        3 => Kind::Status(pick(rng, &[400, 401, 403, 404, 408]), None),
        4 => Kind::Status(pick(rng, &[500, 502, 503, 504]), None),
        5 => Kind::Status(pick(rng, &[429, 503]), Some(pick(rng, &[0, 1, 30]))),
        6 => Kind::Until(pick(rng, &[429, 503]), pick(rng, &[2, 30])),
        _ => body(rng),
    }
}

/// Makes what goes wrong with an answer that is one.
fn body(rng: &mut Rng) -> Kind {
    let at = place(rng);
    match rng.below(13) {
        0 => Kind::Late(pick(rng, &[100, 1_500, 10_000])),
        1 => Kind::ResetAt(at),
        2 | 3 => Kind::CutAt(at),
        4 => Kind::ShortAt(at),
        5 => Kind::StallAt(at),
        6 => Kind::FlipAt(at),
        7 => Kind::Length(pick(rng, &[-1000, -1, 1, 1000])),
        8 if pick(rng, &[0, 1]) == 0 => Kind::Html,
        8 => Kind::FalseDigest,
        9 => Kind::NoRange,
        10 => Kind::Shift(pick(rng, &[1, 5_000])),
        11 => Kind::Other(pick(rng, &[-1000, -1, 0, 1, 1000])),
        _ => Kind::Drip(pick(rng, &[10, 5_000])),
    }
}

fn events(rng: &mut Rng, images: &[Vec<usize>], settings: &Settings) -> Vec<Event> {
    if rng.below(2) == 0 {
        return Vec::new();
    }
    let mut events: Vec<Event> = (0..=rng.below(EVENTS_MAX))
        .map(|_| Event { at_ms: moment(rng), what: happening(rng, images, settings) })
        .collect();
    events.sort_by_key(|event| event.at_ms);
    events
}

fn moment(rng: &mut Rng) -> u64 {
    let any = rng.below(SPAN_MS);
    if rng.below(4) == 0 { any } else { pick(rng, &BUSY_MS) }
}

fn happening(rng: &mut Rng, images: &[Vec<usize>], settings: &Settings) -> Happening {
    let some = rng.next_u64() >> 32;
    match rng.below(6) {
        0 => Happening::Purge(target(rng, images)),
        1 => Happening::PurgeAll(below(rng, Plan::repositories())),
        2 if settings.disk_bytes.is_none() => {
            let loss = pick(rng, &[Loss::Nothing, Loss::Bytes, Loss::Everything, Loss::Some(some)]);
            Happening::Kill(loss)
        }
        3 | 4 if settings.disk_bytes.is_none() => Happening::Restart,
        _ => Happening::Evict,
    }
}

#[cfg(test)]
mod tests {
    //! Goal: a plan is its seed. Method: some hundred of them.

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
