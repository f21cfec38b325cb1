//! Parts of blobs: Range, If-Range and their errors (spec.md#pulling-blobs, RFC 9110 §14).

use crate::check::{Check, Content, Level, Stop, Verdict, run};
use crate::checks::blobs::at_last;
use crate::checks::{BLOB, MANIFEST};
use crate::content::{Blob, sha256};
use crate::context::Context;
use crate::expect::{Findings, body_is, header, header_is, no_server_error, status, that};
use crate::source::Held;
use crate::wire::Response;

const ANCHOR: &str = "spec.md#pulling-blobs";

/// The check without which a target serves no ranges.
const RANGES: &str = "T-034";

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "T-034",
        Level::Should,
        ANCHOR,
        "A range is answered with 206 and exactly its bytes.",
        run!(single),
    )
    .content(Content::Seeded)
    .after(&[BLOB])
    .why("Clients resume layers by range; one byte too many or too few corrupts them.")
    .breaks("containerd and skopeo when they resume; estargz and zstd:chunked when they load lazily.")
    .covers(&["R-033"]),
    Check::new(
        "T-035",
        Level::Should,
        ANCHOR,
        "Several ranges come as parts, or the whole blob comes.",
        run!(several),
    )
    .content(Content::Seeded)
    .after(&[RANGES])
    .why("One of two ranges with 206 looks like success and is not.")
    .breaks("containers/image with zstd:chunked layers.")
    .covers(&["R-033"]),
    Check::new(
        "T-036",
        Level::Observe,
        ANCHOR,
        "A thousand ranges are refused, merged or ignored.",
        run!(very_many),
    )
    .content(Content::Seeded)
    .after(&[RANGES])
    .why("Overlapping ranges by the thousand have brought servers down."),
    Check::new("T-037", Level::Should, ANCHOR, "A malformed Range is ignored or refused.", run!(malformed))
        .content(Content::Any)
        .after(&[RANGES])
        .why("RFC 9110 lets a server ignore what it does not understand; 500 it does not.")
        .covers(&["R-033", "R-004"]),
    Check::new(
        "T-038",
        Level::Should,
        ANCHOR,
        "A range of an empty blob is 416, or the empty blob.",
        run!(of_nothing),
    )
    .content(Content::Seeded)
    .after(&[RANGES])
    .why("Size zero is where offsets are computed wrong.")
    .covers(&["R-033"]),
    Check::new(
        "T-039",
        Level::Should,
        ANCHOR,
        "If-Range gives the part when it matches, else the whole.",
        run!(if_range),
    )
    .content(Content::Any)
    .after(&[RANGES])
    .why("It is how a download is resumed safely when the content may have changed.")
    .covers(&["R-033", "R-004"]),
    Check::new(
        "T-040",
        Level::Observe,
        ANCHOR,
        "HEAD with a Range tells the whole size, or the part properly.",
        run!(head),
    )
    .content(Content::Any)
    .after(&[RANGES])
    .why("Clients learn the size by HEAD; a wrong one truncates the blob."),
    Check::new("T-041", Level::Should, ANCHOR, "A range beyond the end is 416 with the size.", run!(beyond))
        .content(Content::Any)
        .after(&[RANGES])
        .why("The size tells a client that it has everything already.")
        .breaks("Resuming clients download everything again without it.")
        .covers(&["R-033"]),
    Check::new("T-042", Level::Observe, ANCHOR, "A Range on a manifest does no harm.", run!(of_manifest))
        .content(Content::Any)
        .after(&[MANIFEST])
        .why("Ranges are about blobs; a manifest in parts helps nobody but has to be right."),
    Check::new(
        "T-043",
        Level::Should,
        ANCHOR,
        "A download resumed at an offset gives the same blob.",
        run!(resumed),
    )
    .content(Content::Seeded)
    .after(&[RANGES])
    .why("It is what ranges are for.")
    .breaks("skopeo and containerd on unreliable lines.")
    .covers(&["R-033"]),
];

async fn ranged(ctx: &Context, repo: &str, blob: &Blob, range: &str) -> Result<Response, Stop> {
    ctx.follow(ctx.blob_request("GET", repo, &blob.digest).header("Range", range)).await
}

