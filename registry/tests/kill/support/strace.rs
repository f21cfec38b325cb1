//! strace: a server that is killed, or told that its disk fails, at a chosen system call.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal};

use super::host::{Skip, needs_package};
use super::process::Folder;
use super::wait::eventually;

/// Says whether processes can be traced here.
pub(crate) fn can_trace() -> Result<(), Skip> {
    needs_package("strace", "strace")?;
    let status =
        Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        other => Err(Skip(format!("processes cannot be traced here: {other:?}"))),
    }
}

/// A strace that is attached to a process until it is dropped.
#[derive(Debug)]
pub(crate) struct Strace(Child);

impl Strace {
    /// Returns a command that runs another one, killed when a thread of it begins the `at`th of a
    /// system call.
    pub(crate) fn killing(call: &str, at: usize) -> Vec<String> {
        // Not with --seccomp-bpf, under which strace sends no signal.
        let words = ["strace", "-f", "-qq", "-o", "/dev/null", "-e"];
        let mut words: Vec<String> = words.map(str::to_owned).to_vec();
        words.extend([
            format!("trace={call}"),
            "-e".to_owned(),
            format!("inject={call}:signal=KILL:when={at}"),
        ]);
        words
    }

    /// Returns a command that runs another one, and writes its system calls to a file.
    pub(crate) fn logging(calls: &[&str], log: &Path) -> Vec<String> {
        let words =
            ["strace", "-f", "--seccomp-bpf", "-qq", "-e", &format!("trace={}", calls.join(",")), "-o"];
        let mut words: Vec<String> = words.map(str::to_owned).to_vec();
        words.push(log.display().to_string());
        words
    }

    /// Returns how often a single thread made each system call, of what was logged.
    pub(crate) fn counts(log: &Path) -> BTreeMap<String, usize> {
        let text = std::fs::read_to_string(log).expect("strace has written its log");
        let mut threads: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for line in text.lines() {
            let Some((thread, call)) = line.split_once(' ') else { continue };
            if let Some((name, _)) = call.trim_start().split_once('(')
                && name.chars().all(|letter| letter.is_ascii_alphanumeric())
            {
                *threads.entry((thread, name)).or_default() += 1;
            }
        }
        let mut counts = BTreeMap::new();
        for ((_, name), count) in threads {
            let most: &mut usize = counts.entry(name.to_owned()).or_default();
            *most = count.max(*most);
        }
        counts
    }

    /// Makes the `at`th of a system call of each thread of a running process fail.
    pub(crate) fn failing(folder: &Folder, process: u32, call: &str, error: &str, at: usize) -> Self {
        let (trace, inject) = (format!("trace={call}"), format!("inject={call}:error={error}:when={at}"));
        let attached = Self::attach(folder, process, &["-e", &trace, "-e", &inject]);
        attached.unwrap_or_else(|Skip(reason)| panic!("{reason}"))
    }

    /// Attaches to all threads of a running process.
    pub(crate) fn attach(folder: &Folder, process: u32, expressions: &[&str]) -> Result<Self, Skip> {
        let log = folder.path("strace");
        let errors = std::fs::File::create(&log).expect("a file can be made");
        let mut command = Command::new("strace");
        command.args(["-f", "-o", "/dev/null"]).args(expressions).args(["-p", &process.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        let mut attached = Self(command.spawn().expect("strace is installed"));
        let (ended, text) = eventually("strace attached or ended", || {
            let ended = !matches!(attached.0.try_wait(), Ok(None));
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            (ended || text.contains("attached")).then_some((ended, text))
        });
        if ended {
            Err(Skip(format!("a running process cannot be traced here: {text:?}")))
        } else {
            Ok(attached)
        }
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // Asked nicely it lets go of the process; killed, it would leave it stopped.
        let _ = rustix::process::kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}
