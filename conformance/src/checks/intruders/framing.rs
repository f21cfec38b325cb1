//! Requests that two servers read differently, so that one hides in the body of another.

use crate::check::{Check, Level, Stop, Verdict, run};
use crate::checks::BASE;
use crate::context::Context;
use crate::expect::{Findings, status, that};
use crate::wire::{Response, WireError};

pub(in crate::checks) const CHECKS: &[Check] = &[
    Check::new(
        "T-017a",
        Level::Observe,
        "RFC 9112 §5.1, §6.1, §6.3, §11.2",
        "A request whose end can be read in two ways is the last of its connection.",
        run!(two_ends),
    )
    .after(&[BASE])
    .why("What a proxy takes for a body, and the registry for a request, is answered to somebody else."),
    Check::new(
        "T-017b",
        Level::Observe,
        "RFC 9112 §3.2",
        "A request without a host, with two, or with one that is none is 400.",
        run!(one_host),
    )
    .after(&[BASE])
    .why("Realms and locations are made of it: what a proxy reads there must be what the registry reads."),
];

async fn two_ends(ctx: &Context) -> Verdict {
    let host = ctx.target().authority();
    let hidden = format!("GET /v2/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let chunks = format!("0\r\n\r\n{hidden}");
    let (short, long) = (hidden.len(), chunks.len());
    let mut findings = Findings::default();
    for (what, headers, body) in [
        ("a length and chunks", format!("Content-Length: {long}\r\nTransfer-Encoding: chunked"), &chunks),
        ("chunks and a length", format!("Transfer-Encoding: chunked\r\nContent-Length: {long}"), &chunks),
        ("two lengths, the less first", format!("Content-Length: 0\r\nContent-Length: {short}"), &hidden),
        ("two lengths, the less last", format!("Content-Length: {short}\r\nContent-Length: 0"), &hidden),
        ("two lengths in one header", format!("Content-Length: 0, {short}"), &hidden),
        ("a space before the colon", format!("Content-Length : {short}"), &hidden),
        ("a length with a sign", format!("Content-Length: +{short}"), &hidden),
        ("a length in hexadecimal", format!("Content-Length: 0x{short:x}"), &hidden),
        ("an encoding on a line of its own", encoding(long, "\r\n chunked"), &chunks),
        ("an encoding that nobody knows", encoding(long, " xchunked"), &chunks),
        ("two encodings", encoding(long, " chunked, identity"), &chunks),
        ("an encoding behind a NUL", encoding(long, " \0chunked"), &chunks),
        ("an encoding behind a bare line end", bare(long), &chunks),
        ("a name with a NUL", format!("Content-Length\0: {short}"), &hidden),
        ("a line that is no header", format!("Content-Length {short}"), &hidden),
    ] {
        let bytes = format!("POST /v2/ HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n\r\n{body}");
        let answers = ctx.send_raw_all(bytes.as_bytes(), what).await;
        findings.note(one_answer(what, answers))?;
    }
    let after = ctx.send(ctx.request("GET", "/v2/")).await?;
    findings.note(status(&after, &[200, 401]))?;
    findings.verdict()
}

fn encoding(length: usize, value: &str) -> String {
    format!("Content-Length: {length}\r\nTransfer-Encoding:{value}")
}

fn bare(length: usize) -> String {
    format!("Content-Length: {length}\r\nX-Padding: a\nTransfer-Encoding: chunked")
}

/// Passes for one answer, which is no server error but that an encoding is unknown, or for none.
fn one_answer(what: &str, answers: Result<Vec<Response>, WireError>) -> Verdict {
    let answers = match answers {
        Ok(answers) => answers,
        Err(WireError::Closed | WireError::Broken(_)) => return Ok(()),
        Err(error) => return Err(Stop::Fail(format!("{what}: {error}"))),
    };
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    that(statuses.len() < 2, || format!("{what}: answered {statuses:?}, the hidden request too"))?;
    let broken = statuses.iter().find(|status| **status >= 500 && **status != 501);
    that(broken.is_none(), || format!("{what}: answered {statuses:?}, expected a refusal"))
}

async fn one_host(ctx: &Context) -> Verdict {
    let host = ctx.target().authority();
    let mut findings = Findings::default();
    for (what, headers) in [
        ("no host", String::new()),
        ("two hosts", format!("Host: {host}\r\nHost: intruder.invalid\r\n")),
        ("two hosts, the other first", format!("Host: intruder.invalid\r\nHost: {host}\r\n")),
        ("a host with a space", "Host: intruder invalid\r\n".to_owned()),
        ("a host with a path", "Host: intruder.invalid/v2\r\n".to_owned()),
        ("a host with a query", "Host: intruder.invalid?x\r\n".to_owned()),
        ("a host with a user", format!("Host: {host}@intruder.invalid\r\n")),
        ("a host with a quote", "Host: a\",realm=\"http://intruder.invalid\r\n".to_owned()),
    ] {
        let bytes = format!("GET /v2/ HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        match ctx.send_raw(bytes.as_bytes(), what).await {
            Ok(answer) => findings.note(status(&answer, &[400]))?,
            Err(WireError::Closed | WireError::Broken(_)) => {}
            Err(error) => findings.note(that(false, || format!("{what}: {error}")))?,
        }
    }
    findings.verdict()
}
