//! Servers of any make: started with their output in files, stopped with their owner.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to say that it is ready, in a debug build on a loaded machine.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How long a server may take to end after SIGTERM; then it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at a condition that tells nobody when it changes.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How much of the log a failed test shows.
const LOG_LINES_SHOWN: usize = 60;

/// A running server. Dropping it stops it and, in a failing test, shows the end of its log.
#[derive(Debug)]
pub(crate) struct Daemon {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Daemon {
    /// Starts a server; what it says goes to files in `folder`.
    pub(crate) fn start(name: &str, command: &mut Command, folder: &Path) -> Self {
        let (stdout, stderr) = (folder.join(format!("{name}.out")), folder.join(format!("{name}.log")));
        println!("$ {command:?} &");
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self { name: name.to_owned(), child, stdout, stderr }
    }

    /// Waits until the server says a whole line with `words`, and returns what follows them.
    ///
    /// *Errors*: the end of the log of a server that ended, or did not say so in time.
    pub(crate) async fn wait_for(&mut self, words: &str) -> Result<String, String> {
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            let ended = self.child.try_wait().unwrap();
            if let Some(rest) = self.find(words) {
                return Ok(rest);
            }
            if let Some(status) = ended {
                return Err(format!("{} ended with {status}: {}", self.name, self.tail()));
            }
            if Instant::now() > deadline {
                return Err(format!("{} never said `{words}`: {}", self.name, self.tail()));
            }
            // A file tells nobody that it grew.
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    fn find(&self, words: &str) -> Option<String> {
        let text = self.text();
        // The last part has no line end yet: it may be half a line.
        let whole = text.rsplit_once('\n')?.0;
        let line = whole.lines().find(|line| line.contains(words))?;
        line.split_once(words).map(|(_, rest)| rest.to_owned())
    }

    fn text(&self) -> String {
        let read = |file| String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned();
        read(&self.stdout) + &read(&self.stderr)
    }

    fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }
}

/// For who ends it in another way than by dropping it.
impl AsRef<Child> for Daemon {
    fn as_ref(&self) -> &Child {
        &self.child
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Asked first: an engine has children that only it can end.
        let asked = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let deadline = Instant::now() + STOP_PATIENCE;
        while asked.is_ok() && Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            thread::park_timeout(POLL_INTERVAL);
        }
        // Both fail only when it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            println!("--- the end of the log of {}\n{}\n---", self.name, self.tail());
        }
    }
}
