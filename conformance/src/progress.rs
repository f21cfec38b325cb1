//! How a run shows that it moves: a bar on a terminal, a line a check elsewhere, or nothing.

use std::io::{IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressStyle};

use crate::report::CheckResult;

/// Where progress is shown; always stderr, so that stdout stays the report.
#[derive(Debug)]
pub enum Progress {
    /// Shows nothing: for callers in a program.
    Silent,
    /// Writes one line a check.
    Lines,
    /// Draws a bar.
    Bar(ProgressBar),
}

impl Progress {
    /// Returns a bar on a terminal, lines elsewhere.
    pub fn for_stderr(checks: usize) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines;
        }
        let bar = ProgressBar::new(checks.try_into().unwrap_or(u64::MAX));
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} checks  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self::Bar(bar)
    }

    /// Shows that a check ended.
    pub fn finished(&self, result: &CheckResult) {
        match self {
            Self::Silent => {}
            Self::Lines => {
                // Progress is a courtesy: a closed stderr must not end the run.
                let _ = writeln!(std::io::stderr(), "{:5} {}", result.outcome, result.id);
            }
            Self::Bar(bar) => {
                if result.outcome.is_red() {
                    bar.println(format!("{:5} {} {}", result.outcome, result.id, result.message));
                }
                bar.set_message(result.id.clone());
                bar.inc(1);
            }
        }
    }

    /// Removes the bar.
    pub fn end(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