async fn single(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(1000));
    ctx.have_blob(&repo, &blob).await?;
    let mut findings = Findings::default();
    let cases = [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=990-", 990, 1000),
        ("bytes=0-", 0, 1000),
        ("bytes=-1", 999, 1000),
        ("bytes=-99999", 0, 1000),
        ("bytes=500-99999", 500, 1000),
    ];
    for (range, from, to) in cases {
        let response = ranged(ctx, &repo, &blob, range).await?;
        // The whole may come as 200: RFC 9110 lets a server ignore a range.
        if response.status == 200 && (from, to) == (0, 1000) {
            findings.note(body_is(&response, &blob.bytes))?;
            continue;
        }
        if let Err(stop) = status(&response, &[206]) {
            findings.note(Err(stop))?;
            continue;
        }
        findings.note(body_is(&response, &blob.bytes[from..to]))?;
        let content_range = format!("bytes {from}-{}/1000", to - 1);
        findings.note(header_is(&response, "Content-Range", &content_range))?;
    }
    findings.verdict()
}

async fn several(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(1000));
    ctx.have_blob(&repo, &blob).await?;
    let response = ranged(ctx, &repo, &blob, "bytes=0-9,20-29").await?;
    status(&response, &[200, 206, 400, 416])?;
    ctx.observe(format!("two ranges are answered with {}", response.status));
    if response.status == 200 {
        return body_is(&response, &blob.bytes);
    }
    if response.status != 206 {
        return Ok(());
    }
    let media = header(&response, "Content-Type")?;
    let parts = parse_parts(media, &response.body)
        .ok_or_else(|| Stop::Fail(format!("{}: 206 of type {media:?} without parts", response.label)))?;
    let expected = [
        ("bytes 0-9/1000".to_owned(), blob.bytes[..10].to_vec()),
        ("bytes 20-29/1000".to_owned(), blob.bytes[20..30].to_vec()),
    ];
    that(parts == expected, || {
        let ranges: Vec<&str> = parts.iter().map(|(range, _)| range.as_str()).collect();
        format!("{}: the parts are {ranges:?} or have other bytes", response.label)
    })
}

/// Returns the Content-Range and the bytes of each part of a multipart body.
fn parse_parts(media: &str, body: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let rest = media.strip_prefix("multipart/byteranges")?;
    let boundary = rest.split("boundary=").nth(1)?.split(';').next()?.trim_matches('"');
    let mark = format!("--{boundary}");
    let mut parts = Vec::new();
    let mut rest = &body[find(body, mark.as_bytes())? + mark.len()..];
    while rest.starts_with(b"\r\n") {
        let end = find(rest, format!("\r\n{mark}").as_bytes())?;
        let part = &rest[2..end];
        let split = find(part, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&part[..split]).into_owned();
        let range = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-range").then(|| value.trim().to_owned())
        })?;
        parts.push((range, part[split + 4..].to_vec()));
        rest = &rest[end + 2 + mark.len()..];
    }
    rest.starts_with(b"--").then_some(parts)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

async fn very_many(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(4000));
    ctx.have_blob(&repo, &blob).await?;
    let ranges: Vec<String> = (0..1000).map(|at| format!("{}-{}", at * 2, at * 2)).collect();
    let response = ranged(ctx, &repo, &blob, &format!("bytes={}", ranges.join(","))).await?;
    status(&response, &[200, 206, 400, 416, 431])?;
    ctx.observe(format!("a thousand ranges are answered with {}", response.status));
    that(response.body.len() < 1_000_000, || {
        format!("{}: {} bytes for a blob of 4000", response.label, response.body.len())
    })
}

async fn malformed(ctx: &Context) -> Verdict {
    let (repo, blob) = ctx.held_blob(500).await?;
    let mut findings = Findings::default();
    for range in ["bytes=a-b", "items=0-1", "bytes=", "bytes=9-1", "bytes", "bytes=1-2-3", "bytes=--1"] {
        let response = ranged(ctx, &repo, &blob, range).await?;
        findings.note(status(&response, &[200, 400, 416]))?;
        if response.status == 200 {
            findings.note(body_is(&response, &blob.bytes))?;
        }
    }
    findings.verdict()
}

async fn of_nothing(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), Blob::new(*b""));
    ctx.have_blob(&repo, &blob).await?;
    let response = ranged(ctx, &repo, &blob, "bytes=0-0").await?;
    status(&response, &[200, 416])?;
    if response.status == 416 {
        header_is(&response, "Content-Range", "bytes */0")
    } else {
        body_is(&response, b"")
    }
}

