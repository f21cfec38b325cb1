//! Deleting tags, manifests and blobs (spec.md#content-management).

use serde_json::json;

use crate::check::{Check, Control, Feature, Level, Need, Stop, Verdict, run};
use crate::checks::{BLOB, MANIFEST};
use crate::content::Manifest;
use crate::context::Context;
use crate::expect::{Findings, code, no_server_error, status, strings, that};
use crate::wire::Response;

const TAGS: &str = "spec.md#deleting-tags";
const MANIFESTS: &str = "spec.md#deleting-manifests";
const BLOBS: &str = "spec.md#deleting-blobs";

const TAG: &[Need] = &[Need::Feature(Feature::TagDelete)];
const MANIFEST_DELETE: &[Need] = &[Need::Feature(Feature::ManifestDelete)];
const BLOB_DELETE: &[Need] = &[Need::Feature(Feature::BlobDelete)];

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "T-140",
        Level::Must,
        MANIFESTS,
        "A deleted manifest is 202, and gone with all its tags.",
        run!(with_tags),
    )
    .after(&[MANIFEST])
    .needs(MANIFEST_DELETE)
    .why("A tag that outlives its manifest breaks every pull and every list.")
    .covers(&["R-114", "R-118", "R-121"]),
    Check::new(
        "T-141",
        Level::Must,
        TAGS,
        "A deleted tag is 202 and gone; manifest and other tags stay.",
        run!(one_tag),
    )
    .after(&[MANIFEST])
    .needs(TAG)
    .why("Removing a name must not remove what others use.")
    .breaks("Clean-up jobs destroy releases.")
    .covers(&["R-115", "R-117"]),
    Check::new("R-123", Level::Must, BLOBS, "A deleted blob is 202 and gone.", run!(blob))
        .after(&[BLOB])
        .needs(BLOB_DELETE)
        .why("What is deleted for a reason must not be served again.")
        .covers(&["R-123", "R-114"]),
    Check::new(
        "T-142",
        Level::Must,
        MANIFESTS,
        "Deleting a manifest of a missing repository is 404.",
        run!(missing_manifest),
    )
    .after(&[MANIFEST])
    .needs(MANIFEST_DELETE)
    .why("A 202 says that something was there.")
    .covers(&["R-119"]),
    Check::new("T-142a", Level::Must, BLOBS, "Deleting a missing blob is 404.", run!(missing_blob))
        .after(&[BLOB])
        .needs(BLOB_DELETE)
        .why("A 202 says that something was there.")
        .covers(&["R-124"]),
    Check::new("T-142b", Level::Should, TAGS, "Deleting a missing tag is 404.", run!(missing_tag))
        .after(&[MANIFEST])
        .needs(TAG)
        .why("A 202 says that something was there.")
        .covers(&["R-115"]),
    Check::new(
        "T-143",
        Level::Observe,
        MANIFESTS,
        "Deleting the child of an index is refused, or hurts only it.",
        run!(child),
    )
    .after(&[MANIFEST])
    .needs(MANIFEST_DELETE)
    .why("The index is still asked for, and must be served or the deletion refused."),
    Check::new(
        "T-144",
        Level::Observe,
        BLOBS,
        "Deleting a blob in use is done or refused, and said so.",
        run!(blob_in_use),
    )
    .after(&[MANIFEST])
    .needs(BLOB_DELETE)
    .why("An answer that is not true leaves a broken image, or a leak."),
    Check::new(
        "T-145",
        Level::Observe,
        MANIFESTS,
        "A push is whole although garbage is collected meanwhile.",
        run!(collected),
    )
    .after(&[MANIFEST])
    .alone()
    .needs(&[Need::Control(Control::Gc)])
    .why("Between its blobs and its manifest a push looks like garbage."),
    Check::new("T-146", Level::Must, MANIFESTS, "What was deleted can be pushed again.", run!(again))
        .after(&[MANIFEST])
        .needs(&[Need::Feature(Feature::ManifestDelete), Need::Feature(Feature::BlobDelete)])
        .why("A deletion mark that stays makes a digest unusable for ever.")
        .covers(&["R-047", "R-081"]),
    Check::new("T-147", Level::Should, MANIFESTS, "Deleting twice is 202, then 404.", run!(twice))
        .after(&[MANIFEST])
        .needs(&[Need::Feature(Feature::ManifestDelete), Need::Feature(Feature::BlobDelete)])
        .why("The second one deletes nothing.")
        .covers(&["R-119", "R-124"]),
    Check::new(
        "T-148",
        Level::Must,
        "spec.md#content-management",
        "A deletion that is off is 400 or 405.",
        run!(off),
    )
    .after(&[MANIFEST])
    .why("Clients tell a registry that forbids from one that fails.")
    .covers(&["R-116", "R-120", "R-125"]),
    Check::new(
        "T-148a",
        Level::Observe,
        "spec.md#error-codes",
        "A deletion that is off says UNSUPPORTED.",
        run!(off_code),
    )
    .after(&["T-148"])
    .why("A client tells by it that trying again is useless."),
];

