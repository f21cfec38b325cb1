//! Another registry as a cache in front of the simulator: what ours is compared with.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::stands::{ACCOUNT, PLAIN, address};
use crate::process::{Guard, is_on_path, wait_for_port};

/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A registry that can be compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Peer {
    /// CNCF distribution, as Debian's package docker-registry has it.
    Distribution,
}

impl Peer {
    /// Returns the name of its folders.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Distribution => "distribution",
        }
    }

    /// Returns what reports call it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Distribution => "docker-registry 2.8",
        }
    }

    /// Returns its program, which its package is named after.
    fn program(self) -> &'static str {
        match self {
            Self::Distribution => "docker-registry",
        }
    }

    /// Checks that it is installed.
    pub(super) fn require(self) -> Result<()> {
        let program = self.program();
        ensure!(
            is_on_path(program),
            "{program} is not installed; Debian's package {program} has it: apt-get install {program}"
        );
        Ok(())
    }

    /// Starts as many as of ours, and returns them with the list that `sim` reads. None of them takes
    /// pushes while it is a cache, none repeats attempts, and each has one upstream url.
    pub(super) fn start(self, sim: &Path, folder: &Path, logs: &Path) -> Result<(Vec<Guard>, Value)> {
        fs::create_dir_all(logs).with_context(|| format!("making {}", logs.display()))?;
        let (mut guards, mut stands) = (Vec::new(), Vec::new());
        for number in 0..PLAIN + 3 {
            let (has_account, has_basic) = (number < 2, number == 2);
            let own = folder.join(number.to_string());
            fs::create_dir_all(&own).with_context(|| format!("making {}", own.display()))?;
            let (own_address, origin) = (address()?, address()?);
            let file = own.join("config.yml");
            let text =
                configuration(&own_address, &origin, has_account || has_basic, &own.join("data")).to_string();
            fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
            // It asks its upstream once when it starts, and gives up without an answer; the token services that
            // it learns of then are those that it ever shows its account to.
            let scenario = match (has_account, has_basic) {
                (true, _) => "expiring-token",
                (_, true) => "basic-account",
                _ => "honest",
            };
            let meanwhile = stand_in(sim, scenario, &origin)?;
            let log = logs.join(format!("{number}.log"));
            let log = File::create(&log).with_context(|| format!("making {}", log.display()))?;
            let mut command = Command::new(self.program());
            command.arg("serve").arg(&file).stdout(Stdio::null()).stderr(log);
            let mut guard = Guard::start(&mut command)?;
            wait_for_port(&mut guard, port(&own_address)?, PATIENCE)?;
            drop(meanwhile);
            guards.push(guard);
            let target = format!("http://{own_address}");
            stands.push(json!({
                "target": target, "origin": origin, "account": has_account, "basic_account": has_basic,
            }));
        }
        Ok((guards, Value::Array(stands)))
    }
}

fn stand_in(sim: &Path, scenario: &str, origin: &str) -> Result<Guard> {
    let mut command = Command::new(sim);
    command.args(["serve", scenario, "--listen", origin]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut guard = Guard::start(&mut command)?;
    wait_for_port(&mut guard, port(origin)?, PATIENCE)?;
    Ok(guard)
}

fn port(address: &str) -> Result<u16> {
    address.rsplit(':').next().and_then(|it| it.parse().ok()).context("an address has a port")
}

/// Writes its configuration; its YAML reader takes JSON, too. A cache keeps its schedule beside its
/// content, which its driver for memory cannot do.
fn configuration(own: &str, origin: &str, has_account: bool, data: &Path) -> Value {
    let mut proxy = json!({"remoteurl": format!("http://{origin}")});
    if has_account {
        proxy["username"] = json!(ACCOUNT.0);
        proxy["password"] = json!(ACCOUNT.1);
    }
    json!({
        "version": "0.1",
        "log": {"level": "error"},
        "http": {"addr": own},
        "storage": {"delete": {"enabled": true}, "filesystem": {"rootdirectory": data}},
        "proxy": proxy,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Peer, configuration};

    #[test]
    fn it_is_a_cache_of_the_simulator() {
        let text = configuration("127.0.0.1:5", "127.0.0.1:7", true, Path::new("/data"));
        assert_eq!(text["proxy"]["remoteurl"], "http://127.0.0.1:7");
        assert_eq!(text["proxy"]["username"], "harbour-master");
        assert!(
            configuration("127.0.0.1:5", "o", false, Path::new("/data"))["proxy"].get("username").is_none()
        );
        assert_eq!(Peer::Distribution.program(), "docker-registry");
    }
}
