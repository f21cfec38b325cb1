//! Goal: P2 and P3 on real disks: whatever a power cut between two system calls leaves, what was answered is there
//! with all its bytes and links, nothing is half visible, and what was broken off can be asked for again.
//!
//! Method: each scenario runs once to find its system calls, then once for each of them and is stopped before it;
//! then its file system is shut down, mounted again, and a new store looks at everything and goes on. What it was
//! answered then is looked at after the next cut.
//!
//! Each sort of cut takes another fourth of the places, unless `WHARFINGER_POWER_EVERY` is not 4: `cargo xtask crash`
//! has each of them take all. `WHARFINGER_POWER_CASE` names the only case to run.

use std::fmt;
use std::path::{Path, PathBuf};

use wharfinger::backend::memory::Loss;

use crate::machine::Test;
use crate::recovery::Client;
use crate::scenarios::{Scenario, all, scenario};
use crate::steps::Attempt;
use crate::store::audit::Violation;
use crate::volume::{Cut, FileSystem, Volume};
use crate::witness::{self, Place};
use crate::writer::{one_thread, open};

/// A case that broke a promise.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Which.
    pub(crate) case: String,
    /// What.
    pub(crate) violation: Violation,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.violation)?;
        writeln!(f, "case: {}", self.case)?;
        write!(f, "replay: WHARFINGER_POWER_CASE='{}' cargo test -p wharfinger --test power", self.case)
    }
}

/// A file system whose power is cut again and again, in one way, and the last store on it.
struct Cutter {
    test: Test,
    file_system: FileSystem,
    cut: Cut,
    volume: Volume,
    /// What was answered after the last cut, which the next one must leave as well.
    last: Option<Case>,
    cases: usize,
    cuts: usize,
}

/// A scenario that was stopped.
struct Case {
    name: String,
    store: PathBuf,
    client: Client,
}

/// Cuts scenarios at their places, and returns how many cuts that took, or the first that broke a promise.
pub(crate) fn cut_scenarios(
    test: Test,
    file_system: FileSystem,
    cut: Cut,
    names: &[&str],
) -> Result<usize, Failure> {
    let volume = Volume::new(file_system);
    let mut cutter = Cutter { test, file_system, cut, volume, last: None, cases: 0, cuts: 0 };
    for name in names {
        cutter.cut_scenario(&scenario(name))?;
    }
    cutter.volume.cut(cut);
    cutter.look_again()?;
    Ok(cutter.cuts)
}

/// Returns of how many places each sort of cut takes one.
fn every() -> usize {
    let Ok(text) = std::env::var("WHARFINGER_POWER_EVERY") else { return 4 };
    text.parse().unwrap_or_else(|_| panic!("WHARFINGER_POWER_EVERY is no number: {text}"))
}

fn is_wanted(case: &str) -> bool {
    std::env::var("WHARFINGER_POWER_CASE").map_or(true, |only| only == case)
}

/// Says whether all cases run, so that their number can be held against a floor.
fn all_are_wanted() -> bool {
    std::env::var_os("WHARFINGER_POWER_CASE").is_none()
}

impl Cutter {
    /// Returns which of the places are those of this sort of cut.
    fn offset(&self) -> usize {
        let file_system = usize::from(self.file_system == FileSystem::Xfs);
        2 * file_system + usize::from(self.cut == Cut::LogLost)
    }

    fn cut_scenario(&mut self, scenario: &Scenario) -> Result<(), Failure> {
        let mut counted = self.prepare(scenario, "whole".to_owned())?;
        let places = witness::places(self.test, &counted.store, scenario, &mut counted.client);
        let every = every();
        let is_named = !all_are_wanted();
        for (index, place) in places.iter().map(Some).chain([None]).enumerate() {
            if place.is_some() && !is_named && index % every != self.offset() % every {
                continue;
            }
            let named = place.map_or("end".to_owned(), |Place { call, at }| format!("{call} {at}"));
            let name = format!("{} {:?} {}: {named}", self.file_system.name(), self.cut, scenario.name);
            if is_wanted(&name) {
                self.cut_at(scenario, place, name)?;
            }
        }
        Ok(())
    }

