//! The figures as Markdown: ratios, with the aims beside them.

use std::fmt::Write as _;
use std::time::Duration;

use super::client::Pull;
use super::upstream::{BYTES_PER_SECOND, ROUND_TRIP_MS};

/// The aim for the time of a pull, beside a direct one.
const TOTAL_RATIO_AIM: f64 = 1.05;

/// Pulls of one client, in turns.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) breadth: usize,
    pub(super) direct: Vec<Pull>,
    pub(super) proxied: Vec<Pull>,
}

/// Pulls of many clients at once.
#[derive(Debug)]
pub(super) struct Crowd {
    pub(super) state: &'static str,
    pub(super) breadth: usize,
    /// Until the last client had everything.
    pub(super) took: Duration,
    pub(super) pulls: Vec<Pull>,
    /// What all clients got together.
    pub(super) bytes: u64,
    /// What left the upstream, in sizes of the image.
    pub(super) upstream_ratio: f64,
    pub(super) memory_before: u64,
    pub(super) memory_after: u64,
    pub(super) wharfinger_processor: Duration,
    pub(super) own_processor: Duration,
    /// What everything on the machine used meanwhile, these two with it.
    pub(super) machine_processor: Duration,
}

/// All figures of a run.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) pairs: Vec<Pair>,
    pub(super) crowds: Vec<Crowd>,
}

impl Report {
    /// Writes the tables.
    pub(super) fn markdown(&self) -> String {
        let mut text = format!(
            "One client pulls a cold image of 100 MiB in 5 layers; the upstream is {ROUND_TRIP_MS} ms away \
             and gives {} MB/s a connection. Medians.\n\n\
             | blobs at once | | direct | through wharfinger | | aim | |\n|---:|---|---:|---:|---:|---:|---|\n",
            BYTES_PER_SECOND / 1_000_000
        );
        for pair in &self.pairs {
            pair.write(&mut text);
        }
        text.push_str(
            "\nMany clients pull the same image at once, each with connections of its own; every digest was \
             right. The clients and the upstream are one process; where the processors are busy all the time, \
             they are what is measured.\n\n\
             | clients | blobs at once | image | upstream bytes | all done | first byte, median | served | \
             wharfinger's peak memory, before and after | processor of wharfinger, of clients | processors busy, with others' work |\n\
             |---:|---:|---|---:|---:|---:|---:|---:|---:|---:|\n",
        );
        for crowd in &self.crowds {
            crowd.write(&mut text);
        }
        text
    }
}

impl Pair {
    fn write(&self, text: &mut String) {
        let total = |pulls: &[Pull]| median(pulls.iter().map(|pull| pull.total));
        self.write_ratio(text, "whole pull", [total(&self.direct), total(&self.proxied)]);
        // What else the machine does only ever adds to a time.
        let best = |pulls: &[Pull]| pulls.iter().map(|pull| pull.total).min().unwrap_or_default();
        self.write_ratio(text, "whole pull, the fastest", [best(&self.direct), best(&self.proxied)]);
        let first = |pulls: &[Pull]| median(pulls.iter().map(|pull| pull.first_byte));
        let (direct, proxied) = (first(&self.direct), first(&self.proxied));
        let more = (proxied.as_secs_f64() - direct.as_secs_f64()) * 1e3;
        let met = verdict(more <= ROUND_TRIP_MS as f64);
        let (breadth, direct, proxied) = (self.breadth, ms(direct), ms(proxied));
        line(
            text,
            &format!(
                "{breadth} | first byte of the largest layer | {direct} | {proxied} | {more:+.1} ms | ≤ +{ROUND_TRIP_MS} ms | {met}"
            ),
        );
    }

    fn write_ratio(&self, text: &mut String, what: &str, [direct, proxied]: [Duration; 2]) {
        let ratio = proxied.as_secs_f64() / direct.as_secs_f64();
        let (met, direct, proxied) = (verdict(ratio <= TOTAL_RATIO_AIM), ms(direct), ms(proxied));
        let breadth = self.breadth;
        line(
            text,
            &format!("{breadth} | {what} | {direct} | {proxied} | {ratio:.2} | ≤ {TOTAL_RATIO_AIM} | {met}"),
        );
    }
}

impl Crowd {
    fn write(&self, text: &mut String) {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let (ours, own) = (self.wharfinger_processor.as_secs_f64(), self.own_processor.as_secs_f64());
        let seconds = self.took.as_secs_f64();
        let cells = format!(
            "{} | {} | {} | {:.2}× | {seconds:.1} s | {} | {:.0} MB/s | {}, {} | {ours:.1} s, {own:.1} s | {:.0}%, {:.0}% of {cores}",
            self.pulls.len(),
            self.breadth,
            self.state,
            self.upstream_ratio,
            ms(median(self.pulls.iter().map(|pull| pull.first_byte))),
            self.bytes as f64 / seconds / 1e6,
            megabytes(self.memory_before),
            megabytes(self.memory_after),
            (ours + own) / seconds / cores * 100.0,
            self.machine_processor.as_secs_f64() / seconds / cores * 100.0,
        );
        line(text, &cells);
    }
}

fn line(text: &mut String, cells: &str) {
    writeln!(text, "| {cells} |").expect("writing to a string cannot fail");
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "missed" }
}

fn ms(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

/// Returns the middle value; zero of none.
fn median(values: impl Iterator<Item = Duration>) -> Duration {
    let mut values: Vec<Duration> = values.collect();
    values.sort();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
