//! The skip protocol: a test that cannot run on this machine says so, and is counted as skipped.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::command::Command;

/// How long a program may take to say whether it works.
const PROBE_PATIENCE: Duration = Duration::from_secs(60);

/// Says whether all these programs are on this machine. If one is missing the test is skipped, or fails
/// where everything is prepared (`CI=true`).
pub(crate) fn has(test: &str, programs: &[&str]) -> bool {
    let missing: Vec<&str> = programs.iter().copied().filter(|program| !is_installed(program)).collect();
    if missing.is_empty() {
        return true;
    }
    let prepared = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!prepared, "{test} needs {missing:?}, and everything must be installed here");
    skip(test, &format!("not installed: {}", missing.join(" ")));
    false
}

/// Says whether a program that is here can work here, which `probe` tells: without root, a kernel may
/// keep namespaces from it. If it cannot, the test is skipped.
pub(crate) async fn works(test: &str, probe: Command) -> bool {
    let output = probe.output(PROBE_PATIENCE).await;
    if !output.succeeded {
        let reason = output.stderr.lines().last().unwrap_or("it does not say why");
        skip(test, &format!("`{}` fails here: {reason}", output.line));
    }
    output.succeeded
}

/// Says why a test cannot run here: on its output, and in the file that the runner reads.
pub(crate) fn skip(test: &str, reason: &str) {
    println!("skipped {test}: {reason}");
    let Some(file) = std::env::var_os("WHARFINGER_SKIPS") else { return };
    let mut file = OpenOptions::new().append(true).create(true).open(file).unwrap();
    writeln!(file, "{test}: {}", reason.replace('\n', " ")).unwrap();
}

/// The folders of the administrator count too: they are not on every user's `PATH`.
fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(Into::into))
        .any(|folder| Path::new(&folder).join(program).is_file())
}