    /// Makes a store as a scenario's earlier process has left it.
    fn prepare(&mut self, scenario: &Scenario, name: String) -> Result<Case, Failure> {
        self.cases += 1;
        let store = self.volume.path().join(self.cases.to_string());
        let mut client = Client::new(scenario.before.iter().chain(&scenario.steps));
        if !scenario.before.is_empty() {
            let taken = one_thread().block_on(async {
                let opened = open(&store).await?;
                client.go_on(&opened, &scenario.before, Attempt::First).await
            });
            // With a mistake in it a store may find one itself.
            taken.map_err(|error| {
                let violation = Violation::new("P2", format!("a store cannot be made: {error:?}"));
                Failure { case: name.clone(), violation }
            })?;
            client.answered = 0;
        }
        Ok(Case { name, store, client })
    }

    fn cut_at(&mut self, scenario: &Scenario, place: Option<&Place>, name: String) -> Result<(), Failure> {
        let mut case = self.prepare(scenario, name)?;
        match place {
            None => witness::run(self.test, &case.store, scenario, &mut case.client),
            Some(place) => {
                let stopped = witness::stop(self.test, &case.store, scenario, &mut case.client, place);
                assert!(stopped, "{}: it did not come so far", case.name);
            }
        }
        self.volume.cut(self.cut);
        self.cuts += 1;
        self.look_again()?;
        let found = one_thread().block_on(recover(&case.store, scenario, &mut case.client));
        found.map_err(|violation| Failure { case: case.name.clone(), violation })?;
        self.last = Some(case);
        Ok(())
    }

    /// Looks at what was answered after the cut before the last one.
    fn look_again(&mut self) -> Result<(), Failure> {
        let Some(case) = self.last.take() else { return Ok(()) };
        let found = one_thread().block_on(async { case.client.audit(&reopen(&case.store).await?).await });
        found.map_err(|violation| Failure { case: format!("after {}", case.name), violation })
    }
}

async fn reopen(store: &Path) -> Result<wharfinger::store::Store, Violation> {
    let opened = open(store).await;
    opened.map_err(|error| Violation::new("P2", format!("the store does not start again: {error:?}")))
}

/// Looks at what a cut has left, ends every upload, and asks again for what was not answered.
async fn recover(store: &Path, scenario: &Scenario, client: &mut Client) -> Result<(), Violation> {
    let opened = reopen(store).await?;
    let begun = std::fs::read_dir(store.join("tmp")).map_or(0, Iterator::count);
    if begun > 0 {
        return Err(Violation::new("P3", format!("a start leaves {begun} files that nobody ended")));
    }
    client.audit(&opened).await?;
    client.end_uploads(&opened, Loss::Everything, &scenario.steps).await?;
    let expired = opened.expire_uploads().await;
    expired.map_err(|error| Violation::new("P2", format!("uploads cannot be expired: {error:?}")))?;
    client.end_all(&opened, &scenario.steps).await
}

/// Fewer cuts than this were hardly any.
const CUTS_MIN: usize = 200;

fn check(name: &'static str, file_system: FileSystem, cut: Cut) {
    let file_systems: &'static [FileSystem] = match file_system {
        FileSystem::Ext4 => &[FileSystem::Ext4],
        FileSystem::Xfs => &[FileSystem::Xfs],
    };
    Test { name, file_systems }.run(|test| {
        let begun = std::time::Instant::now();
        let names: Vec<&str> = all().iter().map(|scenario| scenario.name).collect();
        let cuts =
            cut_scenarios(test, file_system, cut, &names).unwrap_or_else(|failure| panic!("{failure}"));
        println!("{} {cut:?}: {cuts} cuts in {:?}", file_system.name(), begun.elapsed());
        assert!(!all_are_wanted() || cuts >= CUTS_MIN, "only {cuts} cuts");
    });
}

#[test]
fn p2_p3_ext4_loses_its_log() {
    check("places::p2_p3_ext4_loses_its_log", FileSystem::Ext4, Cut::LogLost);
}

#[test]
fn p2_p3_ext4_keeps_its_log() {
    check("places::p2_p3_ext4_keeps_its_log", FileSystem::Ext4, Cut::LogFlushed);
}

#[test]
fn p2_p3_xfs_loses_its_log() {
    check("places::p2_p3_xfs_loses_its_log", FileSystem::Xfs, Cut::LogLost);
}

#[test]
fn p2_p3_xfs_keeps_its_log() {
    check("places::p2_p3_xfs_keeps_its_log", FileSystem::Xfs, Cut::LogFlushed);
}
