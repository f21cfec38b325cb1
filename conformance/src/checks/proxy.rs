//! Proxies and mirrors: what they serve of their upstreams, and to whom `ns` leads (spec.md#registry-proxying).

use serde_json::json;

use crate::check::{Check, Content, Level, Need, Stop, Verdict, run};
use crate::checks::MANIFEST;
use crate::content::Image;
use crate::context::Context;
use crate::expect::{Findings, body_is, header_is, json, no_server_error, setup, status, strings, that};
use crate::source::Behind;
use crate::wire::Response;

const ANCHOR: &str = "spec.md#registry-proxying";
/// Bytes of a blob that no proxy reads in one piece.
const LARGE: usize = 1_000_000;

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "R-126",
        Level::May,
        ANCHOR,
        "A proxy serves what its upstream has, and keeps what it has fetched.",
        run!(kept),
    )
    .content(Content::Origin)
    .why("A cache that asks again for every pull saves neither time nor an upstream's quota.")
    .breaks("Clusters behind a registry that limits pulls.")
    .covers(&["R-126"]),
    Check::new(
        "T-161",
        Level::Should,
        ANCHOR,
        "The parameter ns chooses the upstream, and is echoed in OCI-Namespace.",
        run!(namespaces),
    )
    .content(Content::Origin)
    .needs(&[Need::SecondOrigin])
    .why("One mirror stands for many registries, in which one name means different images.")
    .breaks("containerd, which names the registry of every mirrored pull in ns.")
    .covers(&["R-128", "R-129"]),
    Check::new(
        "T-162",
        Level::Observe,
        ANCHOR,
        "An unknown ns leaves local content where it is.",
        run!(unknown_ns),
    )
    .after(&[MANIFEST])
    .why("containerd adds ns to every request to a mirror, kind's local registry included.")
    .breaks("kind with a local registry, containerd mirrors.")
    .covers(&["R-128"]),
    Check::new("T-163", Level::Observe, ANCHOR, "An ns that is an address is never asked.", run!(hostile_ns))
        .content(Content::Any)
        .after(&[MANIFEST])
        .why("A proxy that connects wherever it is told is a way into the network behind it."),
    Check::new("T-166", Level::Observe, ANCHOR, "HEAD through a proxy says what GET will.", run!(heads))
        .content(Content::Origin)
        .why("A client that is told by HEAD that an image is there does not look elsewhere when GET fails.")
        .breaks("Kubernetes' image checks, crane digest, skopeo inspect."),
    Check::new(
        "T-170",
        Level::Observe,
        ANCHOR,
        "A range of a blob that the proxy has not fetched yet is served.",
        run!(cold_range),
    )
    .content(Content::Origin)
    .why("Clients resume and read in parallel without knowing what a proxy holds.")
    .breaks("containerd with parallel downloads, lazy-pulling snapshotters."),
    Check::new(
        "T-173",
        Level::Observe,
        ANCHOR,
        "A push into a proxied name is refused, or stays here; it never reaches the upstream.",
        run!(pushes),
    )
    .content(Content::Origin)
    .why("A proxy has its own credentials for the upstream, and must not lend them to whoever pushes."),
    Check::new(
        "T-174",
        Level::Observe,
        ANCHOR,
        "Tags and referrers of an upstream are listed through the proxy.",
        run!(lists),
    )
    .content(Content::Origin)
    .why("Without them signatures are not found, and updates of a tag are not seen.")
    .breaks("cosign verify, oras discover, Flux and Renovate behind a mirror."),
];

/// Puts an image behind the proxy without pulling it through, and returns the origin.
pub(super) async fn put<'c>(
    ctx: &'c Context,
    origin: &'c Behind,
    repo: &str,
    tag: &str,
    image: &Image,
) -> Result<&'c Behind, Stop> {
    let place = ctx.anonymous().towards(origin.url.clone());
    for blob in [&image.config, &image.layer] {
        let response = setup(place.put_blob(repo, &blob.digest, &blob.bytes).await)?;
        setup(status(&response, &[201]))?;
    }
    let response = setup(place.send(place.push(repo, tag, &image.manifest)).await)?;
    setup(status(&response, &[201]))?;
    Ok(origin)
}

/// Returns the first origin behind the proxy.
pub(super) fn first(ctx: &Context) -> Result<&Behind, Stop> {
    ctx.origins()?.first().ok_or_else(|| Stop::Error("no origin was started".to_owned()))
}

