//! Mistakes of the garbage collection, each to be found by its simulation or its tests.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::{Mutant, VARIABLE, build, mutant};
use crate::cargo::Workspace;
use crate::tally::Tally;

/// All of them; none is of the catalogue.
pub(super) const MUTANTS: &[Mutant] = &[
    mutant(77, "MU77-garbage-is-not-waited-for", "A blob is removed that a client was told of just now."),
    mutant(
        78,
        "MU78-garbage-is-not-claimed",
        "A blob is removed without a look at who pushes what needs it.",
    ),
    mutant(79, "MU79-content-goes-before-its-links", "Content is removed while a repository links it."),
    mutant(80, "MU80-a-tag-goes-whatever-it-has-become", "Retention deletes a tag that was moved since."),
];

/// Builds once, and runs the tests of the garbage collection under each mistake, which has to make them fail.
pub(super) fn run(workspace: &Workspace, chosen: &[&'static Mutant]) -> Result<Tally> {
    let programs = build(workspace, "dev", &["it"])?;
    let program = programs.get("it").context("cargo built no program of the tests")?;
    let mut tally = Tally::default();
    for mutant in chosen {
        let status = Command::new(program)
            .arg("garbage::")
            .env(VARIABLE, mutant.name)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .with_context(|| format!("starting {}", program.display()))?;
        let is_found = !status.success();
        eprintln!("{} ({}): {}", mutant.name, mutant.breaks, if is_found { "found" } else { "survived" });
        tally += Tally { passed: u64::from(is_found), failed: u64::from(!is_found), skipped: 0 };
    }
    Ok(tally)
}
