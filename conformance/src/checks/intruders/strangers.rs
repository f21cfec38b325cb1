//! What those who may not read can find out: nothing, down to the last header.

use serde_json::json;

use super::tools::{settled, told_alike};
use crate::check::{Check, Feature, Level, Need, Stop, Verdict, run};
use crate::content::{Blob, Manifest, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST};
use crate::context::Context;
use crate::expect::{Findings, that};
use crate::login::encode;
use crate::wire::{Request, Response};

const ANCHOR: &str = "docker token authentication, RFC 9110 §15.5.4";

/// Pages of the catalog that are looked at.
const PAGES_MAX: usize = 20;

const OUTSIDER: &[Need] = &[Need::Credentials, Need::Outsider];

pub(in crate::checks) const CHECKS: &[Check] = &[
    Check::new(
        "T-112a",
        Level::Observe,
        "spec.md#mounting-a-blob-from-another-repository",
        "A mount from what one may not read is answered like one from nowhere.",
        run!(mounts),
    )
    .after(&["T-112"])
    .needs(OUTSIDER)
    .why("A header more or a byte less tells who has a layer."),
    Check::new(
        "T-155b",
        Level::Observe,
        ANCHOR,
        "Every endpoint refuses a stranger alike, whether there is something or not.",
        run!(endpoints),
    )
    .after(&["T-155a"])
    .needs(OUTSIDER)
    .why("A header more or a byte less tells what a company works on."),
    Check::new(
        "T-155d",
        Level::Observe,
        ANCHOR,
        "No page of the catalog, and no cursor, shows what one may not read.",
        run!(catalog),
    )
    .after(&["T-155a"])
    .needs(&[Need::Credentials, Need::Outsider, Need::Feature(Feature::Catalog)])
    .alone()
    .why("A list that is cut into pages before it is filtered shows in its links what it hides."),
    Check::new(
        "T-155e",
        Level::Observe,
        "spec.md#pushing-manifests",
        "A manifest is not completed by what its pusher may not read.",
        run!(manifests),
    )
    .after(&["T-155a"])
    .needs(OUTSIDER)
    .why("Otherwise a digest is enough to take a private layer, or to learn that it is there."),
    Check::new(
        "T-155g",
        Level::Observe,
        "spec.md#pulling-blobs, spec.md#pushing-blobs",
        "A digest of what one may not read is worth nothing in a repository of one's own.",
        run!(digests),
    )
    .after(&["T-155a"])
    .needs(OUTSIDER)
    .why("Content that is stored once for all must not be had, or found, by whoever knows its name."),
];

async fn mounts(ctx: &Context) -> Verdict {
    let (source, nowhere, target) = (ctx.repo(), ctx.repo(), ctx.outside());
    let (blob, absent) = (ctx.blob(500), ctx.blob(500));
    ctx.have_blob(&source, &blob).await?;
    let outsider = ctx.outsider()?;
    settled(&outsider).await?;
    let mount = |digest: &str, from: &str| ctx.begin(&target).query("mount", digest).query("from", from);
    let real = outsider.send(mount(&blob.digest, &source)).await?;
    let mut findings = Findings::default();
    findings.note(that(real.status != 201, || format!("{}: mounted", real.label)))?;
    for (digest, from) in [(&blob.digest, &nowhere), (&absent.digest, &source), (&absent.digest, &nowhere)] {
        let other = outsider.send(mount(digest, from)).await?;
        let names = [(source.as_str(), from.as_str()), (&blob.digest, digest)];
        findings.note(told_alike(&real, &other, &names))?;
    }
    findings.verdict()
}