async fn if_range(ctx: &Context) -> Verdict {
    let (repo, blob) = ctx.held_blob(500).await?;
    let etag = ctx.pull_blob(&repo, &blob.digest).await?.header("ETag").map(str::to_owned);
    let Some(etag) = etag.filter(|etag| !etag.starts_with("W/")) else {
        return Err(Stop::Skip("blobs have no strong ETag".to_owned()));
    };
    let request = |condition: &str| {
        ctx.blob_request("GET", &repo, &blob.digest)
            .header("Range", "bytes=0-0")
            .header("If-Range", condition)
    };
    let matching = ctx.follow(request(&etag)).await?;
    status(&matching, &[206])?;
    body_is(&matching, &blob.bytes[..1])?;
    let other = ctx.follow(request("\"other\"")).await?;
    status(&other, &[200])?;
    body_is(&other, &blob.bytes)
}

async fn head(ctx: &Context) -> Verdict {
    let (repo, blob) = ctx.held_blob(500).await?;
    let request = ctx.blob_request("HEAD", &repo, &blob.digest).header("Range", "bytes=0-0");
    let response = ctx.follow(request).await?;
    status(&response, &[200, 206])?;
    let length = if response.status == 200 { blob.bytes.len() } else { 1 };
    header_is(&response, "Content-Length", &length.to_string())
}

async fn beyond(ctx: &Context) -> Verdict {
    let (repo, blob) = ctx.held_blob(500).await?;
    let (size, mut findings) = (blob.bytes.len(), Findings::default());
    for range in [format!("bytes={size}-"), format!("bytes={}-{}", size * 10, size * 10 + 1000)] {
        let response = ranged(ctx, &repo, &blob, &range).await?;
        findings.note(status(&response, &[416]))?;
        findings.note(header_is(&response, "Content-Range", &format!("bytes */{size}")))?;
    }
    findings.verdict()
}

async fn of_manifest(ctx: &Context) -> Verdict {
    let Held { repo, reference, image } = ctx.held().await?;
    let response = ctx.follow(ctx.manifest("GET", &repo, &reference).header("Range", "bytes=0-9")).await?;
    no_server_error(&response)?;
    status(&response, &[200, 206])?;
    let expected =
        if response.status == 200 { &image.manifest.bytes[..] } else { &image.manifest.bytes[..10] };
    body_is(&response, expected)
}

async fn resumed(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(2_000_000));
    ctx.have_blob(&repo, &blob).await?;
    let request = at_last(ctx, ctx.blob_request("GET", &repo, &blob.digest)).await?;
    let mut connection = ctx.open().await?;
    let begun = async {
        connection.send_only(&request).await?;
        connection.read_raw(100_000).await
    };
    let head = begun.await.map_err(|error| Stop::Fail(format!("{}: {error}", request.label())))?;
    drop(connection);
    let start = find(&head, b"\r\n\r\n").map_or(head.len(), |at| at + 4);
    let mut bytes = head[start..].to_vec();
    if !blob.bytes.starts_with(&bytes) {
        return Err(Stop::Skip("the blob is served in chunks".to_owned()));
    }
    let response = ranged(ctx, &repo, &blob, &format!("bytes={}-", bytes.len())).await?;
    status(&response, &[206])?;
    header_is(&response, "Content-Range", &format!("bytes {}-1999999/2000000", bytes.len()))?;
    bytes.extend_from_slice(&response.body);
    let digest = sha256(&bytes);
    that(digest == blob.digest, || format!("both parts together are {digest}, expected {}", blob.digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_exactly() {
        let body = b"--B\r\nContent-Range: bytes 0-1/9\r\n\r\nab\r\n--B\r\ncontent-type: x\r\ncontent-range: bytes 4-5/9\r\n\r\n\r\n\r\n--B--\r\n";
        let parts = parse_parts("multipart/byteranges; boundary=\"B\"", body).unwrap();
        assert_eq!(parts[0], ("bytes 0-1/9".to_owned(), b"ab".to_vec()));
        assert_eq!(parts[1], ("bytes 4-5/9".to_owned(), b"\r\n".to_vec()));
        assert_eq!(parts.len(), 2);
        assert!(parse_parts("application/octet-stream", body).is_none());
        assert!(parse_parts("multipart/byteranges; boundary=C", body).is_none());
    }
}
