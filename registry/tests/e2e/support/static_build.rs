//! The program as the container image needs it: linked statically, since the image holds nothing else.

use std::path::PathBuf;
use std::time::Duration;

use super::command::Command;
use super::server::built_program;

/// How long the build may take; it shares nothing with the build of the tests, and is kept afterwards.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// Builds it in a folder of its own, so that its flags do not make the tests build again.
pub(crate) async fn build() -> PathBuf {
    // …/target/debug/wharfinger, or the name of another profile.
    let folder = built_program().ancestors().nth(2).expect("a program lies in a profile's folder");
    let folder = folder.join("static");
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--package", "wharfinger", "--bin", "wharfinger", "--target", &target])
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), "--target-dir"])
        .arg(&folder)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .without_env("CARGO_ENCODED_RUSTFLAGS")
        .output(PATIENCE)
        .await;
    assert!(output.succeeded, "the static program does not build: `{}`\n{}", output.line, output.stderr);
    folder.join(target).join("debug/wharfinger")
}