/// Returns a request to every endpoint of a repository but those of uploads that have begun.
fn every_endpoint(ctx: &Context, repo: &str, tag: &str, manifest: &Manifest, layer: &Blob) -> Vec<Request> {
    let path = |tail: &str| format!("/v2/{repo}/{tail}");
    let digest = &layer.digest;
    let mut all = Vec::new();
    for reference in [tag, &manifest.digest] {
        let tail = format!("manifests/{reference}");
        all.extend(["GET", "HEAD", "DELETE"].map(|method| ctx.request(method, &path(&tail))));
        all.push(ctx.push(repo, reference, manifest));
    }
    let blob = path(&format!("blobs/{digest}"));
    all.extend(["GET", "HEAD", "DELETE"].map(|method| ctx.request(method, &blob)));
    all.push(ctx.request("GET", &blob).header("Range", "bytes=0-0"));
    for tail in ["tags/list", "tags/list?n=1", "tags/list?n=1&last=a", "tags/list?n=0", "tags/list?n=x"] {
        all.push(ctx.request("GET", &path(tail)));
    }
    let referrers = path(&format!("referrers/{}", manifest.digest));
    all.push(ctx.request("GET", &referrers));
    all.push(ctx.request("GET", &format!("{referrers}?artifactType=a%2Fb")));
    all.push(ctx.begin(repo));
    all.push(ctx.begin(repo).query("mount", digest).query("from", repo));
    all.push(ctx.begin(repo).query("digest", digest).body(layer.bytes.clone()));
    all
}

async fn endpoints(ctx: &Context) -> Verdict {
    let (there, nowhere, outsider) = (ctx.repo(), ctx.repo(), ctx.outsider()?);
    let image = ctx.tagged(&there, "t").await?;
    let anonymous = ctx.anonymous();
    let open = anonymous.pull(&there, "t").await?.is_success();
    let mut findings = Findings::default();
    for who in std::iter::once(&outsider).chain((!open).then_some(&anonymous)) {
        settled(who).await?;
        let real = every_endpoint(ctx, &there, "t", &image.manifest, &image.layer);
        let other = every_endpoint(ctx, &nowhere, "t", &image.manifest, &image.layer);
        for (real, other) in real.into_iter().zip(other) {
            let (real, other) = (who.send(real).await?, who.send(other).await?);
            findings.note(that(real.is_client_error(), || {
                format!("{}: answered {} to a stranger", real.label, real.status)
            }))?;
            findings.note(told_alike(&real, &other, &[(&there, &nowhere)]))?;
        }
    }
    findings.verdict()
}

async fn catalog(ctx: &Context) -> Verdict {
    let (there, behind, nowhere) = (ctx.repo(), ctx.repo(), ctx.repo());
    for repo in [&there, &behind] {
        ctx.tagged(repo, "t").await?;
    }
    let (outsider, mut findings) = (ctx.outsider()?, Findings::default());
    settled(&outsider).await?;
    let before = encode(&there[..there.len() - 1]);
    let mut pages = Vec::new();
    for query in [
        format!("n=1&last={before}"),
        format!("n=2&last={before}"),
        format!("n=1&last={}", encode(&there)),
        format!("last={before}"),
        format!("n=0&last={before}"),
    ] {
        pages.push(outsider.send(ctx.request("GET", &format!("/v2/_catalog?{query}"))).await?);
    }
    pages.extend(walked(ctx, &outsider).await?);
    for page in &pages {
        let shown = [&there, &behind].into_iter().any(|name| shows(page, name, &there));
        findings.note(that(!shown, || format!("{}: shows what one may not read", page.label)))?;
    }
    // As a cursor the name of what is there is as good as that of what is not.
    let page = |name: &str| ctx.request("GET", &format!("/v2/_catalog?n=1&last={}", encode(name)));
    let (real, other) = (outsider.send(page(&there)).await?, outsider.send(page(&nowhere)).await?);
    findings.note(told_alike(&real, &other, &[(&there, &nowhere)]))?;
    findings.verdict()
}

/// Follows the pages of the catalog from its beginning.
async fn walked(ctx: &Context, who: &Context) -> Result<Vec<Response>, Stop> {
    let (mut pages, mut next) = (Vec::new(), Some("/v2/_catalog?n=50".to_owned()));
    while let Some(path) = next.take().filter(|_| pages.len() < PAGES_MAX) {
        let page = who.send(ctx.request("GET", &path)).await?;
        let link = page.header("link").and_then(|link| link.split_once('<')?.1.split_once('>'));
        next = link.map(|(target, _)| target.to_owned()).filter(|target| target.starts_with('/'));
        pages.push(page);
    }
    Ok(pages)
}

