//! `cargo xtask mutants`: plants one mistake after another, and sees which seed of a life in virtual time finds
//! it, and which promise that is about. Those of storage are for the crash tests to find ([`storage`]).
//!
//! The mistakes are switches in `registry/src`, under the feature `mutants`. One build has them all.

mod garbage;
mod storage;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cargo::Workspace;
use crate::sim::TRIAL_PROFILE;
use crate::tally::Tally;

/// The variable that names the mistake.
const VARIABLE: &str = "WHARFINGER_MUTANT";
/// Lives in which a mistake must be found.
const SEEDS: u64 = 20_000;

/// A mistake that can be planted.
struct Mutant {
    /// Its number in the catalogue of mistakes that registries have made.
    id: u32,
    /// What it is called in `registry/src`.
    name: &'static str,
    /// What it breaks.
    breaks: &'static str,
}

const fn mutant(id: u32, name: &'static str, breaks: &'static str) -> Mutant {
    Mutant { id, name, breaks }
}

/// Those of a cache. Those above 68 are not of the catalogue: they are of what this cache does beyond it.
const MUTANTS: &[Mutant] = &[
    mutant(2, "MU02-what-is-fetched-is-not-hashed", "A fetched blob is stored without a look at its digest."),
    mutant(36, "MU36-attempts-are-retries", "`maxRetries` counts the first attempt."),
    mutant(37, "MU37-one-attempt-too-many", "One attempt more than configured."),
    mutant(38, "MU38-seconds-are-milliseconds", "`retryDelay` is a thousandth of itself."),
    mutant(39, "MU39-retry-after-is-not-read", "Retry-After is ignored."),
    mutant(40, "MU40-a-date-is-taken-for-seconds", "A date in Retry-After is taken for its first number."),
    mutant(41, "MU41-a-cool-down-is-of-one-flight", "The next request does not know of a url's Retry-After."),
    mutant(42, "MU42-what-is-not-there-is-asked-for-again", "A 404 is tried again."),
    mutant(43, "MU43-a-token-that-is-refused-is-kept", "A 401 to a token that has run out is final."),
    mutant(44, "MU44-a-token-for-every-request", "No token is kept for the next request."),
    mutant(
        45,
        "MU45-a-redirect-takes-the-login-along",
        "A redirect to another host takes Authorization along.",
    ),
    mutant(46, "MU46-a-failure-is-remembered-as-an-answer", "A 5xx is remembered for `negativeTtl`."),
    mutant(47, "MU47-what-was-not-there-never-is", "`negativeTtl` never ends."),
    mutant(48, "MU48-only-the-tail-is-hashed", "After a resume the bytes before it are not verified."),
    mutant(49, "MU49-each-client-fetches", "Clients of one cold blob fetch it each."),
    mutant(
        50,
        "MU50-who-asked-first-takes-the-answer-along",
        "The first client leaves, and the others get nothing.",
    ),
    mutant(
        51,
        "MU51-a-flight-that-all-have-left-stays",
        "A question that nobody waits for stays on the table.",
    ),
    mutant(52, "MU52-a-drip-is-waited-for", "`minThroughput` is not enforced."),
    mutant(53, "MU53-a-tag-dies-with-its-upstream", "A cached tag is a 5xx while the upstream is away."),
    mutant(54, "MU54-a-tag-never-grows-old", "A cached tag is not checked again."),
    mutant(
        68,
        "MU68-what-was-broken-off-is-stored",
        "A fetch that broke off leaves its part under the digest.",
    ),
    mutant(
        69,
        "MU69-a-reader-is-told-two-sizes",
        "A reader goes on although the next url says another size.",
    ),
    mutant(70, "MU70-a-cache-has-no-bound", "`cache.maxBytes` is not enforced."),
    mutant(
        71,
        "MU71-who-reads-alone-does-not-hash",
        "Who was left behind by a full disk is not told of wrong bytes.",
    ),
    mutant(72, "MU72-a-slice-has-no-limit", "`rangeFetchMax` is not enforced."),
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which mistakes, by their numbers: `FROM..TO`, both included, or one; all without it.
    #[arg(long)]
    ids: Option<String>,
    /// In how many lives each must be found.
    #[arg(long, default_value_t = SEEDS)]
    seeds: u64,
}

