//! Pushes of manifests: small records and their syncs, which no rate of bytes shows.

use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow, ensure};

use super::super::Effort;
use super::super::content::{MANIFEST_TYPE, REPOSITORY, numbered_manifest};
use super::super::http::Client;
use super::Figure;
use crate::server::Server;

/// Measures manifests a second, by one connection and by eight.
pub(super) fn measure(server: &Server, effort: Effort) -> Result<Vec<Figure>> {
    [1, 8].into_iter().map(|connections| by(server, connections, effort)).collect()
}

fn by(server: &Server, connections: usize, effort: Effort) -> Result<Figure> {
    let begun = Instant::now();
    let workers: Vec<_> = (0..connections)
        .map(|worker| {
            let url = server.url().to_owned();
            thread::spawn(move || {
                push_until(&url, &format!("{connections}-{worker}"), begun + effort.duration)
            })
        })
        .collect();
    let mut pushed = 0;
    for worker in workers {
        pushed += worker.join().map_err(|_| anyhow!("a thread of the load panicked"))??;
    }
    let rate = f64::from(pushed) / begun.elapsed().as_secs_f64();
    let plural = if connections == 1 { "connection" } else { "connections" };
    Ok(Figure::new(format!("push of manifests, {connections} {plural}"), format!("{rate:.0} manifests/s")))
}

/// Pushes one new manifest after another, each under a tag of its own, and returns how many.
fn push_until(url: &str, worker: &str, deadline: Instant) -> Result<u32> {
    let (mut client, mut pushed) = (Client::connect(url)?, 0);
    let header = format!("Content-Type: {MANIFEST_TYPE}");
    while Instant::now() < deadline {
        let name = format!("m{worker}-{pushed}");
        let path = format!("/v2/{REPOSITORY}/manifests/{name}");
        let answer = client.send("PUT", &path, Some(&header), numbered_manifest(&name).as_bytes())?;
        ensure!(answer.status == 201, "a manifest was answered {}", answer.status);
        pushed += 1;
    }
    Ok(pushed)
}
