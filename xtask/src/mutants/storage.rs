//! The mistakes of storage: each is planted between the folder backend and its disk, then the crash prefixes look for
//! it on a disk in memory, and the power cuts on real file systems.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::{Mutant, VARIABLE, build, mutant, publish};
use crate::cargo::Workspace;
use crate::tally::Tally;

/// All of them. Those above 68 are not of the catalogue: they are of this store's own protocol.
pub(super) const MUTANTS: &[Mutant] = &[
    mutant(55, "MU55-no-file-is-synced", "No file is synced."),
    mutant(56, "MU56-no-folder-is-synced", "No folder is synced."),
    mutant(57, "MU57-the-sync-comes-after-the-rename", "A file is synced once it has its name."),
    mutant(58, "MU58-content-is-written-in-place", "Content is written under its digest, and synced there."),
    mutant(59, "MU59-a-tag-is-overwritten-in-place", "A tag that moves is cut to nothing and written anew."),
    mutant(60, "MU60-the-answer-comes-before-the-sync", "A folder is synced when the next one should be."),
    mutant(
        61,
        "MU61-what-was-begun-is-never-cleared-away",
        "A start leaves what unfinished writes have left.",
    ),
    mutant(
        62,
        "MU62-an-upload-is-taken-at-its-word",
        "An upload's state is saved before its bytes are synced, and believed.",
    ),
    mutant(63, "MU63-a-sync-that-fails-is-forgotten", "A sync that fails is taken for one that did not."),
    mutant(64, "MU64-what-did-not-fit-is-visible", "A write that fails is taken for one that did not."),
    mutant(73, "MU73-a-new-folder-is-not-synced", "The entry of a new folder in its parent is not synced."),
    mutant(74, "MU74-a-removal-is-not-synced", "A delete is answered before its folder is synced."),
    mutant(
        75,
        "MU75-the-old-record-goes-before-the-new-one-comes",
        "A record is removed before the new one takes its name.",
    ),
    mutant(76, "MU76-a-tag-is-not-synced", "A tag is renamed over the old one without a sync of its bytes."),
];

/// How the power is cut, as the test says it.
const CUTS: [&str; 4] = ["ext4 LogLost", "ext4 LogFlushed", "xfs LogLost", "xfs LogFlushed"];

/// What became of a mistake: the case that found it, by what looked for it; `None` where it was not found.
struct Verdict {
    prefixes: Option<String>,
    /// `Err` where the power cannot be cut here.
    cuts: Result<[Option<String>; 4], String>,
}

impl Verdict {
    fn is_killed(&self) -> bool {
        self.prefixes.is_some() || self.cuts.as_ref().is_ok_and(|cuts| cuts.iter().any(Option::is_some))
    }
}