/// What became of a mistake.
struct Verdict {
    /// How many lives it took, or had.
    tried: u64,
    /// The seed and the promise that gave it away.
    killed: Option<(u64, String)>,
}

/// Plants every mistake that is asked for.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<Tally> {
    let ids = args.ids.as_deref();
    let (lives, storage) = (chosen(MUTANTS, ids)?, chosen(storage::MUTANTS, ids)?);
    let garbage = chosen(garbage::MUTANTS, ids)?;
    ensure!(
        !(lives.is_empty() && storage.is_empty() && garbage.is_empty()),
        "--ids {}: there is no such mistake",
        ids.unwrap_or("")
    );
    let mut tally = Tally::default();
    if !storage.is_empty() {
        tally += storage::run(workspace, &storage)?;
    }
    if !garbage.is_empty() {
        tally += garbage::run(workspace, &garbage)?;
    }
    if !lives.is_empty() {
        tally += run_lives(workspace, &lives, args.seeds)?;
    }
    Ok(tally)
}

/// Runs lives under each mistake until the first that finds it.
fn run_lives(workspace: &Workspace, chosen: &[&'static Mutant], seeds: u64) -> Result<Tally> {
    let mut programs = build(workspace, TRIAL_PROFILE, &["dst"])?;
    let program = programs.remove("dst").context("cargo built no program of the lives")?;
    let mut verdicts = BTreeMap::new();
    for mutant in chosen {
        let verdict = live(&program, mutant, seeds).with_context(|| mutant.name.to_owned())?;
        match &verdict.killed {
            Some((seed, promise)) => eprintln!("{}: {promise}, seed {seed}", mutant.name),
            None => eprintln!("{}: survived {} lives", mutant.name, verdict.tried),
        }
        verdicts.insert(mutant.id, verdict);
    }
    publish(workspace, "mutants.md", &matrix(chosen, &verdicts))?;
    let survived = verdicts.values().filter(|it| it.killed.is_none()).count() as u64;
    Ok(Tally { passed: chosen.len() as u64 - survived, failed: survived, skipped: 0 })
}

/// Prints a table, and keeps it among the reports.
fn publish(workspace: &Workspace, name: &str, table: &str) -> Result<()> {
    println!("{table}");
    let file = workspace.reports(name);
    fs::create_dir_all(workspace.reports(""))?;
    fs::write(&file, table).with_context(|| format!("writing {}", file.display()))
}

fn chosen(all: &'static [Mutant], ids: Option<&str>) -> Result<Vec<&'static Mutant>> {
    let Some(ids) = ids else { return Ok(all.iter().collect()) };
    let number =
        |text: &str| text.trim().parse::<u32>().with_context(|| format!("--ids: {text:?} is no number"));
    let (from, to) = match ids.split_once("..") {
        Some((from, to)) => (number(from)?, number(to)?),
        None => (number(ids)?, number(ids)?),
    };
    Ok(all.iter().filter(|mutant| (from..=to).contains(&mutant.id)).collect())
}

/// Builds tests with every mistake in them, and returns their programs by name.
fn build(workspace: &Workspace, profile: &str, tests: &[&str]) -> Result<BTreeMap<String, PathBuf>> {
    let mut words = vec!["test", "--profile", profile, "--package", "wharfinger", "--features", "mutants"];
    words.extend(tests.iter().flat_map(|test| ["--test", test]));
    let mut command = workspace.cargo();
    command.args(&words).args(["--no-run", "--message-format", "json-render-diagnostics"]);
    eprintln!("$ cargo {}", words.join(" "));
    let output = command.stderr(Stdio::inherit()).output().context("starting cargo")?;
    ensure!(output.status.success(), "cargo test --no-run ended with {}", output.status);
    let lines = String::from_utf8_lossy(&output.stdout);
    let messages = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let programs = messages.filter_map(|it| {
        let name = it["target"]["name"].as_str().filter(|name| tests.contains(name))?;
        Some((name.to_owned(), PathBuf::from(it["executable"].as_str()?)))
    });
    Ok(programs.collect())
}

/// Runs lives under a mistake until one finds it.
fn live(program: &PathBuf, mutant: &Mutant, seeds: u64) -> Result<Verdict> {
    let output = Command::new(program)
        .args(["--exact", "a_planted_mistake_is_found", "--nocapture"])
        .env(VARIABLE, mutant.name)
        .env("WHARFINGER_SEEDS", seeds.to_string())
        .stderr(Stdio::null())
        .output()
        .with_context(|| format!("starting {}", program.display()))?;
    verdict(&String::from_utf8_lossy(&output.stdout), seeds)
}

/// Reads what a run under a mistake has said.
fn verdict(text: &str, seeds: u64) -> Result<Verdict> {
    let words: Vec<&str> = text
        .lines()
        .find_map(|line| line.split_once("mutant: ").map(|(_, rest)| rest.split_whitespace().collect()))
        .context("the run said nothing of the mistake")?;
    match words.as_slice() {
        ["killed", promise, "seed", seed, "tried", tried] => {
            Ok(Verdict { tried: tried.parse()?, killed: Some((seed.parse()?, (*promise).to_owned())) })
        }
        ["survived"] => Ok(Verdict { tried: seeds, killed: None }),
        other => anyhow::bail!("the run said {other:?} of the mistake"),
    }
}

/// Writes the table.
fn matrix(chosen: &[&Mutant], verdicts: &BTreeMap<u32, Verdict>) -> String {
    let mut text =
        String::from("| mutant | what it does | promise | seed | lives |\n|---|---|---|---|---|\n");
    for mutant in chosen {
        let Some(Verdict { tried, killed }) = verdicts.get(&mutant.id) else { continue };
        let (promise, seed) = match killed {
            Some((seed, promise)) => (promise.as_str(), seed.to_string()),
            None => ("**survived**", "–".to_owned()),
        };
        let (name, breaks) = (mutant.name, mutant.breaks);
        writeln!(text, "| {name} | {breaks} | {promise} | {seed} | {tried} |").expect("a string takes it");
    }
    text
}

#[cfg(test)]
mod tests {
    //! Goal: every mistake of the table is planted, and every planted one is in the table.

    use std::collections::BTreeSet;
    use std::path::Path;

    use super::{MUTANTS, chosen, garbage, storage, verdict};

    fn planted(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                planted(&path, found);
            } else if !path.ends_with("mutants.rs") {
                let text = std::fs::read_to_string(&path).unwrap_or_default();
                let names = text.split("\"MU").skip(1).filter_map(|rest| rest.split('"').next());
                found.extend(names.map(|name| format!("MU{name}")));
            }
        }
    }

    #[test]
    fn the_table_is_what_is_planted() {
        let mut found = BTreeSet::new();
        planted(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../registry/src"), &mut found);
        let all = || MUTANTS.iter().chain(storage::MUTANTS).chain(garbage::MUTANTS);
        let table: BTreeSet<String> = all().map(|it| it.name.to_owned()).collect();
        assert_eq!(found, table);
        assert!(all().all(|it| it.name.starts_with(&format!("MU{:02}-", it.id))));
    }

    #[test]
    fn ids_are_a_number_or_a_span() {
        let ids =
            |text| chosen(MUTANTS, Some(text)).map(|all| all.iter().map(|it| it.id).collect::<Vec<_>>()).ok();
        assert_eq!(ids("36..38"), Some(vec![36, 37, 38]));
        assert_eq!(ids("68"), Some(vec![68]));
        assert_eq!((ids("1"), ids("x")), (Some(vec![]), None));
        assert_eq!(chosen(MUTANTS, None).unwrap().len(), MUTANTS.len());
    }

    #[test]
    fn verdicts_are_read() {
        let read = |text| verdict(text, 9).map(|it| (it.tried, it.killed)).ok();
        let killed = Some((13, Some((12, "P6".to_owned()))));
        assert_eq!(read("test x ... mutant: killed P6 seed 12 tried 13\n"), killed);
        assert_eq!(read("mutant: survived\n"), Some((9, None)));
        assert_eq!(read("ok"), None);
    }
}