async fn with_tags(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let image = ctx.tagged(&repo, "a").await?;
    for tag in ["b", "c"] {
        ctx.have_manifest(&repo, tag, &image.manifest).await?;
    }
    let other = ctx.tagged(&repo, "other").await?;
    status(&ctx.delete_manifest(&repo, &image.manifest.digest).await?, &[202])?;
    let mut findings = Findings::default();
    for reference in [image.manifest.digest.as_str(), "a", "b", "c"] {
        findings.note(ctx.manifest_gone(&repo, reference).await)?;
    }
    let tags = strings(&ctx.tags(&repo, "").await?, "tags")?;
    findings.note(that(tags == ["other"], || format!("the tags are {tags:?}, expected [\"other\"]")))?;
    findings.note(ctx.manifest_is(&repo, "other", &other.manifest).await)?;
    findings.verdict()
}

async fn one_tag(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let image = ctx.tagged(&repo, "a").await?;
    ctx.have_manifest(&repo, "b", &image.manifest).await?;
    status(&ctx.delete_manifest(&repo, "a").await?, &[202])?;
    let mut findings = Findings::default();
    findings.note(ctx.manifest_gone(&repo, "a").await)?;
    findings.note(ctx.manifest_is(&repo, "b", &image.manifest).await)?;
    findings.note(ctx.manifest_is(&repo, &image.manifest.digest, &image.manifest).await)?;
    let tags = strings(&ctx.tags(&repo, "").await?, "tags")?;
    findings.note(that(tags == ["b"], || format!("the tags are {tags:?}, expected [\"b\"]")))?;
    findings.verdict()
}

async fn blob(ctx: &Context) -> Verdict {
    let (repo, blob, other) = (ctx.repo(), ctx.blob(100), ctx.blob(100));
    ctx.have_blob(&repo, &blob).await?;
    ctx.have_blob(&repo, &other).await?;
    status(&ctx.delete_blob(&repo, &blob.digest).await?, &[202])?;
    ctx.blob_gone(&repo, &blob.digest).await?;
    ctx.blob_is(&repo, &other.digest, &other.bytes).await
}

async fn missing_manifest(ctx: &Context) -> Verdict {
    let (nowhere, absent) = (ctx.repo(), ctx.blob(10).digest);
    status(&ctx.delete_manifest(&nowhere, &absent).await?, &[404])?;
    let repo = ctx.repo();
    ctx.tagged(&repo, "t").await?;
    status(&ctx.delete_manifest(&repo, &absent).await?, &[404])
}

async fn missing_blob(ctx: &Context) -> Verdict {
    let (nowhere, absent) = (ctx.repo(), ctx.blob(10).digest);
    status(&ctx.delete_blob(&nowhere, &absent).await?, &[404])?;
    // A blob of another repository is missing here, too, and has to survive there.
    let (one, other, blob) = (ctx.repo(), ctx.repo(), ctx.blob(20));
    ctx.have_blob(&one, &blob).await?;
    ctx.have_blob(&other, &ctx.blob(5)).await?;
    status(&ctx.delete_blob(&other, &blob.digest).await?, &[404])?;
    ctx.blob_is(&one, &blob.digest, &blob.bytes).await
}

async fn missing_tag(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    ctx.tagged(&repo, "t").await?;
    status(&ctx.delete_manifest(&repo, "absent").await?, &[404])
}

async fn child(ctx: &Context) -> Verdict {
    let (repo, image) = (ctx.repo(), ctx.image());
    ctx.have_image(&repo, &image.manifest.digest, &image).await?;
    let index = Manifest::index(&[image.manifest.descriptor()], json!({}));
    ctx.have_manifest(&repo, "multi", &index).await?;
    let response = ctx.delete_manifest(&repo, &image.manifest.digest).await?;
    status(&response, &[202, 405, 409])?;
    ctx.observe(format!("deleting the child of an index is answered with {}", response.status));
    ctx.manifest_is(&repo, "multi", &index).await?;
    if response.status == 202 {
        return ctx.manifest_gone(&repo, &image.manifest.digest).await;
    }
    ctx.manifest_is(&repo, &image.manifest.digest, &image.manifest).await
}

