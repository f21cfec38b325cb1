//! The process that hears what was answered, and stops the writer at a system call.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::machine::{Test, program};
use crate::recovery::Client;
use crate::scenarios::Scenario;
use crate::steps::Step;
use crate::store::contents::CONTENTS;
use crate::support::{Folder, Skip, Strace};
use crate::writer::{self, FOLDER, MARK, SCENARIO};

/// The system calls that change a file system, and those that make a change durable.
const CALLS: [&str; 24] = [
    "openat",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "ftruncate",
    "fallocate",
    "fdatasync",
    "fsync",
    "sync",
    "syncfs",
    "mkdir",
    "mkdirat",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "unlink",
    "unlinkat",
    "rmdir",
    "truncate",
    "copy_file_range",
    "sync_file_range",
];

/// A moment at which a writer may be stopped: the `at`th of a system call, before it has any effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) call: String,
    pub(crate) at: usize,
}

/// A process that writes.
struct Writer {
    child: Child,
    words: ChildStdin,
    lines: BufReader<ChildStdout>,
}

impl Writer {
    /// Starts it, with the uploads that an earlier process has left; it waits.
    fn start(test: Test, folder: &Path, scenario: &Scenario, client: &Client) -> Self {
        let mut command = test.again(Command::new(program()));
        command.env(FOLDER, folder).env(SCENARIO, scenario.name);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program can be run");
        let mut words = child.stdin.take().expect("stdin is piped");
        for (number, upload) in &client.uploads {
            writeln!(words, "{number} {}", writer::render(upload)).expect("the writer reads");
        }
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut writer = Self { child, words, lines };
        assert_eq!(writer.word().as_deref(), Some("ready"));
        writer
    }

    fn word(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).expect("a pipe can be read") == 0 {
                return None;
            }
            // libtest does not end the line with the name of the test.
            if let Some((_, word)) = line.split_once(MARK) {
                return Some(word.trim_end().to_owned());
            }
        }
    }

    /// Lets it write, and notes what it tells; says whether it came to its end.
    fn write(mut self, scenario: &Scenario, client: &mut Client) -> bool {
        writeln!(self.words, "go").expect("the writer reads");
        let mut number = None;
        while let Some(word) = self.word() {
            let step = &scenario.steps[client.answered];
            if word == "begin" {
                ask(client, step);
                number = Some(client.ledger.begin(&client.as_change(step)));
            } else {
                let number = number.take().expect("it was begun");
                match step {
                    // Nothing is promised of what it removes.
                    Step::Collect => client.ledger.fail(number),
                    _ => client.ledger.answer(number),
                }
                answer(client, step, word.strip_prefix("done").expect("it is an answer"));
                client.answered += 1;
            }
        }
        if let Some(number) = number {
            client.ledger.fail(number);
        }
        self.child.wait().expect("a child can be waited for").success()
    }
}

/// Notes what a step asks of an upload.
fn ask(client: &mut Client, step: &Step) {
    match step {
        Step::Patch { upload, upto } => {
            let upload = client.uploads.get_mut(upload).expect("it is open");
            upload.asked = upload.asked.max(*upto);
        }
        Step::Close { upload } => {
            let upload = client.uploads.get_mut(upload).expect("it is open");
            upload.asked = CONTENTS.blobs[upload.blob].len();
        }
        _ => {}
    }
}

/// Notes what a step was answered of an upload.
fn answer(client: &mut Client, step: &Step, rest: &str) {
    match step {
        Step::Open { upload, .. } => {
            client.uploads.insert(*upload, writer::parse(rest.trim_start()));
        }
        Step::Patch { upload, upto } => client.uploads.get_mut(upload).expect("it is open").acked = *upto,
        Step::Close { upload } => drop(client.uploads.remove(upload)),
        _ => {}
    }
}

/// Carries out a scenario and stops it at a place, if it comes so far; says whether it did.
pub(crate) fn stop(
    test: Test,
    store: &Path,
    scenario: &Scenario,
    client: &mut Client,
    place: &Place,
) -> bool {
    let folder = Folder::new();
    let writer = Writer::start(test, store, scenario, client);
    let (trace, at) = (format!("trace={}", place.call), place.at);
    let inject = format!("inject={}:signal=KILL:when={at}", place.call);
    let _strace = attach(&folder, &writer, &["-e", &trace, "-e", &inject]);
    !writer.write(scenario, client)
}

/// Carries out a scenario to its end.
pub(crate) fn run(test: Test, store: &Path, scenario: &Scenario, client: &mut Client) {
    let whole = Writer::start(test, store, scenario, client).write(scenario, client);
    assert!(whole && client.answered == scenario.steps.len(), "{}: nothing stops it", scenario.name);
}

/// Returns every place of a scenario, in order.
pub(crate) fn places(test: Test, store: &Path, scenario: &Scenario, client: &mut Client) -> Vec<Place> {
    let folder = Folder::new();
    let log = folder.path("calls");
    let writer = Writer::start(test, store, scenario, client);
    let (file, trace) = (log.display().to_string(), format!("trace={}", CALLS.join(",")));
    let strace = attach(&folder, &writer, &["-o", &file, "-e", &trace]);
    assert!(writer.write(scenario, client), "{}: nothing stops it", scenario.name);
    drop(strace);
    parse(&std::fs::read_to_string(log).expect("strace has written its log"))
}

fn attach(folder: &Folder, writer: &Writer, expressions: &[&str]) -> Strace {
    let attached = Strace::attach(folder, writer.child.id(), expressions);
    attached.unwrap_or_else(|Skip(reason)| panic!("{reason}"))
}

/// Reads the calls of a log. Those that only open a file change nothing, and are no place. What the C library asks
/// the kernel about memory, in whichever thread gives some back, has nothing to do with the store.
fn parse(log: &str) -> Vec<Place> {
    let calls = log.lines().filter_map(|line| {
        let (thread, call) = line.split_once(' ')?;
        let (name, arguments) = call.trim_start().split_once('(')?;
        let is_of_the_store = CALLS.contains(&name) && !arguments.starts_with("AT_FDCWD, \"/proc/");
        is_of_the_store.then_some((thread, name, arguments))
    });
    let calls: Vec<(&str, &str, &str)> = calls.collect();
    let mut places = Vec::new();
    for (index, (thread, name, arguments)) in calls.iter().enumerate() {
        assert_eq!(*thread, calls[0].0, "one thread makes all calls:\n{log}");
        if *name != "openat" || arguments.contains("O_CREAT") {
            let at = 1 + calls[..index].iter().filter(|(_, before, _)| before == name).count();
            places.push(Place { call: (*name).to_owned(), at });
        }
    }
    places
}

#[test]
fn places_are_what_changes_something() {
    let log = "7  openat(3, \"a\", O_RDWR|O_CREAT|O_EXCL, 0640) = 4\n7  pwrite64(4, \"\"..., 2, 0) = 2\n\
               7  openat(3, \".\", O_RDONLY) = 5\n7  fsync(5) = 0\n7  openat(3, \"b\", O_CREAT) = 6\n\
               8  openat(AT_FDCWD, \"/proc/sys/vm/overcommit_memory\", O_RDONLY|O_CLOEXEC) = 3\n\
               7  +++ exited with 0 +++\n";
    let places: Vec<(String, usize)> = parse(log).into_iter().map(|place| (place.call, place.at)).collect();
    let expected = [("openat", 1), ("pwrite64", 1), ("fsync", 1), ("openat", 3)];
    assert_eq!(places, expected.map(|(call, at)| (call.to_owned(), at)));
}
