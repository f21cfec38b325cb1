//! The base of the API: `/v2/`, methods, connections (spec.md#determining-support).

use std::time::Duration;

use crate::check::{Check, Content, Level, Stop, Verdict, run};
use crate::checks::BLOB;
use crate::context::Context;
use crate::expect::{Findings, body_is, empty, header, header_is, no_server_error, status, that};
use crate::wire::{Request, Response, Version, WireError};

const ANCHOR: &str = "spec.md#determining-support";
const RFC: &str = "RFC 9110 through spec.md#api";

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "T-001",
        Level::Must,
        ANCHOR,
        "GET /v2/ answers 200, or 401 to who has to log in.",
        run!(answers),
    )
    .content(Content::Any)
    .why("It is how every client finds out that it talks to a registry; what fails it is none.")
    .breaks("All: docker, containerd, crane, skopeo and oras begin with it or with its 401.")
    .covers(&["R-007", "R-001", "R-008"]),
    Check::new(
        "T-001a",
        Level::Observe,
        ANCHOR,
        "GET /v2/ says Docker-Distribution-API-Version.",
        run!(version_header),
    )
    .content(Content::Any)
    .why("The header is optional now, but proxies and old clients tell a registry by it.")
    .breaks("CNCF distribution as a proxy, and docker before 1.10.")
    .covers(&["R-009"]),
    Check::new(
        "T-002",
        Level::Observe,
        ANCHOR,
        "GET /v2 without the slash answers or redirects to /v2/.",
        run!(without_slash),
    )
    .content(Content::Any)
    .why("People and scripts type it; a 404 looks like a missing registry."),
    Check::new("T-003", Level::Should, RFC, "HEAD /v2/ answers as GET does, without a body.", run!(head))
        .content(Content::Any)
        .why("Health checks of load balancers use HEAD, and a body after it breaks the connection.")
        .covers(&["R-004"]),
    Check::new(
        "T-004",
        Level::Should,
        RFC,
        "A method that a resource does not have is 405 with Allow, or 501.",
        run!(methods),
    )
    .why("A client must tell a wrong method from missing content, and 405 must say which ones exist.")
    .covers(&["R-004"]),
    Check::new(
        "T-005",
        Level::Observe,
        "spec.md#endpoints",
        "An unknown path below /v2/ answers 404.",
        run!(unknown_path),
    )
    .content(Content::Any)
    .why("Clients probe for extensions and take 404 for no; an error or a page is taken for yes."),
    Check::new(
        "T-006",
        Level::Should,
        RFC,
        "HTTP/1.0 and Connection: close get the whole body.",
        run!(old_connections),
    )
    .content(Content::Any)
    .after(&[BLOB])
    .why("Simple proxies and embedded clients speak HTTP/1.0; chunks break them silently.")
    .breaks("ApacheBench, old proxies, minimal boot loaders.")
    .covers(&["R-004"]),
    Check::new(
        "T-007",
        Level::Observe,
        RFC,
        "Expect: 100-continue is honoured, and a hopeless push refused.",
        run!(expect_continue),
    )
    .after(&[BLOB])
    .why("Without it a client sends gigabytes to a session that does not exist.")
    .breaks("curl, which waits a second for every body over 1 MiB."),
    Check::new("T-008", Level::Observe, RFC, "A blob is the same over HTTP/2.", run!(http2))
        .after(&[BLOB])
        .why("containerd and Go clients speak HTTP/2 as soon as TLS offers it."),
    Check::new(
        "T-009",
        Level::Observe,
        RFC,
        "Long headers and queries are taken or refused, and nothing breaks.",
        run!(long_requests),
    )
    .content(Content::Any)
    .why("Tokens make headers long; a registry that drops the connection fails the whole pull."),
];

async fn answers(ctx: &Context) -> Verdict {
    let response = ctx.send(ctx.request("GET", "/v2/")).await?;
    status(&response, &[200, 401])?;
    if response.status == 401 {
        ctx.observe("GET /v2/ answers 401");
        header(&response, "WWW-Authenticate")?;
        return Err(Stop::Error("the target wants a login: give --username and --password".to_owned()));
    }
    // A server that says 200 to everything is no registry either.
    let nothing = ctx.send(ctx.manifest("GET", &ctx.repo(), "none")).await?;
    that(!nothing.is_success(), || {
        format!("{}: answered {} for a repository that nobody made", nothing.label, nothing.status)
    })
}

async fn version_header(ctx: &Context) -> Verdict {
    let response = ctx.send(ctx.request("GET", "/v2/")).await?;
    header_is(&response, "Docker-Distribution-API-Version", "registry/2.0")
}

async fn without_slash(ctx: &Context) -> Verdict {
    let response = ctx.send(ctx.request("GET", "/v2")).await?;
    if response.is_redirect() {
        ctx.observe(format!("GET /v2 redirects ({})", response.status));
        let location = ctx.location(&response)?;
        return that(location.target == "/v2/", || format!("GET /v2: redirects to {location}"));
    }
    status(&response, &[200, 401])
}

