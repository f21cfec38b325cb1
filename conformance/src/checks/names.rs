//! Names and references: the grammar, its limits, and what tries to get around it
//! (spec.md#pulling-manifests, "Name" and "Reference").

use crate::check::{Check, Level, Verdict, run};
use crate::checks::{BLOB, MANIFEST};
use crate::content::Manifest;
use crate::context::Context;
use crate::expect::{Findings, no_server_error, refused, status, that};
use crate::wire::WireError;

const ANCHOR: &str = "spec.md#pulling-manifests";

/// Statuses that refuse a name: also a redirect to a cleaned path, which is a refusal to serve this one.
const REFUSALS: [u16; 9] = [301, 302, 307, 308, 400, 403, 404, 405, 414];

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "T-010",
        Level::Must,
        ANCHOR,
        "A name with upper case letters is no name: 400 or 404.",
        run!(upper_case),
    )
    .after(&[BLOB])
    .why("Names that differ only in case collide on some stores and are refused by every client.")
    .covers(&["R-011"]),
    Check::new(
        "T-011",
        Level::Must,
        ANCHOR,
        "Every name of the grammar can be pushed to.",
        run!(legal_names),
    )
    .after(&[BLOB])
    .why("A grammar read too strictly locks out images that exist elsewhere and are mirrored.")
    .breaks("Any client with such a name; `a--b` comes from CI branches.")
    .covers(&["R-011"]),
    Check::new(
        "T-012",
        Level::Must,
        ANCHOR,
        "A name outside the grammar creates nothing.",
        run!(illegal_names),
    )
    .after(&[BLOB])
    .why("What one component accepts and another refuses can be pushed but never pulled or deleted.")
    .covers(&["R-011"]),
    Check::new(
        "T-013",
        Level::Must,
        ANCHOR,
        "Paths that climb out of a repository are refused.",
        run!(traversal),
    )
    .after(&[BLOB])
    .why("A name that becomes a file name reads and writes outside the store.")
    .covers(&["R-011", "R-014"]),
    Check::new(
        "T-014",
        Level::Should,
        ANCHOR,
        "Names that look like parts of the API work.",
        run!(api_words),
    )
    .after(&[MANIFEST])
    .why("A router that reads from the left takes the word in the name for the endpoint.")
    .breaks("Any client with a repository called blobs, tags or manifests.")
    .covers(&["R-011"]),
    Check::new(
        "T-015",
        Level::Observe,
        ANCHOR,
        "A long name is taken or refused, a very long one refused.",
        run!(long_names),
    )
    .after(&[BLOB])
    .why("Names become file names and keys, which have limits; passing them breaks with a 500.")
    .covers(&["R-012"]),
    Check::new(
        "T-016",
        Level::Must,
        ANCHOR,
        "A tag of 128 characters works, what is outside the grammar does not.",
        run!(tags),
    )
    .after(&[MANIFEST])
    .why("A tag that is stored but cannot be asked for is lost, and shadows the real one in lists.")
    .covers(&["R-013", "R-014"]),
    Check::new(
        "T-017",
        Level::Observe,
        ANCHOR,
        "NUL, line ends and bytes that are no text in a path are refused.",
        run!(odd_bytes),
    )
    .why("They split log lines and headers, and end file names early."),
];

async fn upper_case(ctx: &Context) -> Verdict {
    let mut findings = Findings::default();
    let name = format!("{}/UPPER", ctx.repo());
    let get = ctx.send(ctx.manifest("GET", &name, "t")).await?;
    findings.note(status(&get, &[400, 404]))?;
    findings.note(crate::expect::listed(&get))?;
    let post = ctx.send(ctx.begin(&name)).await?;
    findings.note(status(&post, &[400, 404]))?;
    findings.note(crate::expect::listed(&post))?;
    findings.verdict()
}

