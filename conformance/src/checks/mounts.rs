//! Mounting blobs from other repositories (spec.md#mounting-a-blob-from-another-repository).

use crate::check::{Check, Feature, Level, Need, Verdict, run};
use crate::checks::BLOB;
use crate::content::Blob;
use crate::context::Context;
use crate::expect::{Findings, body_is, status, that};
use crate::wire::{Request, Response};

const ANCHOR: &str = "spec.md#mounting-a-blob-from-another-repository";

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "R-072",
        Level::Must,
        ANCHOR,
        "A mount is 201 and served, or 202 and a session.",
        run!(mounted),
    )
    .after(&[BLOB])
    .why("It saves uploading base layers again; either answer lets a push go on.")
    .breaks("docker push and containerd, which try a mount first.")
    .covers(&["R-072", "R-073", "R-075"]),
    Check::new(
        "R-074",
        Level::May,
        ANCHOR,
        "A mount without a source is 201 and served, or 202.",
        run!(anonymous),
    )
    .after(&["R-072"])
    .why("regctl asks so first; a wrong 201 loses the layer.")
    .covers(&["R-074"]),
    Check::new(
        "T-109",
        Level::Must,
        ANCHOR,
        "What cannot be mounted is 202, and never there afterwards.",
        run!(impossible),
    )
    .after(&[BLOB])
    .why("A 201 for a blob that is not there makes a push that cannot be pulled.")
    .breaks("All: the manifest is refused, or the image is broken.")
    .covers(&["R-075", "R-072"]),
    Check::new(
        "T-110",
        Level::Observe,
        ANCHOR,
        "A mount from the repository itself is 201 or 202.",
        run!(itself),
    )
    .after(&["R-072"])
    .why("Clients that remember where a layer was name the same repository."),
    Check::new(
        "T-111",
        Level::Must,
        ANCHOR,
        "A mounted blob lives on when its source is deleted.",
        run!(independent),
    )
    .after(&["R-072"])
    .needs(&[Need::Feature(Feature::BlobDelete)])
    .why("Otherwise deleting one image breaks others, in other repositories.")
    .covers(&["R-072"]),
    Check::new(
        "T-111a",
        Level::Observe,
        ANCHOR,
        "A blob that was deleted everywhere cannot be mounted.",
        run!(deleted),
    )
    .after(&["R-072"])
    .needs(&[Need::Feature(Feature::BlobDelete)])
    .why("What is deleted for a reason must not come back by its digest alone."),
    Check::new(
        "T-112",
        Level::Observe,
        ANCHOR,
        "A mount needs the right to read the source, and tells nothing without it.",
        run!(unreadable),
    )
    .after(&["R-072"])
    .needs(&[Need::Credentials, Need::Outsider])
    .why("Otherwise a digest is enough to read a private layer."),
    Check::new(
        "T-113",
        Level::Observe,
        ANCHOR,
        "A mount without a source or a login finds only what one may read.",
        run!(unreadable_unnamed),
    )
    .after(&["R-072"])
    .needs(&[Need::Credentials, Need::Outsider])
    .why("Otherwise a digest is enough to read a private layer."),
    Check::new(
        "T-114",
        Level::Observe,
        ANCHOR,
        "A mount that is a single POST too does one of both, properly.",
        run!(both),
    )
    .after(&["R-072"])
    .why("Two intentions in one request must not give a third result."),
];

fn mount(ctx: &Context, repo: &str, digest: &str, from: &str) -> Request {
    ctx.begin(repo).query("mount", digest).query("from", from)
}

/// Passes for a 201 that serves the blob, and for a 202 whose session takes it.
async fn settled(ctx: &Context, repo: &str, blob: &Blob, response: &Response) -> Verdict {
    status(response, &[201, 202])?;
    let location = ctx.location(response)?;
    if response.status == 201 {
        let pulled = ctx.follow(ctx.request_to("GET", location)).await?;
        status(&pulled, &[200])?;
        body_is(&pulled, &blob.bytes)?;
    } else {
        status(&ctx.send(ctx.finish(&location, &blob.digest, &blob.bytes)).await?, &[201])?;
    }
    ctx.blob_is(repo, &blob.digest, &blob.bytes).await
}

async fn mounted(ctx: &Context) -> Verdict {
    let (source, target, blob) = (ctx.repo(), ctx.repo(), ctx.blob(500));
    ctx.have_blob(&source, &blob).await?;
    let response = ctx.send(mount(ctx, &target, &blob.digest, &source)).await?;
    ctx.observe(format!("a mount is answered with {}", response.status));
    settled(ctx, &target, &blob, &response).await
}

async fn anonymous(ctx: &Context) -> Verdict {
    let (source, target, blob) = (ctx.repo(), ctx.repo(), ctx.blob(500));
    ctx.have_blob(&source, &blob).await?;
    let response = ctx.send(ctx.begin(&target).query("mount", &blob.digest)).await?;
    ctx.observe(format!("a mount without from is answered with {}", response.status));
    settled(ctx, &target, &blob, &response).await
}