async fn head(ctx: &Context) -> Verdict {
    let get = ctx.send(ctx.request("GET", "/v2/")).await?;
    let head = ctx.send(ctx.request("HEAD", "/v2/").close()).await?;
    status(&head, &[get.status])?;
    empty(&head)
}

async fn methods(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let mut findings = Findings::default();
    let unknown = ctx.send(ctx.request("FOO", &format!("/v2/{repo}/manifests/x"))).await?;
    findings.note(not_allowed(&unknown, &[400, 501]))?;
    let wrong = ctx.send(ctx.request("PUT", &format!("/v2/{repo}/tags/list"))).await?;
    findings.note(not_allowed(&wrong, &[404]))?;
    findings.verdict()
}

/// Passes for a 405 with Allow, and for the other statuses that are as good.
fn not_allowed(response: &Response, others: &[u16]) -> Verdict {
    let mut allowed = vec![405];
    allowed.extend_from_slice(others);
    status(response, &allowed)?;
    if response.status == 405 { header(response, "Allow").map(|_| ()) } else { Ok(()) }
}

async fn unknown_path(ctx: &Context) -> Verdict {
    let response = ctx.send(ctx.request("GET", &format!("/v2/{}/unknown/x", ctx.repo()))).await?;
    status(&response, &[404])?;
    crate::expect::listed(&response)
}

async fn old_connections(ctx: &Context) -> Verdict {
    let (repo, blob) = ctx.held_blob(40_000).await?;
    let mut findings = Findings::default();
    let request = |ctx: &Context| -> Request { ctx.blob_request("GET", &repo, &blob.digest) };
    for request in [request(ctx).version(Version::Http10), request(ctx).close()] {
        let response = ctx.follow(request).await?;
        findings.note(status(&response, &[200]))?;
        findings.note(body_is(&response, &blob.bytes))?;
        let excess = response.excess;
        findings
            .note(that(excess == 0, || format!("{excess} bytes after the body of a closed connection")))?;
    }
    findings.verdict()
}

async fn expect_continue(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(5000));
    let session = ctx.session(&repo).await?;
    let response = ctx.send_expecting(ctx.finish(&session, &blob.digest, &blob.bytes)).await?;
    status(&response, &[201])?;
    that(response.interim.contains(&100), || "the body was not asked for with 100 Continue".to_owned())?;
    ctx.blob_is(&repo, &blob.digest, &blob.bytes).await?;
    // The session is closed now: a second push has to be refused.
    let response = ctx.send_expecting(ctx.finish(&session, &blob.digest, &blob.bytes)).await?;
    if response.interim.contains(&100) {
        ctx.observe("asks for a body with 100 Continue before refusing it");
    }
    crate::expect::refused(&response)
}

async fn http2(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(300_000));
    let begun = match ctx.attempt_http2(ctx.begin(&repo)).await {
        Ok(response) => response,
        Err(error) => {
            // A server of HTTP/1.1 answers the preface with an error of its own, or hangs up.
            ctx.observe("does not speak HTTP/2");
            return Err(Stop::Skip(format!("the target does not offer HTTP/2: {error}")));
        }
    };
    let broken = |error: WireError| Stop::Fail(format!("over HTTP/2: {error}"));
    status(&begun, &[202])?;
    let close = ctx.finish(&ctx.location(&begun)?, &blob.digest, &blob.bytes);
    status(&ctx.attempt_http2(close).await.map_err(broken)?, &[201])?;
    let request = ctx.blob_request("GET", &repo, &blob.digest);
    let got = ctx.attempt_http2(request).await.map_err(broken)?;
    if got.is_redirect() {
        ctx.observe("a blob asked for over HTTP/2 is answered by a redirect");
    } else {
        status(&got, &[200])?;
        body_is(&got, &blob.bytes)?;
    }
    ctx.blob_is(&repo, &blob.digest, &blob.bytes).await
}

async fn long_requests(ctx: &Context) -> Verdict {
    let mut findings = Findings::default();
    let padded = ctx.request("GET", "/v2/").header("X-Padding", "p".repeat(1000));
    findings.note(no_server_error(&ctx.send(padded).await?))?;
    let query = ctx.request("GET", &format!("/v2/?q={}", "q".repeat(16 * 1024)));
    let response = ctx.send(query).await?;
    findings.note(status(&response, &[200, 400, 401, 413, 414, 431]))?;
    let again = tokio::time::timeout(Duration::from_secs(10), ctx.send(ctx.request("GET", "/v2/"))).await;
    let alive = matches!(again, Ok(Ok(response)) if response.status < 500);
    findings.note(that(alive, || "GET /v2/ no longer answers afterwards".to_owned()))?;
    findings.verdict()
}