async fn kept(ctx: &Context) -> Verdict {
    let (repo, image) = (ctx.repo(), ctx.image());
    let origin = put(ctx, first(ctx)?, &repo, "t", &image).await?;
    let mut findings = Findings::default();
    for _ in 0..2 {
        for reference in ["t", &image.manifest.digest] {
            findings.note(ctx.manifest_is(&repo, reference, &image.manifest).await)?;
        }
        for blob in [&image.config, &image.layer] {
            findings.note(ctx.blob_is(&repo, &blob.digest, &blob.bytes).await)?;
        }
    }
    for blob in [&image.config, &image.layer] {
        let path = format!("/v2/{repo}/blobs/{}", blob.digest);
        let gets = origin.origin.journal().count("GET", &path);
        findings.note(that(gets == 1, || {
            format!("the upstream was asked {gets} times for {path}, which was pulled twice")
        }))?;
    }
    findings.verdict()
}

async fn namespaces(ctx: &Context) -> Verdict {
    let named: Vec<(&Behind, &str)> =
        ctx.origins()?.iter().filter_map(|origin| Some((origin, origin.ns.as_deref()?))).collect();
    let (repo, mut findings) = (ctx.repo(), Findings::default());
    let mut images = Vec::new();
    for (origin, ns) in named {
        let image = ctx.image();
        put(ctx, origin, &repo, "t", &image).await?;
        images.push((ns, image));
    }
    let mut seen = Vec::new();
    for (ns, image) in &images {
        let tag = ctx.follow(ctx.manifest("GET", &repo, "t").query("ns", ns)).await?;
        findings.note(status(&tag, &[200]))?;
        seen.push(tag.body.clone());
        findings.note(belongs(&tag, ns, &image.manifest.bytes))?;
        let blob = ctx.blob_request("GET", &repo, &image.layer.digest).query("ns", ns);
        let blob = ctx.follow(blob).await?;
        findings.note(status(&blob, &[200]).and_then(|()| belongs(&blob, ns, &image.layer.bytes)))?;
    }
    // it may ignore ns, and then everything comes from one place.
    if seen.windows(2).all(|pair| pair[0] == pair[1]) {
        ctx.observe("ns is ignored");
        return Ok(());
    }
    findings.verdict()
}

fn belongs(response: &Response, ns: &str, bytes: &[u8]) -> Verdict {
    body_is(response, bytes)?;
    header_is(response, "OCI-Namespace", ns)
}

async fn unknown_ns(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let image = ctx.tagged(&repo, "t").await?;
    let own = ctx.request("GET", "/").url.authority();
    let mut findings = Findings::default();
    for ns in ["localhost:5001", "registry.invalid", own.as_str()] {
        let response = ctx.follow(ctx.manifest("GET", &repo, "t").query("ns", ns)).await?;
        findings.note(status(&response, &[200]))?;
        findings.note(body_is(&response, &image.manifest.bytes))?;
        let blob = ctx.blob_request("GET", &repo, &image.layer.digest).query("ns", ns);
        let response = ctx.follow(blob).await?;
        findings.note(body_is(&response, &image.layer.bytes))?;
        let head = ctx.follow(ctx.manifest("HEAD", &repo, "absent").query("ns", ns)).await?;
        findings.note(status(&head, &[404]))?;
    }
    findings.verdict()
}

async fn hostile_ns(ctx: &Context) -> Verdict {
    // A trap: whatever connects here followed an address that a client gave it.
    let trap = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let trap = trap.map_err(|error| Stop::Error(format!("cannot set the trap: {error}")))?;
    let port = trap.local_addr().map(|address| address.port()).unwrap_or_default();
    let (repo, mut findings) = (ctx.repo(), Findings::default());
    for ns in [
        format!("127.0.0.1:{port}"),
        format!("http://127.0.0.1:{port}"),
        format!("user@127.0.0.1:{port}"),
        format!("127.0.0.1:{port}%2f..%2fx"),
        "a%2f..%2fb".to_owned(),
    ] {
        let response = ctx.follow(ctx.manifest("GET", &repo, "t").query("ns", &ns)).await?;
        findings.note(no_server_error(&response))?;
        findings.note(that(!response.is_success(), || {
            format!("{}: answered {}", response.label, response.status)
        }))?;
    }
    let caught = tokio::time::timeout(std::time::Duration::from_millis(1), trap.accept()).await.is_ok();
    findings.note(that(!caught, || "the registry connected to an address given by ns".to_owned()))?;
    findings.verdict()
}

async fn heads(ctx: &Context) -> Verdict {
    let (repo, image) = (ctx.repo(), ctx.image());
    put(ctx, first(ctx)?, &repo, "t", &image).await?;
    let mut findings = Findings::default();
    let absent = ctx.blob(9).digest;
    for request in [
        ctx.manifest("HEAD", &repo, "t"),
        ctx.manifest("HEAD", &repo, &image.manifest.digest),
        ctx.manifest("HEAD", &repo, "absent"),
        ctx.manifest("HEAD", &repo, &absent),
        ctx.blob_request("HEAD", &repo, &image.layer.digest),
        ctx.blob_request("HEAD", &repo, &absent),
    ] {
        let mut get = request.clone();
        get.method = "GET".to_owned();
        let (head, get) = (ctx.follow(request).await?, ctx.follow(get).await?);
        findings.note(status(&head, &[get.status]))?;
        if get.status == 200 {
            findings.note(header_is(&head, "Content-Length", &get.body.len().to_string()))?;
            let digest = get.header("Docker-Content-Digest").unwrap_or_default();
            findings.note(header_is(&head, "Docker-Content-Digest", digest))?;
        }
    }
    findings.verdict()
}

