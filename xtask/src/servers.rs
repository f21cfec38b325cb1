//! `cargo xtask servers`: the object stores that tests start, installed into the folder of what is built, and
//! the tests of stores in buckets against them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::cargo::{Tests, Workspace};
use crate::packages;
use crate::tally::Tally;

/// The integration test that starts them.
pub(crate) const TEST: &str = "bucket";

/// The variable that tells tests where they are.
pub(crate) const VARIABLE: &str = "WHARFINGER_SERVERS";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Runs the tests whose names contain this.
    #[arg(long)]
    filter: Option<String>,
    /// Fails where a server cannot be installed.
    #[arg(long)]
    require: bool,
}

/// One server, with its version in the name of its folder, so that another version is another folder.
#[derive(Debug)]
struct Server {
    folder: &'static str,
    /// The commands that install it; `{}` is its folder.
    install: &'static [&'static [&'static str]],
}

const SERVERS: &[Server] = &[
    Server {
        folder: "moto-5.2.5",
        install: &[
            &["python3", "-m", "venv", "{}"],
            &[
                "{}/bin/pip",
                "install",
                "--quiet",
                "--no-input",
                "--disable-pip-version-check",
                "moto[s3,server]==5.2.5",
            ],
        ],
    },
    Server {
        folder: "azurite-3.37.0",
        install: &[&[
            "npm",
            "install",
            "--silent",
            "--no-save",
            "--no-audit",
            "--no-fund",
            "--prefix",
            "{}",
            "azurite@3.37.0",
        ]],
    },
];

/// Stands in a folder whose installation came to its end.
const MARK: &str = "installed";

/// Installs the servers, and runs the tests that the filter names.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<Tally> {
    let required = args.require;
    packages::ensure(packages::FOR_TESTS);
    let mut tally = packages::judge(&ensure(workspace), packages::is_ci() || required);
    tally += test(workspace, args.filter.as_deref(), required)?;
    Ok(tally)
}

/// Runs every test.
pub(crate) fn run_all(workspace: &Workspace, required: bool) -> Result<Tally> {
    test(workspace, None, required)
}

fn test(workspace: &Workspace, filter: Option<&str>, required: bool) -> Result<Tally> {
    let targets = ["--test", TEST].map(str::to_owned);
    let args: Vec<String> = filter.into_iter().map(str::to_owned).collect();
    workspace.test(&Tests { targets: &targets, args: &args, env: &[], required })
}

/// Returns where the servers of a checkout are.
pub(crate) fn folder(target: &Path) -> PathBuf {
    target.join("servers")
}

/// Installs what is missing, and returns what is still missing.
pub(crate) fn ensure(workspace: &Workspace) -> Vec<&'static str> {
    let all = folder(workspace.target());
    let missing = SERVERS.iter().filter(|server| {
        let installed = install(server, &all);
        if let Err(error) = &installed {
            println!("{} is not installed: {error:#}", server.folder);
        }
        installed.is_err()
    });
    missing.map(|server| server.folder).collect()
}

fn install(server: &Server, all: &Path) -> Result<()> {
    let folder = all.join(server.folder);
    if folder.join(MARK).is_file() {
        return Ok(());
    }
    // What an installation that was stopped has left is not built upon.
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let at = folder.display().to_string();
    for words in server.install {
        let words: Vec<String> = words.iter().map(|word| word.replace("{}", &at)).collect();
        println!("$ {}", words.join(" "));
        let status = Command::new(&words[0]).args(&words[1..]).stdin(Stdio::null()).status();
        let status = status.with_context(|| format!("starting {}", words[0]))?;
        anyhow::ensure!(status.success(), "`{}` ended with {status}", words.join(" "));
    }
    fs::write(folder.join(MARK), "").with_context(|| format!("marking {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::{MARK, Server, install};

    #[test]
    fn what_was_installed_halfway_is_installed_anew() {
        let all = std::env::temp_dir().join(format!("xtask-servers-{}", std::process::id()));
        let half = Server { folder: "ship-1", install: &[&["touch", "{}/half"], &["false"]] };
        let error = install(&half, &all).unwrap_err().to_string();
        assert!(error.contains("false"), "{error}");
        assert!(all.join("ship-1/half").exists());
        let whole = Server { folder: "ship-1", install: &[&["touch", "{}/whole"]] };
        install(&whole, &all).unwrap();
        assert!(!all.join("ship-1/half").exists() && all.join("ship-1/whole").exists());
        assert!(all.join("ship-1").join(MARK).exists());
        // Once is enough.
        install(&half, &all).unwrap();
        let absent = Server { folder: "ship-2", install: &[&["no-such-program-of-ours"]] };
        assert!(install(&absent, &all).is_err());
        std::fs::remove_dir_all(all).unwrap();
    }
}
