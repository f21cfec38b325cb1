//! What this machine can do.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Why a test cannot run here.
#[derive(Debug)]
pub(crate) struct Skip(pub(crate) String);

/// Tells that a test was skipped: on the terminal, and in the file that `WHARFINGER_SKIPS` names,
/// from which the runner counts.
pub(crate) fn skipped(test: &str, Skip(reason): &Skip) {
    println!("skipped: {test}: {reason}");
    if let Some(path) = std::env::var_os("WHARFINGER_SKIPS") {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
        let written = file.and_then(|mut file| writeln!(file, "{test}: {reason}"));
        written.unwrap_or_else(|error| panic!("{}: {error}", Path::new(&path).display()));
    }
}

/// Returns a skip when a program is not installed; with `CI=true` that is a failure.
pub(crate) fn needs_package(program: &str, package: &str) -> Result<(), Skip> {
    let found = Command::new(program).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if found {
        return Ok(());
    }
    let reason = format!("the package {package} is not installed");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
    Err(Skip(reason))
}
