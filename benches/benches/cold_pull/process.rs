//! The wharfinger process: started on a free port with a folder of its own, killed with its owner; and
//! what a process has used.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use tempfile::TempDir;

/// A running wharfinger in front of one upstream.
#[derive(Debug)]
pub(super) struct Wharfinger {
    child: Child,
    url: String,
    _folder: TempDir,
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    pub(super) processor: Duration,
    /// The most memory that was resident, in bytes.
    pub(super) memory_peak: u64,
}

impl Wharfinger {
    /// Starts it; its files lie beside the program, on the disk that everything else of a bench uses.
    pub(super) fn start(program: &OsStr, upstream: &str) -> Result<Self> {
        let beside = std::path::Path::new(program).parent().context("the program lies nowhere")?;
        let folder = tempfile::Builder::new().prefix("cold-pull-").tempdir_in(beside)?;
        let config = json!({"extensions": {"sync": {"enable": true, "registries": [
            {"urls": [upstream], "onDemand": true, "tlsVerify": false},
        ]}}});
        let file = folder.path().join("config.json");
        fs::write(&file, config.to_string())?;
        let log = File::create(folder.path().join("log"))?;
        let mut child = Command::new(program)
            .arg("serve")
            .arg(file)
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(folder.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("starting wharfinger")?;
        let stdout = child.stdout.take().expect("it was piped just now");
        // From here on it is killed, whatever happens.
        let mut server = Self { child, url: String::new(), _folder: folder };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let url = line.trim_end().strip_prefix("listening on ").context("it does not listen")?;
        url.clone_into(&mut server.url);
        Ok(server)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Returns what it has used.
    pub(super) fn usage(&self) -> Result<Usage> {
        let folder = format!("/proc/{}", self.child.id());
        let status = fs::read_to_string(format!("{folder}/status"))?;
        let memory_peak = parse_memory_peak(&status).context("no VmHWM")?;
        Ok(Usage { processor: processor_time(&folder)?, memory_peak })
    }
}

impl Drop for Wharfinger {
    fn drop(&mut self) {
        // Both fail only when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the processor time of this process: of the clients and of the upstream.
pub(super) fn own_processor_time() -> Result<Duration> {
    processor_time("/proc/self")
}

/// Returns the processor time of everything on this machine, idle time left out.
pub(super) fn machine_processor_time() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    parse_machine_time(&stat).context("understanding /proc/stat")
}

/// Reads the line `cpu USER NICE SYSTEM IDLE IOWAIT IRQ SOFTIRQ STEAL …`, in ticks of 10 ms.
fn parse_machine_time(stat: &str) -> Option<Duration> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
    let busy = [0, 1, 2, 5, 6, 7].into_iter().filter_map(|field| ticks.get(field)).sum::<u64>();
    (ticks.len() > 7).then_some(Duration::from_millis(busy * 10))
}

fn processor_time(folder: &str) -> Result<Duration> {
    let stat = fs::read_to_string(format!("{folder}/stat"))?;
    parse_processor_time(&stat).with_context(|| format!("understanding {folder}/stat"))
}

/// Reads utime and stime, fields 14 and 15, in ticks of 10 ms. The name may hold blanks and brackets.
fn parse_processor_time(stat: &str) -> Option<Duration> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

/// Reads the line `VmHWM: N kB`.
fn parse_memory_peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}