async fn impossible(ctx: &Context) -> Verdict {
    let mut findings = Findings::default();
    let (source, present) = (ctx.repo(), ctx.blob(50));
    ctx.have_blob(&source, &present).await?;
    let absent = ctx.blob(60);
    let nowhere = ctx.repo();
    for (what, digest, from, allowed) in [
        ("a missing repository", &absent.digest, nowhere.as_str(), &[202][..]),
        ("a missing blob", &absent.digest, &source, &[202]),
        ("a malformed digest", &"sha256:XYZ".to_owned(), &source, &[202, 400]),
        ("a malformed source", &absent.digest, "UP%20PER", &[202, 400, 404]),
    ] {
        let target = ctx.repo();
        let response = ctx.send(mount(ctx, &target, digest, from)).await?;
        let verdict = status(&response, allowed)
            .and_then(|()| if response.status == 202 { ctx.location(&response).map(|_| ()) } else { Ok(()) });
        findings.note(verdict)?;
        let pulled = ctx.pull_blob(&target, digest).await?;
        findings.note(that(!pulled.is_success(), || format!("{what}: the blob is there after the mount")))?;
    }
    // A source that has the blob no longer has to refuse it like one that never had it.
    let target = ctx.repo();
    let wrong = ctx.send(mount(ctx, &target, &present.digest, &nowhere)).await?;
    findings.note(settled(ctx, &target, &present, &wrong).await)?;
    findings.verdict()
}

async fn itself(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(50));
    ctx.have_blob(&repo, &blob).await?;
    let response = ctx.send(mount(ctx, &repo, &blob.digest, &repo)).await?;
    settled(ctx, &repo, &blob, &response).await
}

async fn independent(ctx: &Context) -> Verdict {
    let (source, target, blob) = (ctx.repo(), ctx.repo(), ctx.blob(500));
    ctx.have_blob(&source, &blob).await?;
    let response = ctx.send(mount(ctx, &target, &blob.digest, &source)).await?;
    settled(ctx, &target, &blob, &response).await?;
    status(&ctx.delete_blob(&source, &blob.digest).await?, &[202])?;
    ctx.blob_gone(&source, &blob.digest).await?;
    ctx.blob_is(&target, &blob.digest, &blob.bytes).await?;
    // And what was deleted cannot be mounted any more from where it was.
    let third = ctx.repo();
    let late = ctx.send(mount(ctx, &third, &blob.digest, &source)).await?;
    settled(ctx, &third, &blob, &late).await
}

async fn deleted(ctx: &Context) -> Verdict {
    let (source, target, blob) = (ctx.repo(), ctx.repo(), ctx.blob(500));
    ctx.have_blob(&source, &blob).await?;
    status(&ctx.delete_blob(&source, &blob.digest).await?, &[202])?;
    let response = ctx.send(mount(ctx, &target, &blob.digest, &source)).await?;
    status(&response, &[202])?;
    ctx.blob_gone(&target, &blob.digest).await
}

async fn both(ctx: &Context) -> Verdict {
    let (source, target, blob) = (ctx.repo(), ctx.repo(), ctx.blob(50));
    ctx.have_blob(&source, &blob).await?;
    let request = mount(ctx, &target, &blob.digest, &source).query("digest", &blob.digest);
    let response = ctx.send(request.body(blob.bytes.clone())).await?;
    status(&response, &[201, 202, 400])?;
    ctx.observe(format!("a mount with a digest is answered with {}", response.status));
    if response.status == 400 { Ok(()) } else { settled(ctx, &target, &blob, &response).await }
}

async fn unreadable(ctx: &Context) -> Verdict {
    let (source, blob, absent) = (ctx.repo(), ctx.blob(500), ctx.blob(501));
    ctx.have_blob(&source, &blob).await?;
    let (outsider, target) = (ctx.outsider()?, ctx.outside());
    let real = outsider.send(mount(ctx, &target, &blob.digest, &source)).await?;
    let missing = outsider.send(mount(ctx, &target, &absent.digest, &source)).await?;
    let nowhere = outsider.send(mount(ctx, &target, &absent.digest, &ctx.repo())).await?;
    that(real.status != 201, || format!("{}: a blob that one may not read was mounted", real.label))?;
    alike(&real, &missing)?;
    alike(&real, &nowhere)?;
    let got = outsider.pull_blob(&target, &blob.digest).await?;
    that(!got.is_success(), || format!("{}: answered {} after the mount", got.label, got.status))
}

async fn unreadable_unnamed(ctx: &Context) -> Verdict {
    let (source, blob, absent) = (ctx.repo(), ctx.blob(500), ctx.blob(501));
    ctx.have_blob(&source, &blob).await?;
    for (who, target) in [(ctx.outsider()?, ctx.outside()), (ctx.anonymous(), ctx.repo())] {
        let real = who.send(ctx.begin(&target).query("mount", &blob.digest)).await?;
        let missing = who.send(ctx.begin(&target).query("mount", &absent.digest)).await?;
        that(real.status != 201, || format!("{}: a blob that one may not read was mounted", real.label))?;
        alike(&real, &missing)?;
    }
    // Without a login a named source must not be asked either.
    let named = ctx.anonymous().send(mount(ctx, &ctx.repo(), &blob.digest, &source)).await?;
    that(named.status != 201, || format!("{}: mounted without a login", named.label))
}

/// Passes when two answers say the same to somebody who must not know what is there.
fn alike(real: &Response, other: &Response) -> Verdict {
    that(real.status == other.status, || {
        format!(
            "{}: answered {} where something is there, and {} where nothing is",
            real.label, real.status, other.status
        )
    })
}