async fn legal_names(ctx: &Context) -> Verdict {
    let mut findings = Findings::default();
    for tail in ["a--b", "a__b", "a.b/c_d/e-f", "0", "a---b", "1.2.3"] {
        let (repo, blob) = (format!("{}/{tail}", ctx.repo()), ctx.blob(64));
        let begun = ctx.send(ctx.begin(&repo)).await?;
        if let Err(stop) = status(&begun, &[202]) {
            findings.note(Err(stop))?;
            continue;
        }
        let session = ctx.location(&begun)?;
        let response = ctx.send(ctx.finish(&session, &blob.digest, &blob.bytes)).await?;
        findings.note(status(&response, &[201]))?;
        findings.note(ctx.blob_is(&repo, &blob.digest, &blob.bytes).await)?;
    }
    findings.verdict()
}

async fn illegal_names(ctx: &Context) -> Verdict {
    let mut findings = Findings::default();
    for tail in
        ["a___b", "-a", "a-", "a..b", "/b", "a//b", "a/./b", "a/../b", "_a", "a.", "a_-b", "é", "a%20b"]
    {
        let name = format!("{}/{tail}", ctx.repo());
        let response = ctx.send(ctx.begin(&name)).await?;
        findings.note(status(&response, &REFUSALS))?;
        let response = ctx.send(ctx.manifest("GET", &name, "t")).await?;
        findings.note(status(&response, &REFUSALS))?;
    }
    findings.verdict()
}

async fn traversal(ctx: &Context) -> Verdict {
    let (repo, mut findings) = (ctx.repo(), Findings::default());
    let climbs = ["..", "../..", "%2e%2e", "%2e%2e%2f%2e%2e", "..%2f..", "..%5c..", "a%2fb", "....//"];
    for climb in climbs {
        for path in [
            format!("/v2/{climb}/etc/passwd/manifests/x"),
            format!("/v2/{repo}/{climb}/manifests/x"),
            format!("/v2/{repo}/manifests/{climb}"),
            format!("/v2/{repo}/manifests/{climb}/etc/passwd"),
            format!("/v2/{repo}/blobs/{climb}"),
            format!("/v2/{repo}/blobs/sha256:{climb}/etc/passwd"),
            format!("/v2/{repo}/blobs/uploads/{climb}"),
            format!("/v2/{repo}/blobs/uploads/{climb}/etc/passwd"),
        ] {
            let response = ctx.send(ctx.request("GET", &path)).await?;
            // `/v2/..` may be cleaned into a page outside the API, which is none of its business.
            let cleaned =
                path.starts_with("/v2/..") && response.status == 200 && !reads_passwd(&response.body);
            if !cleaned {
                findings.note(status(&response, &REFUSALS))?;
            }
            findings.note(that(!reads_passwd(&response.body), || format!("GET {path}: serves a file")))?;
        }
        let mount = ctx.begin(&repo).query("mount", &ctx.blob(8).digest).query("from", climb);
        let response = ctx.send(mount).await?;
        findings.note(status(&response, &[202, 400, 404]))?;
    }
    findings.verdict()
}

fn reads_passwd(body: &[u8]) -> bool {
    body.windows(5).any(|window| window == b"root:")
}

async fn api_words(ctx: &Context) -> Verdict {
    let mut findings = Findings::default();
    for tail in [
        "blobs",
        "manifests",
        "tags/list",
        "uploads",
        "referrers",
        "a/manifests/b",
        "a/blobs/uploads",
        "v2",
        "tags",
    ] {
        let (repo, image) = (format!("{}/{tail}", ctx.repo()), ctx.image());
        findings.note(round_trip(ctx, &repo, &image).await)?;
    }
    findings.verdict()
}

/// Pushes an image under a name that may be misread, and pulls it again.
async fn round_trip(ctx: &Context, repo: &str, image: &crate::content::Image) -> Verdict {
    for blob in [&image.config, &image.layer] {
        let begun = ctx.send(ctx.begin(repo)).await?;
        status(&begun, &[202])?;
        let session = ctx.location(&begun)?;
        status(&ctx.send(ctx.finish(&session, &blob.digest, &blob.bytes)).await?, &[201])?;
        ctx.blob_is(repo, &blob.digest, &blob.bytes).await?;
    }
    status(&ctx.send(ctx.push(repo, "list", &image.manifest)).await?, &[201])?;
    ctx.manifest_is(repo, "list", &image.manifest).await?;
    let tags = crate::expect::strings(&ctx.tags(repo, "").await?, "tags")?;
    that(tags == ["list"], || format!("{repo}: tags are {tags:?}, expected [\"list\"]"))
}

