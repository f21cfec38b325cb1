//! The process that writes, and tells what was answered: the store's own code over the operating system's disk,
//! with all its system calls in one thread, so that the Nth of them is the same in every run.
//!
//! It tells one word a line on stdout, which another process reads: what it was told by then it cannot forget.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wharfinger::backend::disk::OsDisk;
use wharfinger::oci::Algorithm;
use wharfinger::store::uploads::{UploadId, UploadRef};
use wharfinger::store::{Error, Store};

use crate::scenarios::{Scenario, scenario};
use crate::steps::{self, Attempt, Step, Taken, Upload, Uploads};
use crate::store::contents::hosted;

/// The variable with the folder to write to.
pub(crate) const FOLDER: &str = "WHARFINGER_POWER_FOLDER";
/// The variable with the name of the scenario to carry out.
pub(crate) const SCENARIO: &str = "WHARFINGER_POWER_SCENARIO";
/// What each word is preceded by, since others print as well.
pub(crate) const MARK: &str = "writer: ";

/// Says whether this process is one.
pub(crate) fn is_one() -> bool {
    std::env::var_os(FOLDER).is_some()
}

/// Carries out the scenario when it is told to.
pub(crate) fn write() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("the witness sets it"));
    let scenario = scenario(&std::env::var(SCENARIO).expect("the witness sets it"));
    say("ready");
    let mut uploads = Uploads::new();
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("the witness writes lines");
        match line.split_once(' ') {
            Some((number, upload)) => {
                uploads.insert(number.parse().expect("it is a number"), parse(upload));
            }
            None => break,
        }
    }
    one_thread().block_on(carry_out(&folder, &scenario, uploads));
}

/// Makes a runtime that has one thread for all system calls.
pub(crate) fn one_thread() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_time().build().unwrap()
}

/// Opens a store as the server does.
pub(crate) async fn open(folder: &Path) -> Result<Store, Error> {
    let folder = folder.to_owned();
    let opened = tokio::task::spawn_blocking(move || OsDisk::open(&folder)).await.expect("it does not panic");
    steps::open(Arc::new(opened.expect("nobody else has the folder"))).await
}

async fn carry_out(folder: &Path, scenario: &Scenario, mut uploads: Uploads) {
    let store = open(folder).await.expect("nothing fails");
    for step in &scenario.steps {
        say("begin");
        let taken = steps::take(&store, step, &mut uploads, Attempt::First).await;
        // What a collection removes was nobody's.
        let expected = if matches!(step, Step::Collect) { Taken::Gone } else { Taken::Done };
        assert_eq!(taken.expect("nothing fails"), expected);
        match step {
            Step::Open { upload, .. } => say(&format!("done {}", render(&uploads[upload]))),
            _ => say("done"),
        }
    }
}

fn say(word: &str) {
    // One write: a line that is cut in the middle is none.
    let line = format!("{MARK}{word}\n");
    std::io::stdout().write_all(line.as_bytes()).expect("the witness reads");
}

/// Writes an upload as one line.
pub(crate) fn render(upload: &Upload) -> String {
    let Upload { at, blob, hint, acked, asked } = upload;
    let hint = hint.map_or("none".to_owned(), |algorithm| algorithm.to_string());
    format!("{} {} {blob} {hint} {acked} {asked}", at.repository.name, at.id.as_str())
}

/// Reads what [`render`] wrote.
pub(crate) fn parse(line: &str) -> Upload {
    let words: Vec<&str> = line.split(' ').collect();
    let [name, id, blob, hint, acked, asked] = words[..] else { panic!("no upload: {line}") };
    let number = |word: &str| word.parse().expect("it is a number");
    let hint = Algorithm::ALL.into_iter().find(|algorithm| algorithm.to_string() == hint);
    let id = UploadId::parse(id).expect("it is an id");
    let at = UploadRef { repository: hosted(name), id, owner: "alice".to_owned() };
    Upload { at, blob: number(blob), hint, acked: number(acked), asked: number(asked) }
}