/// Builds once, and looks for each mistake.
pub(super) fn run(workspace: &Workspace, chosen: &[&'static Mutant]) -> Result<Tally> {
    // Few runs, so that a quick build is worth more than quick programs.
    let programs = build(workspace, "dev", &["it", "power"])?;
    let (it, power) = (programs.get("it"), programs.get("power"));
    let (it, power) = it.zip(power).context("cargo built no program of the crash tests")?;
    let mut verdicts = Vec::new();
    for mutant in chosen {
        let verdict = Verdict { prefixes: prefixes(it, mutant)?, cuts: cuts(power, mutant)? };
        eprintln!("{}: {}", mutant.name, if verdict.is_killed() { "found" } else { "survived" });
        verdicts.push(verdict);
    }
    publish(workspace, "mutants-storage.md", &matrix(chosen, &verdicts))?;
    let survived = verdicts.iter().filter(|it| !it.is_killed()).count() as u64;
    let skipped = verdicts.iter().find_map(|it| it.cuts.as_ref().err());
    if let Some(reason) = skipped {
        println!("skipped power cuts: {reason}");
    }
    Ok(Tally {
        passed: chosen.len() as u64 - survived,
        failed: survived,
        skipped: u64::from(skipped.is_some()),
    })
}

/// Runs the crash prefixes under a mistake: first those of cuts, then those of errors.
fn prefixes(program: &Path, mutant: &Mutant) -> Result<Option<String>> {
    for filter in ["crash::cut::", "crash::errors::"] {
        let (text, is_green) = output(program, mutant, &[filter])?;
        if !is_green {
            return Ok(Some(first_case(&text)));
        }
    }
    Ok(None)
}

/// Runs the power cuts under a mistake.
fn cuts(program: &Path, mutant: &Mutant) -> Result<Result<[Option<String>; 4], String>> {
    let (text, is_green) = output(program, mutant, &["planted::a_planted_mistake_is_found", "--nocapture"])?;
    let mut lines = text.lines();
    if let Some((_, reason)) = lines.find_map(|line| line.split_once("skipped: planted::")) {
        return Ok(Err(reason.to_owned()));
    }
    anyhow::ensure!(is_green, "{}: the power cuts broke off:\n{text}", mutant.name);
    let mut found = [const { None }; 4];
    for (cut, found) in CUTS.iter().zip(&mut found) {
        *found = said(&text, cut)?;
    }
    Ok(Ok(found))
}

fn output(program: &Path, mutant: &Mutant, args: &[&str]) -> Result<(String, bool)> {
    let output = Command::new(program)
        .args(args)
        .env(VARIABLE, mutant.name)
        .env("WHARFINGER_POWER_EVERY", "1")
        .stderr(Stdio::null())
        .output()
        .with_context(|| format!("starting {}", program.display()))?;
    Ok((String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success()))
}

/// Returns the promise and the case that a failed run says first.
fn first_case(text: &str) -> String {
    let promise = text.lines().find_map(|line| line.split_once(" is broken: ").map(|(promise, _)| promise));
    let case = text.lines().find_map(|line| line.strip_prefix("case: "));
    match promise.zip(case) {
        Some((promise, case)) => format!("{promise}: {case}"),
        None => "a test fails".to_owned(),
    }
}

/// Reads what a run has said of one sort of cut.
fn said(text: &str, cut: &str) -> Result<Option<String>> {
    let mark = format!("mutant: {cut} ");
    let said = text.lines().find_map(|line| line.split_once(mark.as_str()).map(|(_, rest)| rest));
    match said.and_then(|said| said.split_once(' ')) {
        Some(("killed", rest)) => {
            let (promise, case) = rest.split_once(' ').context("a promise and a case were expected")?;
            // The column says which sort of cut it was.
            Ok(Some(format!("{promise}: {}", case.replace(&format!("{cut} "), ""))))
        }
        Some(("survived", _)) => Ok(None),
        other => anyhow::bail!("the run said {other:?} of {cut}"),
    }
}

/// Writes the table.
fn matrix(chosen: &[&Mutant], verdicts: &[Verdict]) -> String {
    let mut text = String::from(
        "| mutant | what it does | crash prefixes | ext4, log lost | ext4, log flushed | XFS, log lost | XFS, log flushed |\n\
         |---|---|---|---|---|---|---|\n",
    );
    let cell = |found: &Option<String>| found.clone().unwrap_or_else(|| "–".to_owned());
    for (mutant, verdict) in chosen.iter().zip(verdicts) {
        write!(text, "| {} | {} | {} |", mutant.name, mutant.breaks, cell(&verdict.prefixes))
            .expect("a string takes it");
        match &verdict.cuts {
            Ok(cuts) => cuts.iter().for_each(|found| {
                write!(text, " {} |", cell(found)).expect("a string takes it");
            }),
            Err(_) => text.push_str(" not run | not run | not run | not run |"),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{CUTS, first_case, said};

    #[test]
    fn verdicts_are_read() {
        let text = "test a ... mutant: ext4 LogLost killed P2 after ext4 LogLost push: mkdir 1\n\
                    mutant: xfs LogFlushed survived 168 cuts\n";
        assert_eq!(said(text, CUTS[0]).unwrap().as_deref(), Some("P2: after push: mkdir 1"));
        assert_eq!(said(text, CUTS[3]).unwrap(), None);
        assert!(said(text, CUTS[1]).is_err(), "nothing was said of it");
    }

    #[test]
    fn the_first_case_is_told() {
        let text =
            "x\nP3 is broken: a tag\ncase: tag move 3 Bytes\nP2 is broken: b\ncase: push 1 Everything\n";
        assert_eq!(first_case(text), "P3: tag move 3 Bytes");
        assert_eq!(first_case("panicked"), "a test fails");
    }
}
