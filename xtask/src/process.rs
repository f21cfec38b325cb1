//! Child processes that end with their owner, and waiting with a deadline.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long between two looks at a condition.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A child that is killed when it goes out of scope.
#[derive(Debug)]
pub(crate) struct Guard {
    child: Child,
}

impl Guard {
    /// Starts `command`.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().with_context(|| format!("starting {program}"))?;
        Ok(Self { child })
    }

    /// Returns the child.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Returns the most memory that the child has had resident so far, in bytes.
    pub(crate) fn memory_peak(&self) -> Result<u64> {
        let file = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(&file).with_context(|| format!("reading {file}"))?;
        parse_memory_peak(&text).with_context(|| format!("understanding {file}"))
    }

    /// Returns the processor time that the child has used so far, in user and in kernel mode.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        let file = format!("/proc/{}/stat", self.child.id());
        let text = std::fs::read_to_string(&file).with_context(|| format!("reading {file}"))?;
        parse_processor_time(&text).with_context(|| format!("understanding {file}"))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Both fail only when the child has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads utime and stime of a `/proc/PID/stat` line: fields 14 and 15, in ticks of 10 ms, which is what
/// Linux reports on every platform that we run on, whatever the kernel's own tick is.
fn parse_processor_time(stat: &str) -> Option<Duration> {
    // The program's name stands in brackets and may hold blanks and brackets itself.
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

/// Returns a port of 127.0.0.1 that nothing listens on now.
///
/// Another process can take it before it is used: only for programs that cannot be given port 0.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Waits until something accepts connections on `port`, while `guard` lives.
pub(crate) fn wait_for_port(guard: &mut Guard, port: u16, patience: Duration) -> Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(());
        }
        if let Some(status) = guard.child().try_wait()? {
            bail!("the program ended with {status} before it listened on port {port}");
        }
        if Instant::now() > deadline {
            bail!("nothing listens on port {port} after {patience:?}");
        }
        // Parking, since there is no event to wait for: a port tells nobody that it opened.
        thread::park_timeout(POLL_INTERVAL);
    }
}

/// Says whether a program of this name can be started. The folders of the administrator count too:
/// they are not on every user's `PATH`.
pub(crate) fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(Into::into))
        .any(|folder| folder.join(program).is_file())
}

/// Says whether this process is root: the owner of its own `/proc` entry is its effective user.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|entry| entry.uid() == 0)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::path::Path;
    use std::process::Command;
    use std::time::Duration;

    use super::{Guard, free_port, is_on_path, parse_memory_peak, parse_processor_time, wait_for_port};

    #[test]
    fn the_peak_of_memory_is_read() {
        assert_eq!(parse_memory_peak("VmPeak:\t 9 kB\nVmHWM:\t  2048 kB\n"), Some(2 << 20));
        assert_eq!(parse_memory_peak("VmPeak:\t 9 kB\n"), None);
    }

    #[test]
    fn a_guard_kills_its_child() {
        let mut guard = Guard::start(Command::new("tail").args(["-f", "/dev/null"])).unwrap();
        let entry = format!("/proc/{}", guard.child().id());
        assert!(Path::new(&entry).exists());
        drop(guard);
        assert!(!Path::new(&entry).exists(), "the child is killed and reaped");
    }

    #[test]
    fn waiting_for_a_port_ends_with_the_program() {
        let mut guard = Guard::start(&mut Command::new("true")).unwrap();
        let error = wait_for_port(&mut guard, free_port().unwrap(), Duration::from_secs(60)).unwrap_err();
        assert!(error.to_string().contains("ended with exit status: 0"), "{error}");
    }

    #[test]
    fn a_listening_port_is_seen() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut guard = Guard::start(Command::new("tail").args(["-f", "/dev/null"])).unwrap();
        wait_for_port(&mut guard, listener.local_addr().unwrap().port(), Duration::from_secs(60)).unwrap();
    }

    #[test]
    fn processor_time_is_read_behind_an_odd_name() {
        let stat = "42 (a) b)) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 1 0 100 1000 10";
        assert_eq!(parse_processor_time(stat), Some(Duration::from_secs(2)));
        assert_eq!(parse_processor_time("42 (a) S 1"), None);
    }

    #[test]
    fn programs_are_found() {
        assert!(is_on_path("sh"));
        assert!(!is_on_path("no-such-program-of-ours"));
    }
}
