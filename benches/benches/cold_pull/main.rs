//! Cold pulls through a wharfinger process, beside the same pulls directly from the same upstream.
//!
//! The upstream is the simulator's, in this process: 20 ms away and 100 MB/s a connection. Every client
//! hashes what it gets. Wrong bytes, and bytes that are fetched twice, end the program with an error;
//! times are figures. Nothing here paces what the loopback and the processors can do: with many clients
//! they are the limit, so that pulls of what is cached stand beside the cold ones.
//!
//! The table goes to stdout, what is being done to stderr. `WHARFINGER_BIN` names the program.

mod client;
mod process;
mod report;
mod upstream;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;

use self::client::{Client, Pull};
use self::process::{Usage, Wharfinger, machine_processor_time, own_processor_time};
use self::report::{Crowd, Pair, Report};
use self::upstream::Upstream;

/// How many clients pull at once.
const CLIENTS: usize = 200;
/// How often one client pulls, each way and at each breadth.
const ROUNDS: usize = 7;
const ROUNDS_QUICK: usize = 3;
/// How many blobs a client fetches at once: one, and what docker does.
const BREADTHS: [usize; 2] = [1, 3];

fn main() -> Result<()> {
    // `cargo test --benches` starts this, too; only `cargo bench` says so.
    let args: Vec<String> = std::env::args().skip(1).collect();
    if !args.iter().any(|arg| arg == "--bench") {
        return Ok(());
    }
    let rounds = if args.iter().any(|arg| arg == "--quick") { ROUNDS_QUICK } else { ROUNDS };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(measure(rounds))?;
    print!("{}", report.markdown());
    Ok(())
}

async fn measure(rounds: usize) -> Result<Report> {
    let program = std::env::var_os("WHARFINGER_BIN").context("WHARFINGER_BIN names no program")?;
    let upstream = Upstream::start().await?;
    let mut report = Report::default();
    for breadth in BREADTHS {
        let mut pair = Pair { breadth, direct: Vec::new(), proxied: Vec::new() };
        for round in 1..=rounds {
            eprintln!("one client, {breadth} at once: round {round} of {rounds}");
            let direct = Client::warm(&upstream.url(), &upstream).await?;
            pair.direct.push(direct.pull(&upstream.image, breadth).await?);
            let wharfinger = Wharfinger::start(&program, &upstream.url())?;
            let proxied = Client::warm(wharfinger.url(), &upstream).await?;
            let mark = upstream.mark();
            pair.proxied.push(proxied.pull(&upstream.image, breadth).await?);
            upstream.expect_fetched_once(mark).await?;
        }
        report.pairs.push(pair);
    }
    for breadth in BREADTHS {
        let (cold, warm) = crowds(&program, &upstream, breadth).await?;
        report.crowds.extend([cold, warm]);
    }
    Ok(report)
}

/// Lets many clients pull what is cold, and then again what is cached.
async fn crowds(program: &std::ffi::OsStr, upstream: &Upstream, breadth: usize) -> Result<(Crowd, Crowd)> {
    let wharfinger = Wharfinger::start(program, &upstream.url())?;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Client::warm(wharfinger.url(), upstream).await?);
    }
    let mark = upstream.mark();
    eprintln!("{CLIENTS} clients, {breadth} at once: cold");
    let cold = crowd(&wharfinger, upstream, &mut clients, breadth, "cold").await?;
    let ratio = upstream.expect_fetched_once(mark).await?;
    eprintln!("{CLIENTS} clients, {breadth} at once: cached");
    let mark = upstream.mark();
    let warm = crowd(&wharfinger, upstream, &mut clients, breadth, "cached").await?;
    let again = upstream.blob_bytes_since(mark);
    ensure!(again == 0, "{again} bytes of what is cached were fetched again");
    Ok((Crowd { upstream_ratio: ratio, ..cold }, warm))
}

async fn crowd(
    wharfinger: &Wharfinger,
    upstream: &Upstream,
    clients: &mut Vec<Client>,
    breadth: usize,
    state: &'static str,
) -> Result<Crowd> {
    let (before, own_before, all_before) =
        (wharfinger.usage()?, own_processor_time()?, machine_processor_time()?);
    let begun = Instant::now();
    let mut running = JoinSet::new();
    for client in clients.drain(..) {
        let image = upstream.image.clone();
        running.spawn(async move {
            let pulled = client.pull(&image, breadth).await;
            (client, pulled)
        });
    }
    let mut pulls: Vec<Pull> = Vec::new();
    while let Some(done) = running.join_next().await {
        let (client, pulled) = done.context("a client panicked")?;
        pulls.push(pulled?);
        clients.push(client);
    }
    let took = begun.elapsed();
    let (after, own, all): (Usage, Duration, Duration) =
        (wharfinger.usage()?, own_processor_time()?, machine_processor_time()?);
    Ok(Crowd {
        state,
        breadth,
        took,
        bytes: upstream.image_bytes() * pulls.len() as u64,
        pulls,
        upstream_ratio: 0.0,
        memory_before: before.memory_peak,
        memory_after: after.memory_peak,
        wharfinger_processor: after.processor.saturating_sub(before.processor),
        own_processor: own.saturating_sub(own_before),
        machine_processor: all.saturating_sub(all_before),
    })
}
