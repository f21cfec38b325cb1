//! How a run shows that it moves: a bar on a terminal, a few plain lines elsewhere, or nothing.
//!
//! Progress goes to stderr, so that stdout stays the report. It is a courtesy: that stderr is closed must
//! not end a run, so what cannot be written is dropped.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{IsTerminal as _, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::check::Outcome;
use crate::report::CheckResult;

/// Where there is no terminal, a line tells this often that the run is alive.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// How often the bar is drawn while no check ends.
const DRAW_INTERVAL: Duration = Duration::from_millis(200);
/// Running checks named at once.
const RUNNING_SHOWN: usize = 6;
/// Characters shown of what a check saw; the report has all of it.
const MESSAGE_CHARS_MAX: usize = 160;

/// Where progress is shown.
#[derive(Debug)]
pub enum Progress {
    /// Shows nothing: for callers in a program.
    Silent,
    /// Writes what did not go well, and now and then how far the run is.
    Lines(Lines),
    /// Draws a bar.
    Bar(Bar),
}

impl Progress {
    /// Returns a bar on a terminal, lines elsewhere.
    pub fn for_stderr(checks: usize) -> Self {
        if std::io::stderr().is_terminal() {
            Self::Bar(Bar::new(checks))
        } else {
            Self::Lines(Lines::new(checks, LINE_INTERVAL, Box::new(std::io::stderr())))
        }
    }

    /// Shows that a check began.
    pub fn started(&self, id: &'static str) {
        match self {
            Self::Silent => {}
            Self::Lines(lines) => {
                lines.shared.lock().tally.running.insert(id);
            }
            Self::Bar(bar) => bar.update(|tally| {
                tally.running.insert(id);
            }),
        }
    }

    /// Shows that a check ended, or that it will not run.
    pub fn finished(&self, result: &CheckResult) {
        match self {
            Self::Silent => {}
            Self::Lines(lines) => lines.finished(result),
            Self::Bar(bar) => bar.finished(result),
        }
    }

    /// Removes the bar, or says how far the run came.
    pub fn end(&self) {
        match self {
            Self::Silent => {}
            Self::Lines(lines) => lines.end(),
            Self::Bar(bar) => bar.bar.finish_and_clear(),
        }
    }
}

/// How far a run is.
#[derive(Debug, Default)]
struct Tally {
    total: usize,
    done: usize,
    failed: usize,
    running: BTreeSet<&'static str>,
}

impl Tally {
    fn new(total: usize) -> Self {
        Self { total, ..Self::default() }
    }

    fn count(&mut self, result: &CheckResult) {
        self.done += 1;
        self.failed += usize::from(result.outcome.is_red());
        self.running.remove(result.id.as_str());
    }

    /// Returns the failures so far and the running checks.
    fn status(&self) -> String {
        let mut text = format!("{} failed", self.failed);
        if self.running.is_empty() {
            return text;
        }
        text.push_str(", running");
        for id in self.running.iter().take(RUNNING_SHOWN) {
            text.push(' ');
            text.push_str(id);
        }
        if self.running.len() > RUNNING_SHOWN {
            text.push_str(&format!(" and {} more", self.running.len() - RUNNING_SHOWN));
        }
        text
    }
}

/// Returns the line of a check that did not go well; none for what passed and what was skipped, which the
/// report sums up by its reason.
fn notice(result: &CheckResult) -> Option<String> {
    match result.outcome {
        Outcome::Pass | Outcome::Skip => None,
        Outcome::Fail | Outcome::Error | Outcome::Known | Outcome::Moot => {
            let clean = |c: char| if c.is_control() { ' ' } else { c };
            let mut message: String = result.message.chars().take(MESSAGE_CHARS_MAX).map(clean).collect();
            if message.len() < result.message.len() {
                message.push('…');
            }
            Some(format!("{:5} {} {message}", result.outcome, result.id))
        }
    }
}

/// A bar with the failures so far and the running checks beside it.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    tally: Mutex<Tally>,
}

impl Bar {
    fn new(checks: usize) -> Self {
        let bar = ProgressBar::new(checks.try_into().unwrap_or(u64::MAX));
        let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {elapsed:>4}  {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(DRAW_INTERVAL);
        Self { bar, tally: Mutex::new(Tally::new(checks)) }
    }

    fn update(&self, change: impl FnOnce(&mut Tally)) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut tally);
        self.bar.set_message(tally.status());
    }

    fn finished(&self, result: &CheckResult) {
        if result.outcome.is_red()
            && let Some(notice) = notice(result)
        {
            self.bar.println(notice);
        }
        self.update(|tally| tally.count(result));
        self.bar.inc(1);
    }
}

/// Plain lines, and a thread that writes one when the run has been quiet about its progress for long.
pub struct Lines {
    shared: Arc<Shared>,
    ticker: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    ended: Condvar,
}

struct State {
    tally: Tally,
    ended: bool,
    out: Box<dyn Write + Send>,
}