async fn cold_range(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(LARGE));
    let place = ctx.anonymous().towards(first(ctx)?.url.clone());
    let response = setup(place.put_blob(&repo, &blob.digest, &blob.bytes).await)?;
    setup(status(&response, &[201]))?;
    let mut findings = Findings::default();
    for (range, from, to) in
        [("bytes=900000-900999", 900_000, 901_000), ("bytes=0-99", 0, 100), ("bytes=999990-", 999_990, LARGE)]
    {
        let request = ctx.blob_request("GET", &repo, &blob.digest).header("Range", range);
        let response = ctx.follow(request).await?;
        findings.note(status(&response, &[200, 206]))?;
        match response.status {
            206 => {
                findings.note(body_is(&response, &blob.bytes[from..to]))?;
                let content_range = format!("bytes {from}-{}/{LARGE}", to - 1);
                findings.note(header_is(&response, "Content-Range", &content_range))?;
            }
            200 => findings.note(body_is(&response, &blob.bytes))?,
            _ => {}
        }
    }
    findings.note(ctx.blob_is(&repo, &blob.digest, &blob.bytes).await)?;
    findings.verdict()
}

async fn pushes(ctx: &Context) -> Verdict {
    let (repo, image) = (ctx.repo(), ctx.image());
    let origin = put(ctx, first(ctx)?, &repo, "t", &image).await?;
    setup(ctx.manifest_is(&repo, "t", &image.manifest).await)?;
    let (mark, mut findings) = (origin.origin.journal().mark(), Findings::default());
    let other = ctx.image();
    let begun = ctx.send(ctx.begin(&repo)).await?;
    findings.note(status(&begun, &[202, 400, 401, 403, 404, 405]))?;
    let put = ctx.send(ctx.push(&repo, "pushed", &other.manifest)).await?;
    findings.note(no_server_error(&put))?;
    let deleted = ctx.delete_manifest(&repo, &image.manifest.digest).await?;
    findings.note(no_server_error(&deleted))?;
    ctx.observe(format!(
        "a push into a proxied name is answered with {}, a DELETE with {}",
        begun.status, deleted.status
    ));
    let written = origin.origin.journal().entries_since(mark);
    let written: Vec<String> = written
        .iter()
        .filter(|entry| entry.path.contains(&repo) && !["GET", "HEAD"].contains(&entry.method.as_str()))
        .map(|entry| format!("{} {}", entry.method, entry.path))
        .collect();
    findings.note(that(written.is_empty(), || format!("the upstream was sent {}", written.join(", "))))?;
    findings.verdict()
}

async fn lists(ctx: &Context) -> Verdict {
    let (repo, image) = (ctx.repo(), ctx.image());
    let origin = put(ctx, first(ctx)?, &repo, "b", &image).await?;
    let place = ctx.anonymous().towards(origin.url.clone());
    let response = setup(place.send(place.push(&repo, "a", &image.manifest)).await)?;
    setup(status(&response, &[201]))?;
    let subject = json!({"subject": image.manifest.descriptor(), "artifactType": "application/x"});
    let referrer = ctx.image_with(subject);
    put(ctx, origin, &repo, &referrer.manifest.digest, &referrer).await?;

    let mut findings = Findings::default();
    let tags = ctx.tags(&repo, "").await?;
    findings.note(status(&tags, &[200]))?;
    if tags.status == 200 {
        let listed = strings(&tags, "tags")?;
        findings.note(that(listed == ["a", "b"], || format!("{}: lists {listed:?}", tags.label)))?;
        let page = ctx.tags(&repo, "?n=1&last=a").await?;
        let listed = strings(&page, "tags")?;
        findings.note(that(listed == ["b"], || format!("{}: lists {listed:?}", page.label)))?;
    }
    let referrers = ctx.referrers(&repo, &image.manifest.digest, "").await?;
    findings.note(status(&referrers, &[200]))?;
    if referrers.status == 200 {
        let value = json(&referrers)?;
        let listed = value["manifests"].as_array().into_iter().flatten();
        let listed: Vec<&str> = listed.filter_map(|it| it["digest"].as_str()).collect();
        let wanted = referrer.manifest.digest.as_str();
        findings.note(that(listed == [wanted], || format!("{}: lists {listed:?}", referrers.label)))?;
    }
    findings.verdict()
}
