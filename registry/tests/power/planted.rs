//! Goal: the power cuts are no rubber stamp: they find the mistake that is planted in this process.
//! Method: the scenarios in which mistakes show are cut at every system call, on both file systems and in both
//! ways; the first promise that breaks, of each, is said in a line, which `cargo xtask mutants` reads.

use crate::machine::Test;
use crate::places::{Failure, cut_scenarios};
use crate::volume::{Cut, FileSystem};

/// Where the wrong protocols show.
const SCENARIOS: [&str; 5] =
    ["push", "tag move", "chunks of an earlier process", "tag delete", "blob delete"];

#[test]
fn a_planted_mistake_is_found() {
    if std::env::var_os("WHARFINGER_MUTANT").is_none() {
        return;
    }
    let file_systems: &[FileSystem] = &[FileSystem::Ext4, FileSystem::Xfs];
    Test { name: "planted::a_planted_mistake_is_found", file_systems }.run(|test| {
        std::thread::scope(|scope| {
            for file_system in file_systems {
                scope.spawn(move || {
                    for cut in [Cut::LogLost, Cut::LogFlushed] {
                        let found = cut_scenarios(test, *file_system, cut, &SCENARIOS);
                        println!("mutant: {} {cut:?} {}", file_system.name(), said(found));
                    }
                });
            }
        });
    });
}

fn said(found: Result<usize, Failure>) -> String {
    match found {
        Ok(cuts) => format!("survived {cuts} cuts"),
        Err(Failure { case, violation }) => format!("killed {} {case}", violation.promise),
    }
}