impl Lines {
    fn new(checks: usize, interval: Duration, out: Box<dyn Write + Send>) -> Self {
        let state = State { tally: Tally::new(checks), ended: false, out };
        let shared = Arc::new(Shared { state: Mutex::new(state), ended: Condvar::new() });
        let ticked = Arc::clone(&shared);
        let named = std::thread::Builder::new().name("progress".to_owned());
        // Without the thread there are still the lines of what did not go well.
        let ticker = named.spawn(move || ticked.tick(interval)).ok();
        Self { shared, ticker }
    }

    fn finished(&self, result: &CheckResult) {
        let mut state = self.shared.lock();
        state.tally.count(result);
        if let Some(notice) = notice(result) {
            state.write(&notice);
        }
    }

    fn end(&self) {
        let mut state = self.shared.lock();
        if !state.ended {
            state.ended = true;
            let line = state.tally.line();
            state.write(&line);
        }
        self.shared.ended.notify_all();
    }
}

impl Drop for Lines {
    /// Ends the thread, also when the run was cancelled.
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.ended.notify_all();
        if let Some(ticker) = self.ticker.take() {
            // The thread only writes lines: if it panicked, there is nothing to save.
            let _ = ticker.join();
        }
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("tally", &self.shared.lock().tally).finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self, interval: Duration) {
        let mut state = self.lock();
        let mut next = Instant::now() + interval;
        while !state.ended {
            let left = next.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let line = state.tally.line();
                state.write(&line);
                next = Instant::now() + interval;
                continue;
            }
            let waited = self.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
        }
    }
}

impl State {
    fn write(&mut self, line: &str) {
        // One write a line, so that lines of other programs do not get into it; a closed stderr must not
        // end the run.
        let _ = self.out.write_all(format!("{line}\n").as_bytes());
    }
}

impl Tally {
    fn line(&self) -> String {
        format!("{} of {} checks, {}", self.done, self.total, self.status())
    }
}

#[cfg(test)]
mod tests {
    //! Goal: a log shows what went wrong and that the run is alive, and no more. Method: lines into a
    //! channel, so that a test waits for them instead of sleeping.

    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::check::Level;

    const DEADLINE: Duration = Duration::from_secs(10);
    const NEVER: Duration = Duration::from_secs(3600);

    struct Channel(Sender<String>);

    impl Write for Channel {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            // A test that is over listens no more.
            let _ = self.0.send(String::from_utf8(bytes.to_vec()).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn lines(checks: usize, interval: Duration) -> (Progress, Receiver<String>) {
        let (sender, receiver) = channel();
        (Progress::Lines(Lines::new(checks, interval, Box::new(Channel(sender)))), receiver)
    }

    fn result(id: &str, outcome: Outcome, message: &str) -> CheckResult {
        CheckResult {
            id: id.to_owned(),
            clause: "a: b".to_owned(),
            level: Level::Must,
            outcome,
            message: message.to_owned(),
            elapsed: Duration::ZERO,
            exchanges: Vec::new(),
        }
    }

    #[test]
    fn lines_tell_what_did_not_go_well_and_the_end() {
        let (progress, written) = lines(5, NEVER);
        progress.started("T-001");
        progress.finished(&result("T-001", Outcome::Pass, ""));
        progress.finished(&result("T-002", Outcome::Fail, "saw\n500"));
        progress.finished(&result("T-003", Outcome::Skip, "needs control: gc"));
        progress.finished(&result("T-004", Outcome::Moot, "T-002 did not pass"));
        progress.finished(&result("T-005", Outcome::Error, &"x".repeat(500)));
        progress.end();
        drop(progress);
        let written: String = written.iter().collect();
        let long = "x".repeat(MESSAGE_CHARS_MAX);
        assert_eq!(
            written,
            format!(
                "fail  T-002 saw 500\nmoot  T-004 T-002 did not pass\nerror T-005 {long}…\n\
                 5 of 5 checks, 2 failed\n"
            )
        );
    }

    #[test]
    fn a_quiet_run_says_what_it_waits_for() {
        let (progress, written) = lines(9, Duration::from_millis(1));
        progress.started("T-044");
        let begun = Instant::now();
        let mut text = String::new();
        while !text.contains("0 of 9 checks, 0 failed, running T-044\n") {
            assert!(begun.elapsed() < DEADLINE, "{text}");
            text.push_str(&written.recv_timeout(DEADLINE).unwrap());
        }
    }

    #[test]
    fn a_run_that_is_dropped_leaves_no_thread() {
        let (progress, written) = lines(1, NEVER);
        drop(progress);
        // The thread held the writer: once it is gone, so is the channel.
        assert!(written.recv_timeout(DEADLINE).is_err());
    }

    #[test]
    fn many_running_checks_are_counted() {
        let mut tally = Tally::new(20);
        assert_eq!(tally.status(), "0 failed");
        tally.running.extend(["a", "b", "c", "d", "e", "f", "g", "h"]);
        assert_eq!(tally.status(), "0 failed, running a b c d e f and 2 more");
    }
}
