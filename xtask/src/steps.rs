//! The steps of a long task: each announced, timed and counted; a broken one does not stop the rest.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::tally::Tally;

/// What has run so far.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    tally: Tally,
    lines: Vec<String>,
}

impl Steps {
    /// Runs one step and returns its counts. An error of the runner itself counts as one failure.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> Result<Tally>) -> Tally {
        println!("\n== {name}");
        let begun = Instant::now();
        let tally = step().unwrap_or_else(|error| {
            println!("{name}: {error:#}");
            Tally::FAILED
        });
        self.tally += tally;
        let line = format!("{name}: {tally}, {}", seconds(begun.elapsed()));
        println!("== {line}");
        self.lines.push(line);
        tally
    }

    /// Prints every step again on one screen, and returns the sum.
    pub(crate) fn finish(self) -> Tally {
        println!("\n== summary");
        for line in &self.lines {
            println!("{line}");
        }
        self.tally
    }
}

/// Writes a duration with one decimal.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::Steps;
    use crate::tally::Tally;

    #[test]
    fn a_broken_step_is_a_failure_and_the_next_one_runs() {
        let mut steps = Steps::default();
        steps.run("one", || Err(anyhow!("broken")));
        steps.run("two", || Ok(Tally { passed: 3, failed: 0, skipped: 1 }));
        assert_eq!(steps.finish(), Tally { passed: 3, failed: 1, skipped: 1 });
    }
}
