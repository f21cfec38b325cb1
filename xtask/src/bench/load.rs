//! Load on one url: by wrk where it is installed, else by plain threads.

use std::process::Command;
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use regex::Regex;

use super::http::{Client, split_url};
use crate::process::is_on_path;

/// What every client of a registry says that it takes.
const ACCEPT: &str = "Accept: application/vnd.oci.image.manifest.v1+json, */*";

/// What came through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Load {
    pub(super) requests_per_s: f64,
    pub(super) bytes_per_s: f64,
}

static REQUESTS: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?m)^Requests/sec:\s+([0-9.]+)$"));
static TRANSFER: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?m)^Transfer/sec:\s+([0-9.]+)([KMGT]?)B$"));
static ERRORS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?m)^\s*(?:Non-2xx or 3xx responses|Socket errors): .*$"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is a constant that a test has compiled")
}

/// Loads `url` for `duration`, with one more header line where the server wants one.
///
/// *Errors*: any answer but 200, any broken connection: the rate of errors is no speed.
pub(super) fn measure(
    url: &str,
    header: Option<&str>,
    connections: usize,
    duration: Duration,
) -> Result<Load> {
    if is_on_path("wrk") {
        by_wrk(url, header, connections, duration)
    } else {
        by_threads(url, header, connections, duration)
    }
}

/// Loads by wrk, with one thread: two processors are shared with the server.
fn by_wrk(url: &str, header: Option<&str>, connections: usize, duration: Duration) -> Result<Load> {
    let more = header.map(|header| ["--header", header]);
    let output = Command::new("wrk")
        .args(["--threads", "1", "--timeout", "30s", "--connections", &connections.to_string()])
        .args(["--duration", &format!("{}s", duration.as_secs().max(1)), "--header", ACCEPT])
        .args(more.iter().flatten())
        .arg(url)
        .output()
        .context("starting wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "wrk ended with {}: {text}", output.status);
    parse_wrk(&text)
}

fn parse_wrk(text: &str) -> Result<Load> {
    if let Some(errors) = ERRORS.find(text) {
        bail!("wrk saw errors: {}", errors.as_str().trim());
    }
    let requests = REQUESTS.captures(text).with_context(|| format!("wrk printed no Requests/sec: {text}"))?;
    let transfer = TRANSFER.captures(text).with_context(|| format!("wrk printed no Transfer/sec: {text}"))?;
    // wrk counts in powers of 1024.
    let power = ["", "K", "M", "G", "T"].iter().position(|unit| *unit == &transfer[2]).unwrap_or(0);
    let factor = (0..power).fold(1.0, |factor, _| factor * 1024.0);
    Ok(Load {
        requests_per_s: requests[1].parse().context("reading Requests/sec")?,
        bytes_per_s: transfer[1].parse::<f64>().context("reading Transfer/sec")? * factor,
    })
}

/// Loads by one thread a connection.
fn by_threads(url: &str, header: Option<&str>, connections: usize, duration: Duration) -> Result<Load> {
    let header = header.map_or_else(|| ACCEPT.to_owned(), |header| format!("{ACCEPT}\r\n{header}"));
    let begun = Instant::now();
    let workers: Vec<_> = (0..connections)
        .map(|_| {
            let (url, header) = (url.to_owned(), header.clone());
            thread::spawn(move || one_connection(&url, &header, begun + duration))
        })
        .collect();
    let (mut requests, mut bytes) = (0.0, 0.0);
    for worker in workers {
        let counts = worker.join().map_err(|_| anyhow!("a thread of the load panicked"))??;
        requests += counts.0 as f64;
        bytes += counts.1 as f64;
    }
    // Until the last answer, which may come after the deadline: it was counted too.
    let took = begun.elapsed().as_secs_f64();
    Ok(Load { requests_per_s: requests / took, bytes_per_s: bytes / took })
}

/// Sends one request after another until the deadline; returns how many, and the bytes of their answers.
fn one_connection(url: &str, header: &str, deadline: Instant) -> Result<(u64, u64)> {
    let (_, path) = split_url(url)?;
    let mut client = Client::connect(url)?;
    let (mut requests, mut bytes) = (0, 0);
    while Instant::now() < deadline {
        let answer = client.send("GET", path, Some(header), b"")?;
        ensure!(answer.status == 200, "{url} was answered {}", answer.status);
        requests += 1;
        bytes += answer.length;
    }
    Ok((requests, bytes))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::thread;
    use std::time::Duration;

    use super::{Load, by_threads, parse_wrk};

    #[test]
    fn the_words_of_wrk_are_read() {
        let text = "Running 2s test @ http://127.0.0.1:1/\n  1 threads and 4 connections\n  34 requests in 2.01s, 3.32GB read\n\
            Requests/sec:     16.93\nTransfer/sec:      1.50GB\n";
        let expect = Load { requests_per_s: 16.93, bytes_per_s: 1.5 * 1024.0 * 1024.0 * 1024.0 };
        assert_eq!(parse_wrk(text).unwrap(), expect);
        let small = "Requests/sec:     1.00\nTransfer/sec:    512.00B\n";
        assert_eq!(parse_wrk(small).unwrap(), Load { requests_per_s: 1.0, bytes_per_s: 512.0 });
    }

    #[test]
    fn errors_are_no_speed() {
        let text = "  Non-2xx or 3xx responses: 12\nRequests/sec:     1.00\nTransfer/sec:    512.00B\n";
        assert!(parse_wrk(text).unwrap_err().to_string().contains("responses: 12"));
        assert!(parse_wrk("unable to connect").is_err());
    }

    /// A server of one connection that answers every request with `answer`.
    fn serve(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/x", listener.local_addr().unwrap());
        thread::spawn(move || {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|length| length > 0) {
                if line == "\r\n" && stream.get_mut().write_all(answer.as_bytes()).is_err() {
                    return;
                }
                line.clear();
            }
        });
        url
    }

    #[test]
    fn threads_load_too() {
        let url = serve("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd");
        let load = by_threads(&url, None, 1, Duration::from_millis(50)).unwrap();
        assert!(load.requests_per_s > 0.0);
        assert!((load.bytes_per_s / load.requests_per_s - 4.0).abs() < 1e-6, "{load:?}");
        let url = serve("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        let error = by_threads(&url, None, 1, Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("was answered 404"), "{error}");
    }
}
