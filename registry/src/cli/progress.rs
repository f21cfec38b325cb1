//! How long work shows that it moves: a bar on a terminal, plain lines elsewhere.
//!
//! It goes to stderr, so that stdout stays the result. It is a courtesy: that stderr is closed must not end
//! the work, so what cannot be written is dropped.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use wharfinger::oci::Digest;
use wharfinger::transfer::report::Outcome;
use wharfinger::transfer::{Failure, Progress};

/// Where there is no terminal, a line tells this often how far large content is.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// How often the bar is drawn while nothing moves.
const DRAW_INTERVAL: Duration = Duration::from_millis(200);

/// Shows progress on stderr.
pub(super) struct Shown(Form);

enum Form {
    Bar(ProgressBar),
    Lines(Mutex<Tally>),
}

struct Tally {
    expected: u64,
    done: u64,
    told_at: Instant,
}

impl Shown {
    /// Returns a bar on a terminal, lines elsewhere.
    pub(super) fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(Form::Lines(Mutex::new(Tally { expected: 0, done: 0, told_at: Instant::now() })));
        }
        let bar = ProgressBar::new(0);
        let style = "{bar:24} {bytes}/{total_bytes} {bytes_per_sec} {elapsed:>4}  {wide_msg}";
        let style = ProgressStyle::with_template(style);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(DRAW_INTERVAL);
        Self(Form::Bar(bar))
    }

    /// Shows a line.
    pub(super) fn line(&self, text: &str) {
        match &self.0 {
            Form::Bar(bar) => bar.println(plain(text)),
            Form::Lines(_) => write(text),
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        if let Form::Bar(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Shown {
    fn expect(&self, bytes: u64) {
        match &self.0 {
            Form::Bar(bar) => bar.inc_length(bytes),
            Form::Lines(tally) => tally.lock().unwrap_or_else(PoisonError::into_inner).expected += bytes,
        }
    }

    fn advance(&self, bytes: u64) {
        match &self.0 {
            Form::Bar(bar) => bar.inc(bytes),
            Form::Lines(tally) => {
                let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                tally.done += bytes;
                if tally.told_at.elapsed() >= LINE_INTERVAL {
                    tally.told_at = Instant::now();
                    write(&format!("read {} of {} so far", amount(tally.done), amount(tally.expected)));
                }
            }
        }
    }

    fn begin(&self, what: &str) {
        if let Form::Bar(bar) = &self.0 {
            bar.set_message(what.to_owned());
        }
    }

    fn end(&self, what: &str, digest: &Digest, outcome: Outcome) {
        match outcome {
            Outcome::Copied => self.line(&format!("{what}: copied, {digest}")),
            Outcome::Here => self.line(&format!("{what}: was here, {digest}")),
        }
    }

    fn fail(&self, failure: &Failure) {
        let mut line = format!("{}: failed: {}", failure.what, failure.error);
        let mut source = std::error::Error::source(&failure.error);
        while let Some(cause) = source {
            line.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        self.line(&line);
    }

    fn note(&self, text: &str) {
        self.line(text);
    }
}

fn write(text: &str) {
    // One write a line, so that lines of other programs do not get into it.
    let _ = std::io::stderr().write_all(format!("{}\n", plain(text)).as_bytes());
}

/// What others have written is shown without what a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Returns how many there are of something.
pub(super) fn count(number: u64, what: &str) -> String {
    match (number, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {what}s"),
    }
}

/// Returns an amount of bytes, as people read it.
pub(super) fn amount(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    //! Goal: a summary reads as a sentence. Method: a table.

    use super::*;

    #[test]
    fn counts_are_words() {
        assert_eq!(count(1, "repository"), "1 repository");
        assert_eq!(count(0, "repository"), "0 repositories");
        assert_eq!(count(2, "tag"), "2 tags");
        assert_eq!(amount(3 * 1024 * 1024), "3.00 MiB");
    }
}
