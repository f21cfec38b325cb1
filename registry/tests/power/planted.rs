//! Goal: the power cuts are no rubber stamp: they find the mistake that is planted in this process.
//! Method: the scenarios in which mistakes show are cut at every system call, on both file systems and in both
//! ways; the first promise that breaks, of each, is said in a line, which `cargo xtask mutants` reads.

use crate::machine::Test;
use crate::places::{Failure, cut_scenarios};
use crate::volume::{Cut, FileSystem};

/// Where the wrong protocols show.
const SCENARIOS: [&str; 5] =
    ["push", "tag move", "chunks of an earlier process", "tag delete", "blob delete"];

fn check(name: &'static str, file_systems: &'static [FileSystem]) {
    if std::env::var_os("WHARFINGER_MUTANT").is_none() {
        return;
    }
    Test { name, file_systems }.run(|test| {
        for file_system in file_systems {
            for cut in [Cut::LogLost, Cut::LogFlushed] {
                let found = cut_scenarios(test, *file_system, cut, &SCENARIOS);
                println!("mutant: {} {cut:?} {}", file_system.name(), said(found));
            }
        }
    });
}

fn said(found: Result<usize, Failure>) -> String {
    match found {
        Ok(cuts) => format!("survived {cuts} cuts"),
        Err(Failure { case, violation }) => format!("killed {} {case}", violation.promise),
    }
}

#[test]
fn a_planted_mistake_is_found_on_ext4() {
    check("planted::a_planted_mistake_is_found_on_ext4", &[FileSystem::Ext4]);
}

#[test]
fn a_planted_mistake_is_found_on_xfs() {
    check("planted::a_planted_mistake_is_found_on_xfs", &[FileSystem::Xfs]);
}