async fn long_names(ctx: &Context) -> Verdict {
    let mut findings = Findings::default();
    let base = ctx.repo();
    let long = format!("{base}/{}", "n".repeat(254 - base.len()));
    let response = ctx.send(ctx.begin(&long)).await?;
    findings.note(status(&response, &[202, 400, 404, 414]))?;
    ctx.observe(format!("a name of 255 characters is answered with {}", response.status));
    let response = ctx.send(ctx.begin(&format!("{base}/{}", "n".repeat(5000)))).await?;
    findings.note(status(&response, &[400, 404, 414, 431]))?;
    findings.verdict()
}

async fn tags(ctx: &Context) -> Verdict {
    let (repo, mut findings) = (ctx.repo(), Findings::default());
    let image = ctx.tagged(&repo, "good").await?;
    for good in ["t".repeat(128), "_x".to_owned(), "A.b-c_D".to_owned(), "0".to_owned()] {
        findings.note(status(&ctx.send(ctx.push(&repo, &good, &image.manifest)).await?, &[201]))?;
        findings.note(ctx.manifest_is(&repo, &good, &image.manifest).await)?;
    }
    let before = ctx.tags(&repo, "").await?.body;
    for bad in
        ["t".repeat(129).as_str(), ".x", "-x", "a%20b", "a:b", "%C3%A9", "a+b", "a%2Fb", "", "sha256:12"]
    {
        let response = ctx.send(ctx.push(&repo, bad, &image.manifest)).await?;
        findings.note(that(REFUSALS.contains(&response.status), || {
            format!("PUT of the tag {bad:?}: answered {}, expected a refusal", response.status)
        }))?;
        findings.note(that(response.status != 405 || bad.is_empty(), || {
            format!("PUT of the tag {bad:?}: answered 405, expected 400 or 404")
        }))?;
    }
    let after = ctx.tags(&repo, "").await?.body;
    findings.note(that(before == after, || "a refused tag is in the list of tags".to_owned()))?;
    findings.verdict()
}

async fn odd_bytes(ctx: &Context) -> Verdict {
    let (repo, mut findings) = (ctx.repo(), Findings::default());
    for bad in ["a%00b", "a%0d%0aX-Injected:%20yes", "a%0ab", "%ff%fe", "%", "%zz"] {
        let response = ctx.attempt(ctx.manifest("GET", &repo, bad)).await;
        match response {
            Ok(response) => {
                findings.note(refused(&response))?;
                findings.note(crate::expect::header_absent(&response, "X-Injected"))?;
            }
            Err(WireError::Closed | WireError::Broken(_)) => {}
            Err(error) => findings.note(that(false, || format!("GET of {bad:?}: {error}")))?,
        }
    }
    let host = ctx.request("GET", "/").url.authority();
    for raw in [&b"\xff\xfe"[..], b"\0", b"a\x01b"] {
        let mut bytes = format!("GET /v2/{repo}/manifests/").into_bytes();
        bytes.extend_from_slice(raw);
        bytes.extend_from_slice(format!(" HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes());
        // Closing without an answer is as good as 400 for what is not HTTP.
        if let Ok(response) = ctx.send_raw(&bytes, "GET of raw bytes").await {
            findings.note(that(!response.is_success(), || "raw bytes in a path are served".to_owned()))?;
            findings.note(no_server_error(&response))?;
        }
    }
    // A manifest whose tag was refused must not be there under a cleaned name either.
    let none = Manifest::raw("text/plain", "x");
    findings.note(refused(&ctx.send(ctx.push(&repo, "a%00b", &none)).await?))?;
    findings.verdict()
}
