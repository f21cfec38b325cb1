//! The server as a process of its own, on a folder of its own, killed when it is dropped.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::{Pid, Signal};

use super::wait::{LIMIT, eventually};
use super::wire::Connection;

/// Returns the program under test: that of `WHARFINGER_BIN`, else the one that cargo built.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("WHARFINGER_BIN")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_wharfinger")), PathBuf::from)
}

/// A temporary folder: the store in `data`, the server's stderr in `log`.
#[derive(Debug)]
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    /// Makes one.
    pub(crate) fn new() -> Self {
        Self(tempfile::Builder::new().prefix("wharfinger-kill-").tempdir().expect("a folder can be made"))
    }

    /// Returns the path of something in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file into it, and returns its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("a file can be written");
        path
    }

    /// Returns what the servers on it have logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Waits until no process has the store, also none that a killed wrapper has left behind.
    pub(crate) fn wait_until_free(&self) {
        let Ok(lock) = std::fs::File::open(self.path("data/wharfinger.lock")) else { return };
        eventually("the store was let go of", || lock.try_lock().ok());
    }

    /// Returns the names in a folder below it, none when there is no such folder.
    pub(crate) fn entries(&self, name: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path(name)) else { return Vec::new() };
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.expect("a folder can be read").file_name().to_string_lossy().into_owned()
        };
        entries.map(name).collect()
    }
}

/// How to start a server.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    folder: &'a Folder,
    wrapper: Vec<OsString>,
    config: Option<PathBuf>,
    data: Option<PathBuf>,
    listen: String,
}

impl<'a> Launch<'a> {
    /// Begins with the defaults, a free port, and the store in the folder.
    pub(crate) fn on(folder: &'a Folder) -> Self {
        let data = Some(folder.path("data"));
        Self { folder, wrapper: Vec::new(), config: None, data, listen: "127.0.0.1:0".to_owned() }
    }

    /// Gives it a configuration, as JSON or YAML.
    pub(crate) fn config(mut self, text: &str) -> Self {
        self.config = Some(self.folder.file("config.yaml", text));
        self
    }

    /// Stores in another folder.
    pub(crate) fn data(mut self, data: impl Into<PathBuf>) -> Self {
        self.data = Some(data.into());
        self
    }

    /// Listens elsewhere.
    pub(crate) fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = address.into();
        self
    }

    /// Runs it by another program, which gets the command line after its own arguments.
    pub(crate) fn under<S: Into<OsString>>(mut self, wrapper: impl IntoIterator<Item = S>) -> Self {
        self.wrapper = wrapper.into_iter().map(Into::into).collect();
        self
    }

    /// Returns the command.
    fn command(&self) -> Command {
        let mut words = self.wrapper.clone();
        words.push(program().into());
        words.push("serve".into());
        words.extend(self.config.iter().map(Into::into));
        words.extend(["--listen".into(), self.listen.clone().into()]);
        if let Some(data) = &self.data {
            words.extend(["--data".into(), data.into()]);
        }
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).current_dir(self.folder.0.path());
        command
    }

    /// Runs it to its end, which is expected to come by itself.
    pub(crate) fn output(self) -> Output {
        self.command().output().expect("the program can be run")
    }

    /// Starts it, and does not wait for it to listen.
    pub(crate) fn spawn(self) -> Starting {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.path("log"));
        let mut command = self.command();
        // A group of its own, so that a wrapper's child ends with the wrapper.
        command.stdout(Stdio::piped()).stderr(log.expect("the log can be opened")).process_group(0);
        let mut child = command.spawn().expect("the program can be run");
        let stdout = child.stdout.take().expect("stdout is piped");
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Starting { group: Group(child), lines }
    }

    /// Starts it, and waits until it listens.
    ///
    /// Panics with what it logged when it ends instead.
    pub(crate) fn start(self) -> Server {
        let folder = self.folder;
        let started = self.spawn().listening();
        started.unwrap_or_else(|status| panic!("the server ended with {status}: {}", folder.log()))
    }
}

/// A process group, killed when it is dropped.
#[derive(Debug)]
struct Group(Child);

impl Group {
    fn signal(&self, signal: Signal) {
        let group = Pid::from_child(&self.0);
        // One that has ended has no group any more.
        let _ = rustix::process::kill_process_group(group, signal);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.signal(Signal::KILL);
            let _ = self.0.wait();
        }
    }
}

/// A server that may not listen yet.
#[derive(Debug)]
pub(crate) struct Starting {
    group: Group,
    lines: Receiver<String>,
}

impl Starting {
    /// Waits until it listens, or returns how it ended.
    pub(crate) fn listening(mut self) -> Result<Server, ExitStatus> {
        let Ok(line) = self.lines.recv_timeout(LIMIT) else {
            return Err(self.group.0.wait().expect("a child can be waited for"));
        };
        let address = line.strip_prefix("listening on http://").and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("the first line is {line:?}"));
        Ok(Server { group: self.group, lines: self.lines, address })
    }

    /// Kills it.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

/// A server that listens.
#[derive(Debug)]
pub(crate) struct Server {
    group: Group,
    lines: Receiver<String>,
    /// Where.
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Connects to it.
    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.address).expect("the server listens")
    }

    /// Returns the process; under a wrapper that does not replace itself, the wrapper's.
    pub(crate) fn id(&self) -> u32 {
        self.group.0.id()
    }

    /// Kills it, and waits until the kernel has cleared it away.
    pub(crate) fn kill(self) {
        self.group.signal(Signal::KILL);
        drop(self);
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        self.group.signal(Signal::TERM);
    }

    /// Waits until it has ended, and returns how, with what it printed after its first line.
    pub(crate) fn ended(mut self) -> (ExitStatus, Vec<String>) {
        let status = eventually("the server ended", || self.group.0.try_wait().expect("it is our child"));
        (status, self.lines.iter().collect())
    }

    /// Says whether it is still there.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.group.0.try_wait(), Ok(None))
    }

    /// Returns the most memory that it ever held, in KiB.
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        let status = Path::new("/proc").join(self.id().to_string()).join("status");
        let mut text = String::new();
        let mut file = std::fs::File::open(status).expect("the server runs");
        file.read_to_string(&mut text).expect("the kernel tells");
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|kib| kib.parse().ok());
        number.unwrap_or_else(|| panic!("no VmHWM in {text}"))
    }
}
