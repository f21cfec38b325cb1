//! `cargo xtask serve`: builds wharfinger and becomes it.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cargo::{Profile, Workspace};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Builds with optimisation: slower to build, faster to serve.
    #[arg(long)]
    release: bool,
    /// What `wharfinger serve` is given; without any, 127.0.0.1:5000 and ./wharfinger-data.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Builds, then replaces this process, so that signals reach the server and its exit code the caller.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let profile = if args.release { Profile::Release } else { Profile::Dev };
    let program = workspace.build("wharfinger", profile)?;
    let error = Command::new(&program).arg("serve").args(&args.args).exec();
    Err(error).with_context(|| format!("starting {}", program.display()))
}
