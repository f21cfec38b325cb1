//! Goal: whatever an upstream does, in whatever order clients come, no promise is broken.
//! Method: the real engine over a model upstream, one thread, paused time: a seed makes a plan, a plan replays
//! exactly, a failing one is shrunk to the smallest that still fails.
//!
//! | variable | says |
//! |---|---|
//! | `WHARFINGER_SEEDS` | `N` or `FROM..TO`: which seeds run (default: the first 300) |
//! | `WHARFINGER_PLAN` | a file with a plan, which runs instead |
//! | `WHARFINGER_MUTANT` | the mistake that is planted, where the feature `mutants` has it |
//! | `WHARFINGER_SHRUNK` | the folder for shrunk plans (default: the folder for temporary files) |

#![cfg(test)]
#![recursion_limit = "256"]

mod coverage;
mod drive;
mod entropy;
mod process;
mod transport;

use std::ops::Range;

use sim::trial::{Broken, Plan, judge, shrink};

use crate::coverage::Coverage;
use crate::drive::{Run, run};

/// Seeds of an ordinary test run.
const SEEDS: Range<u64> = 0..300;
/// Every so many seeds run twice, and must do the same.
const REPEATED: u64 = 100;

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("WHARFINGER_SEEDS") else { return SEEDS };
    let number = |text: &str| {
        text.parse::<u64>().unwrap_or_else(|_| panic!("WHARFINGER_SEEDS: {text:?} is no number"))
    };
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => 0..number(&text),
    }
}

fn judged(plan: &Plan) -> (Run, Vec<Broken>) {
    let run = run(plan);
    let broken = judge(plan, &run.world.lock().unwrap(), &run.history);
    (run, broken)
}

/// Says what failed, with the smallest plan that fails the same promise, and how to replay it.
fn report(plan: &Plan, broken: &[Broken]) -> String {
    let promise = broken[0].promise;
    let fails = |plan: &Plan| judged(plan).1.iter().any(|it| it.promise == promise);
    let smallest = shrink(plan, fails);
    let (run, rest) = judged(&smallest);
    let folder = std::env::var_os("WHARFINGER_SHRUNK").map_or_else(std::env::temp_dir, Into::into);
    let file = folder.join(format!("plan-{}-{promise}.json", plan.seed));
    std::fs::write(&file, serde_json::to_string_pretty(&smallest).unwrap()).unwrap();
    let lines: Vec<String> = rest.iter().map(ToString::to_string).collect();
    let asked: Vec<String> = run.world.lock().unwrap().journal().iter().map(|it| format!("{it:?}")).collect();
    format!(
        "seed {}: {}\n\nshrunk: {} faults, {} clients\n{}\n\nclients:\n{}\n\nupstream:\n{}\n\nreplay: cargo xtask sim --plan {}\n",
        plan.seed,
        broken[0],
        smallest.faults.len(),
        smallest.clients.len(),
        lines.join("\n"),
        run.history.trace().join("\n"),
        asked.join("\n"),
        file.display(),
    )
}

#[test]
fn no_promise_is_broken() {
    if let Some(file) = std::env::var_os("WHARFINGER_PLAN") {
        let plan: Plan = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let (run, broken) = judged(&plan);
        println!("{}", run.history.trace().join("\n"));
        assert!(broken.is_empty(), "{}", report(&plan, &broken));
        return;
    }
    let mut coverage = Coverage::default();
    let seeds = seeds();
    for seed in seeds.clone() {
        let plan = Plan::of(seed);
        let (run, broken) = judged(&plan);
        assert!(broken.is_empty(), "{}", report(&plan, &broken));
        if seed % REPEATED == 0 {
            let again = self::run(&plan);
            let (one, two) = (settled(&run.history.trace()), settled(&again.history.trace()));
            assert!(one == two, "seed {seed} did not replay\n{one}\n\n{two}");
        }
        coverage.count(&plan, &run);
    }
    println!("seeds {seeds:?}\n{coverage}");
    coverage.check(seeds.end - seeds.start);
}

/// Returns a trace without what became of a client that left at the moment of its request: tokio wakes those who
/// watch one channel in an order of its own, which hangs on how many runtimes the process has had before.
fn settled(trace: &[String]) -> String {
    let cut =
        |line: &String| line.find(" Leave(0) ").map_or_else(|| line.clone(), |at| line[..at].to_owned());
    trace.iter().map(cut).collect::<Vec<_>>().join("\n")
}

/// Runs until the mistake that is planted in this process is found, and says so in one line; without one it is
/// nothing to do.
#[test]
fn a_planted_mistake_is_found() {
    if std::env::var_os("WHARFINGER_MUTANT").is_none() {
        return;
    }
    for (tried, seed) in seeds().enumerate() {
        let plan = Plan::of(seed);
        // A life that panics has found it as well: it did not end, or something was answered that is no answer.
        let promise = match std::panic::catch_unwind(|| judged(&plan).1.first().map(|it| it.promise)) {
            Ok(None) => continue,
            Ok(Some(promise)) => promise,
            Err(_) => "L2",
        };
        println!("mutant: killed {promise} seed {seed} tried {}", tried + 1);
        return;
    }
    println!("mutant: survived");
}

/// The canary: a harness that finds nothing must be told from a cache that does nothing wrong.
#[test]
fn a_planted_fault_is_found_and_shrunk() {
    let spoil = |run: &mut Run| {
        let mut whole = run.history.seen.iter_mut().filter(|it| it.whole && it.status == Some(200));
        let seen = whole.find(|it| it.body.len() > 10)?;
        seen.body[5] ^= 1;
        Some(())
    };
    let fails = |plan: &Plan| {
        let mut run = run(plan);
        spoil(&mut run);
        judge(plan, &run.world.lock().unwrap(), &run.history).iter().any(|it| it.promise == "P1")
    };
    let plan = (0..).map(Plan::of).find(|plan| plan.faults.len() > 2 && fails(plan)).unwrap();
    let smallest = shrink(&plan, fails);
    assert!(smallest.faults.is_empty(), "{smallest:?}");
    assert!(smallest.clients.len() <= 1, "{smallest:?}");
}
