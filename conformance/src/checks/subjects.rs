//! Pushing manifests with a subject (spec.md#pushing-manifests-with-subject).

use serde_json::json;

use crate::check::{Check, Feature, Level, Stop, Verdict, run};
use crate::checks::MANIFEST;
use crate::checks::referrers::{API, are, artifact, have_artifact, subject};
use crate::content::Manifest;
use crate::context::Context;
use crate::expect::{header_absent, header_is, refused, status};

const ANCHOR: &str = "spec.md#listing-referrers";
const SUBJECT: &str = "spec.md#pushing-manifests-with-subject";

pub(super) const CHECKS: &[Check] = &[
    Check::new("R-038", Level::Must, SUBJECT, "A manifest whose subject is not there is taken.", run!(early))
        .after(&[MANIFEST])
        .why("Signatures may arrive before the image, for example in a copy.")
        .breaks("cosign, oras copy.")
        .covers(&["R-038"]),
    Check::new(
        "T-136",
        Level::Must,
        "spec.md#enabling-the-referrers-api",
        "A manifest listed under the referrers tag is a referrer, once.",
        run!(listed_by_tag),
    )
    .after(&["R-104"])
    .needs(API)
    .why("Signatures that were pushed before the API was there must not vanish.")
    .covers(&["R-135"]),
    Check::new(
        "T-137",
        Level::Observe,
        "spec.md#referrers-tag-schema",
        "An index can be pushed under a referrers tag.",
        run!(tag_schema),
    )
    .after(&[MANIFEST])
    .why("Clients that know no API keep it themselves.")
    .breaks("oras and cosign on registries without the API."),
    Check::new(
        "T-138",
        Level::Must,
        SUBJECT,
        "OCI-Subject answers a push with a subject, and no other.",
        run!(subject_header),
    )
    .after(&["R-104"])
    .needs(API)
    .why("Without it a client keeps the tag schema beside the API; with it falsely it keeps neither.")
    .breaks("oras, cosign, regctl.")
    .covers(&["R-089"]),
    Check::new(
        "T-139",
        Level::Must,
        ANCHOR,
        "Referrers pushed at the same time are all listed.",
        run!(concurrent),
    )
    .after(&["R-104"])
    .needs(API)
    .why("Several tools sign and scan the same image at the moment it appears.")
    .covers(&["R-137"]),
];

async fn listed_by_tag(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let of = ctx.tagged(&repo, "t").await?.manifest;
    let first = artifact(ctx, &of, json!({}));
    ctx.have_image(&repo, &first.manifest.digest, &first).await?;
    // As a client does that knows no API: it keeps the list under a tag made of the subject's digest.
    let index = Manifest::index(&[first.manifest.descriptor()], json!({}));
    status(&ctx.send(ctx.push(&repo, &of.digest.replace(':', "-"), &index)).await?, &[201])?;
    are(ctx, &repo, &of.digest, &[&first.manifest]).await?;
    let second = artifact(ctx, &of, json!({}));
    ctx.have_image(&repo, "second", &second).await?;
    are(ctx, &repo, &of.digest, &[&first.manifest, &second.manifest]).await
}

async fn early(ctx: &Context) -> Verdict {
    let (repo, absent) = (ctx.repo(), ctx.image().manifest);
    let artifact = artifact(ctx, &absent, json!({}));
    ctx.have_content(&repo, &artifact).await?;
    status(&ctx.send(ctx.push(&repo, "early", &artifact.manifest)).await?, &[201])?;
    ctx.manifest_is(&repo, "early", &artifact.manifest).await?;
    if ctx.offers(Feature::Referrers) {
        are(ctx, &repo, &absent.digest, &[&artifact.manifest]).await
    } else {
        Ok(())
    }
}

async fn tag_schema(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let image = ctx.tagged(&repo, "t").await?.manifest;
    let pushed = have_artifact(ctx, &repo, &image, json!({})).await?;
    let index = Manifest::index(&[pushed.descriptor()], json!({}));
    let tag = image.digest.replace(':', "-");
    status(&ctx.send(ctx.push(&repo, &tag, &index)).await?, &[201])?;
    ctx.manifest_is(&repo, &tag, &index).await
}

async fn subject_header(ctx: &Context) -> Verdict {
    let (repo, plain) = (ctx.repo(), ctx.image());
    ctx.have_content(&repo, &plain).await?;
    let response = ctx.send(ctx.push(&repo, "plain", &plain.manifest)).await?;
    header_absent(&response, "OCI-Subject")?;
    let artifact = artifact(ctx, &plain.manifest, json!({}));
    ctx.have_content(&repo, &artifact).await?;
    for reference in [artifact.manifest.digest.as_str(), "signature", &artifact.manifest.digest] {
        let response = ctx.send(ctx.push(&repo, reference, &artifact.manifest)).await?;
        status(&response, &[201])?;
        header_is(&response, "OCI-Subject", &plain.manifest.digest)?;
    }
    let index = Manifest::index(&[plain.manifest.descriptor()], json!({"subject": subject(&plain.manifest)}));
    let response = ctx.send(ctx.push(&repo, "index", &index)).await?;
    status(&response, &[201])?;
    header_is(&response, "OCI-Subject", &plain.manifest.digest)?;
    // What is refused makes no referrer.
    let wrong = ctx.send(ctx.push(&repo, &ctx.blob(3).digest, &index)).await?;
    refused(&wrong)
}

async fn concurrent(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let image = ctx.tagged(&repo, "t").await?.manifest;
    let mut artifacts = Vec::new();
    for number in 0..30 {
        let artifact = artifact(ctx, &image, json!({"annotations": {"number": number.to_string()}}));
        ctx.have_content(&repo, &artifact).await?;
        artifacts.push(artifact.manifest);
    }
    let push = |share: usize| {
        let (repo, artifacts) = (&repo, &artifacts);
        async move {
            for manifest in artifacts.iter().skip(share).step_by(6) {
                let response = ctx.send(ctx.push(repo, &manifest.digest, manifest)).await?;
                status(&response, &[201])?;
            }
            Ok::<(), Stop>(())
        }
    };
    let (a, b, c, d, e, f) = tokio::join!(push(0), push(1), push(2), push(3), push(4), push(5));
    a.and(b).and(c).and(d).and(e).and(f)?;
    are(ctx, &repo, &image.digest, &artifacts.iter().collect::<Vec<_>>()).await
}