async fn blob_in_use(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let image = ctx.tagged(&repo, "t").await?;
    let response = ctx.delete_blob(&repo, &image.layer.digest).await?;
    status(&response, &[202, 405, 409])?;
    ctx.observe(format!("deleting a blob in use is answered with {}", response.status));
    ctx.manifest_is(&repo, "t", &image.manifest).await?;
    if response.status == 202 {
        return ctx.blob_gone(&repo, &image.layer.digest).await;
    }
    ctx.blob_is(&repo, &image.layer.digest, &image.layer.bytes).await
}

async fn again(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let image = ctx.tagged(&repo, "t").await?;
    status(&ctx.delete_manifest(&repo, &image.manifest.digest).await?, &[202])?;
    for blob in [&image.config, &image.layer] {
        status(&ctx.delete_blob(&repo, &blob.digest).await?, &[202, 404])?;
    }
    for blob in [&image.config, &image.layer] {
        status(&ctx.put_blob(&repo, &blob.digest, &blob.bytes).await?, &[201])?;
        ctx.blob_is(&repo, &blob.digest, &blob.bytes).await?;
    }
    status(&ctx.send(ctx.push(&repo, "t", &image.manifest)).await?, &[201])?;
    ctx.manifest_is(&repo, "t", &image.manifest).await?;
    ctx.manifest_is(&repo, &image.manifest.digest, &image.manifest).await
}

async fn twice(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(30));
    let image = ctx.tagged(&repo, "t").await?;
    ctx.have_blob(&repo, &blob).await?;
    let mut findings = Findings::default();
    for wanted in [202, 404] {
        findings.note(status(&ctx.delete_manifest(&repo, &image.manifest.digest).await?, &[wanted]))?;
        findings.note(status(&ctx.delete_blob(&repo, &blob.digest).await?, &[wanted]))?;
    }
    findings.verdict()
}

/// Asks for a deletion of each kind.
async fn ask_all(ctx: &Context) -> Result<[Response; 3], Stop> {
    let (repo, blob) = (ctx.repo(), ctx.blob(30));
    let image = ctx.tagged(&repo, "t").await?;
    ctx.have_blob(&repo, &blob).await?;
    Ok([
        ctx.delete_manifest(&repo, "t").await?,
        ctx.delete_blob(&repo, &blob.digest).await?,
        ctx.delete_manifest(&repo, &image.manifest.digest).await?,
    ])
}

async fn off_code(ctx: &Context) -> Verdict {
    let mut findings = Findings::default();
    for response in ask_all(ctx).await?.iter().filter(|answer| matches!(answer.status, 400 | 405)) {
        findings.note(code(response, &["UNSUPPORTED", "DENIED"]))?;
    }
    findings.verdict()
}

async fn off(ctx: &Context) -> Verdict {
    let mut findings = Findings::default();
    let answers = ask_all(ctx).await?;
    for response in &answers {
        findings.note(no_server_error(response))?;
        // What is offered is judged elsewhere; the manifest may be gone with its last tag.
        if response.status != 404 {
            findings.note(status(response, &[202, 400, 405]))?;
        }
    }
    let off = answers.iter().filter(|answer| matches!(answer.status, 400 | 405)).count();
    ctx.observe(format!("{off} of 3 kinds of deletion are off"));
    findings.verdict()
}

async fn collected(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let (first, old) = (ctx.image(), ctx.tagged(&repo, "old").await?);
    ctx.have_content(&repo, &first).await?;
    ctx.control(Control::Gc).await?;
    status(&ctx.send(ctx.push(&repo, "first", &first.manifest)).await?, &[201])?;
    let others: Vec<_> = (0..20).map(|_| ctx.image()).collect();
    let pushes = async {
        for (image, number) in others.iter().zip(0..) {
            ctx.have_content(&repo, image).await?;
            status(&ctx.send(ctx.push(&repo, &format!("n{number}"), &image.manifest)).await?, &[201])?;
        }
        Ok(())
    };
    let (collection, pushed): (Verdict, Verdict) = tokio::join!(ctx.control(Control::Gc), pushes);
    collection.and(pushed)?;
    for image in others.iter().chain([&first, &old]) {
        ctx.manifest_is(&repo, &image.manifest.digest, &image.manifest).await?;
        ctx.blob_is(&repo, &image.config.digest, &image.config.bytes).await?;
        ctx.blob_is(&repo, &image.layer.digest, &image.layer.bytes).await?;
    }
    Ok(())
}
