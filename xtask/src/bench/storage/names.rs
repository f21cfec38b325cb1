//! The generated store behind a server: its start, its lists, and walks through all names.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::super::http::Client;
use super::{Figure, median, peak, serve, time};
use crate::cargo::Workspace;
use crate::server::Server;

/// What the generator has made, which a walk has to see.
const REPOSITORIES: usize = 10_001;
const LARGE_TAGS: usize = 100_000;
const TAGS: &str = "/v2/large/app/tags/list";
const CATALOG: &str = "/v2/_catalog";
/// How long a server may still work after its start before that is told as it stands.
const REST_PATIENCE: Duration = Duration::from_secs(60);
/// How long it has to be idle to be at rest.
const REST: Duration = Duration::from_secs(1);

/// Starts the server a few times, and asks the last one for its lists.
pub(super) fn measure(
    workspace: &Workspace,
    program: &Path,
    store: &Path,
    quick: bool,
) -> Result<Vec<Figure>> {
    let log = workspace.reports("bench-storage-names.log");
    let (mut starts, mut used, mut kept) = (Vec::new(), Vec::new(), None);
    for _ in 0..if quick { 3 } else { 7 } {
        drop(kept.take());
        let begun = Instant::now();
        let server = serve(program, store, &log)?;
        let answer = Client::connect(server.url())?.send("GET", "/readyz", None, b"")?;
        starts.push(begun.elapsed());
        ensure!(answer.status == 200, "/readyz was answered {}", answer.status);
        let at_start = server.guard().processor_time()?;
        used.push(rest(&server)?.saturating_sub(at_start));
        kept = Some(server);
    }
    let server = kept.context("no start")?;
    let mut figures = vec![
        Figure::below("start to ready, median", median(starts), "< 1 s", Duration::from_secs(1)),
        Figure::new("processor time of what goes on after a start, median", time(median(used))),
        Figure::new(
            "memory after that (VmHWM)",
            format!("{:.0} MB", server.guard().memory_peak()? as f64 / 1e6),
        ),
    ];
    figures.extend(pages(&server, (TAGS, "tags", "tags of one repository", LARGE_TAGS), quick)?);
    figures.extend(pages(&server, (CATALOG, "repositories", "names of the catalog", REPOSITORIES), quick)?);
    figures.push(peak(&server)?);
    Ok(figures)
}

/// Waits until the server uses no processor any more, and returns what it has used by then.
fn rest(server: &Server) -> Result<Duration> {
    let (begun, mut last, mut since) = (Instant::now(), server.guard().processor_time()?, Instant::now());
    while begun.elapsed() < REST_PATIENCE && since.elapsed() < REST {
        // Parking, since there is no event to wait for: work in the background tells nobody that it ended.
        thread::park_timeout(REST / 10);
        let now = server.guard().processor_time()?;
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    Ok(last)
}

/// Measures the pages of one list, and walks through it.
fn pages(
    server: &Server,
    (path, list, what, count): (&str, &str, &str, usize),
    quick: bool,
) -> Result<Vec<Figure>> {
    println!("pages of {what}");
    let mut client = Client::connect(server.url())?;
    let mut timed = |path: &str| -> Result<Duration> {
        let begun = Instant::now();
        page(&mut client, path, list)?;
        Ok(begun.elapsed())
    };
    let first = format!("{path}?n=100");
    let cold = timed(&first)?;
    let warm = median((0..200).map(|_| timed(&first)).collect::<Result<_>>()?);
    let full = median((0..20).map(|_| timed(path)).collect::<Result<_>>()?);
    let aim = Duration::from_millis(10);
    let mut figures = vec![
        Figure::new(format!("first page of {count} {what}, n=100, the first time"), time(cold)),
        Figure::below(
            format!("the same once scanned, median of 200 (of {count} {what})"),
            warm,
            "< 10 ms",
            aim,
        ),
        Figure::new(format!("a full page of 10,000 {what}, median"), time(full)),
    ];
    let mut all = Vec::new();
    for n in if quick { vec![997, 10_000] } else { vec![100, 997, 1_000, 10_000] } {
        let begun = Instant::now();
        all = walk(&mut client, &format!("{path}?n={n}"), list)?;
        let took = begun.elapsed();
        check(&all, count).with_context(|| format!("{what}, n={n}"))?;
        figures.push(Figure::new(format!("walk through all {count} {what}, n={n}"), time(took)));
    }
    let asked = if quick { 200 } else { 2_000 };
    anywhere(&mut client, (path, list), &all, asked)?;
    figures.push(Figure::new(
        format!("pages of {what} after {asked} random places, none wrong"),
        format!("{asked} of {asked}"),
    ));
    Ok(figures)
}

/// Returns the names of a page, and where the next one is.
fn page(client: &mut Client, path: &str, list: &str) -> Result<(Vec<String>, Option<String>)> {
    let (answer, body) = client.get(path, None)?;
    ensure!(answer.status == 200, "{path} was answered {}", answer.status);
    let body: Value = serde_json::from_slice(&body).with_context(|| format!("{path}: no JSON"))?;
    let names = body[list].as_array().with_context(|| format!("{path}: no {list}"))?;
    let names = names.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let link = answer.header("link").and_then(|link| link.strip_prefix('<'));
    Ok((names, link.and_then(|link| link.split_once('>')).map(|(path, _)| path.to_owned())))
}

/// Follows the links from a page to the last one.
fn walk(client: &mut Client, path: &str, list: &str) -> Result<Vec<String>> {
    let (mut all, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(at) = next {
        let (names, after) = page(client, &at, list)?;
        ensure!(!names.is_empty() || after.is_none(), "{at}: a page of nothing leads on");
        all.extend(names);
        next = after;
    }
    Ok(all)
}

/// Nothing is skipped, repeated or out of order.
fn check(all: &[String], count: usize) -> Result<()> {
    ensure!(all.is_sorted(), "the names are out of order");
    let distinct = all.iter().collect::<BTreeSet<_>>().len();
    match (distinct == count, all.len() == distinct) {
        (true, true) => Ok(()),
        (_, false) => bail!("{} names are repeated", all.len() - distinct),
        (false, _) => bail!("{distinct} names were seen of {count}"),
    }
}

/// Asks for pages of any size after any place, and compares them with what a walk has seen.
fn anywhere(client: &mut Client, (path, list): (&str, &str), all: &[String], asked: usize) -> Result<()> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut roll = |sides: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize % sides
    };
    for _ in 0..asked {
        let (n, mut last) = (1 + roll(500), all[roll(all.len())].clone());
        match roll(3) {
            0 => {}
            1 => last.push('0'),
            _ => last.truncate(last.len() - 1),
        }
        let (names, _) = page(client, &format!("{path}?n={n}&last={}", last.replace('/', "%2F")), list)?;
        let begin = all.partition_point(|name| *name <= last);
        ensure!(names == all[begin..all.len().min(begin + n)], "{path}: n={n} after {last} is wrong");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_walk_that_skips_or_repeats_is_told() {
        let names = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(check(&names("a b c"), 3).is_ok());
        let error = |text, count| check(&names(text), count).unwrap_err().to_string();
        assert_eq!(error("a c", 3), "2 names were seen of 3");
        assert_eq!(error("a b b c", 3), "1 names are repeated");
        assert_eq!(error("b a", 2), "the names are out of order");
    }
}