/// Says whether a page names a repository, in its list or in its link; one that was asked for by this name may
/// say so again.
fn shows(page: &Response, name: &str, asked: &str) -> bool {
    let link = page.header_all("link").join(" ").replace("%2F", "/").replace("%2f", "/").replace("%2D", "-");
    let link = link.replace("%2d", "-").replace("%5F", "_").replace("%2E", ".");
    let repeats = name == asked && page.label.contains(&encode(asked));
    String::from_utf8_lossy(&page.body).contains(name) || (link.contains(name) && !repeats)
}

async fn manifests(ctx: &Context) -> Verdict {
    let (private, target) = (ctx.repo(), ctx.outside());
    let (image, absent) = (ctx.tagged(&private, "t").await?, ctx.image());
    let (outsider, config) = (ctx.outsider()?, ctx.blob(100));
    // What the stranger pushes himself is there; what he refers to is not, or is not his to refer to.
    settled(&outsider).await?;
    outsider.have_blob(&target, &config).await?;
    let with_layer = |layer: &Blob| {
        let layers = [layer.descriptor(OCI_LAYER)];
        let value = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config.descriptor(OCI_CONFIG), "layers": layers});
        Manifest::of(OCI_MANIFEST, &value)
    };
    let with_child = |child: &Manifest| {
        let child = json!({"mediaType": child.media_type, "digest": child.digest, "size": child.bytes.len()});
        let value = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child]});
        Manifest::of(OCI_INDEX, &value)
    };
    let mut findings = Findings::default();
    for (what, real, other) in [
        ("layer", with_layer(&image.layer), with_layer(&absent.layer)),
        ("child", with_child(&image.manifest), with_child(&absent.manifest)),
    ] {
        let there = outsider.send(ctx.push(&target, what, &real)).await?;
        let gone = outsider.send(ctx.push(&target, what, &other)).await?;
        let names = [
            (image.layer.digest.as_str(), absent.layer.digest.as_str()),
            (&image.manifest.digest, &absent.manifest.digest),
            (&real.digest, &other.digest),
        ];
        findings.note(told_alike(&there, &gone, &names))?;
    }
    for request in [
        ctx.blob_request("GET", &target, &image.layer.digest),
        ctx.manifest("GET", &target, &image.manifest.digest),
    ] {
        let got = outsider.follow(request).await?;
        findings.note(that(!got.is_success(), || format!("{}: there after a push", got.label)))?;
    }
    findings.verdict()
}

/// Returns what a stranger may try with a digest where he may do everything.
async fn tries(who: &Context, repo: &str, layer: &Blob, manifest: &Manifest) -> Result<Vec<Request>, Stop> {
    let (sessions, digest) = ([who.session(repo).await?, who.session(repo).await?], &layer.digest);
    let mut all: Vec<Request> = ["GET", "HEAD", "DELETE"].map(|it| who.blob_request(it, repo, digest)).into();
    all.extend(["GET", "HEAD", "DELETE"].map(|it| who.manifest(it, repo, &manifest.digest)));
    all.push(who.request("GET", &format!("/v2/{repo}/referrers/{}", manifest.digest)));
    all.push(who.begin(repo).query("digest", digest).body(*b"guessed"));
    let [empty, other] = &sessions;
    all.push(who.finish(empty, digest, b""));
    all.push(who.finish(other, digest, b"guessed"));
    Ok(all)
}

async fn digests(ctx: &Context) -> Verdict {
    let (private, target, absent) = (ctx.repo(), ctx.outside(), ctx.image());
    let (image, outsider) = (ctx.tagged(&private, "t").await?, ctx.outsider()?);
    outsider.have_blob(&target, &ctx.blob(100)).await?;
    let real = tries(&outsider, &target, &image.layer, &image.manifest).await?;
    let other = tries(&outsider, &target, &absent.layer, &absent.manifest).await?;
    let mut findings = Findings::default();
    for (real, other) in real.into_iter().zip(other) {
        let (real, other) = (outsider.send(real).await?, outsider.send(other).await?);
        let names = [
            (image.layer.digest.as_str(), absent.layer.digest.as_str()),
            (&image.manifest.digest, &absent.manifest.digest),
        ];
        findings.note(that(real.status != 201, || format!("{}: taken without its bytes", real.label)))?;
        findings.note(told_alike(&real, &other, &names))?;
    }
    findings.note(outsider.blob_gone(&target, &image.layer.digest).await)?;
    findings.verdict()
}
