//! Digests: what is malformed, what does not match, and a second algorithm (spec.md#digests).

use crate::check::{Check, Content, Feature, Level, Need, Verdict, run};
use crate::checks::{BLOB, MANIFEST};
use crate::content::{Manifest, OCI_MANIFEST, sha512};
use crate::context::Context;
use crate::expect::{Findings, body_is, code, digest_header, listed, refused, status, strings, that};

const PUSH: &str = "spec.md#post-then-put";
const ANCHOR: &str = "spec.md#pushing-blobs";
const MANIFESTS: &str = "spec.md#pushing-manifests";
const ALGORITHM: &str = "spec.md#pushing-a-blob-in-chunks";

pub(super) const CHECKS: &[Check] = &[
    Check::new("T-018", Level::Should, ANCHOR, "Closing an upload without a digest is 400.", run!(missing))
        .after(&[BLOB])
        .why("A blob without a name cannot be asked for; 201 to it hides a client's bug.")
        .covers(&["R-041"]),
    Check::new(
        "T-018a",
        Level::Observe,
        ANCHOR,
        "After a close without a digest the session goes on.",
        run!(missing_survives),
    )
    .after(&["T-018"])
    .why("The bytes are there: a client that repeats the close properly need not send them again."),
    Check::new(
        "T-019",
        Level::Should,
        ANCHOR,
        "A malformed digest or an unknown algorithm is 400.",
        run!(malformed),
    )
    .after(&[BLOB])
    .why("A digest read too loosely becomes a file name, or two names of one content.")
    .covers(&["R-041", "R-014"]),
    Check::new("T-020", Level::Observe, ANCHOR, "Two digests that disagree are refused.", run!(disagreeing))
        .after(&[BLOB])
        .why("Proxies and registries that read different ones are tricked into storing under a wrong name."),
    Check::new(
        "T-021",
        Level::Must,
        PUSH,
        "Bytes are never stored under a digest that is not theirs.",
        run!(wrong),
    )
    .after(&[BLOB])
    .why("It is the promise of content addressing: everything else rests on it.")
    .breaks("All: the next pull of that digest fails everywhere with a digest mismatch.")
    .covers(&["R-030", "R-041"]),
    Check::new(
        "T-021a",
        Level::Should,
        PUSH,
        "A digest that does not match is 400 and stores nothing.",
        run!(wrong_status),
    )
    .after(&["T-021"])
    .why("Any other status makes a client retry what can never succeed.")
    .covers(&["R-041"]),
    Check::new(
        "T-022",
        Level::Must,
        MANIFESTS,
        "A manifest is never stored under a digest that is not its own.",
        run!(wrong_manifest),
    )
    .after(&[MANIFEST])
    .why("A manifest under a wrong digest is a signed image with other content.")
    .covers(&["R-080", "R-082"]),
    Check::new(
        "T-023",
        Level::Must,
        PUSH,
        "A push with a wrong digest leaves the blob of that digest alone.",
        run!(wrong_over_existing),
    )
    .after(&[BLOB])
    .why("Otherwise whoever may push can destroy a layer that others use.")
    .covers(&["R-030"]),
    Check::new(
        "T-024",
        Level::Should,
        ALGORITHM,
        "An upload announced as sha512 is closed with sha512.",
        run!(hinted),
    )
    .after(&[BLOB])
    .needs(&[Need::Feature(Feature::Sha512)])
    .why("The hint lets a registry hash while it receives.")
    .breaks("regctl, which sends the hint for every other algorithm than sha256.")
    .covers(&["R-053"]),
    Check::new(
        "T-025",
        Level::Should,
        ALGORITHM,
        "An upload announced in an unknown algorithm is 400.",
        run!(hinted_unknown),
    )
    .after(&[BLOB])
    .why("Telling it at the beginning saves sending the bytes.")
    .covers(&["R-041"]),
    Check::new(
        "T-026",
        Level::Must,
        ALGORITHM,
        "A close in another algorithm than announced never corrupts.",
        run!(hinted_otherwise),
    )
    .after(&[BLOB])
    .needs(&[Need::Feature(Feature::Sha512)])
    .why("A registry that trusts the hint compares with the wrong hash, or with none.")
    .covers(&["R-030"]),
    Check::new(
        "T-027",
        Level::Must,
        ANCHOR,
        "The same bytes under sha256 and sha512 are both there.",
        run!(both),
    )
    .after(&[BLOB])
    .needs(&[Need::Feature(Feature::Sha512)])
    .why("Images in either algorithm share layers; losing one name breaks half of them.")
    .covers(&["R-028", "R-030"]),
    Check::new(
        "T-028",
        Level::Must,
        MANIFESTS,
        "A digest in another algorithm is unknown, or gives the same bytes.",
        run!(other_algorithm),
    )
    .content(Content::Seeded)
    .after(&[MANIFEST])
    .why("Anything else serves content that its name does not vouch for.")
    .covers(&["R-026"]),
];

async fn missing(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(100));
    let session = ctx.session_with(&repo, &blob.bytes).await?;
    let response = ctx.send(ctx.request_to("PUT", session)).await?;
    status(&response, &[400])?;
    code(&response, &["DIGEST_INVALID"])
}

async fn missing_survives(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(100));
    let session = ctx.session_with(&repo, &blob.bytes).await?;
    ctx.send(ctx.request_to("PUT", session.clone())).await?;
    status(&ctx.send(ctx.finish(&session, &blob.digest, b"")).await?, &[201])?;
    ctx.blob_is(&repo, &blob.digest, &blob.bytes).await
}

async fn malformed(ctx: &Context) -> Verdict {
    let (repo, mut findings) = (ctx.repo(), Findings::default());
    for bad in malformed_digests() {
        let blob = ctx.blob(32);
        let response = ctx.put_blob(&repo, &bad, &blob.bytes).await?;
        findings.note(status(&response, &[400]))?;
        findings.note(code(&response, &["DIGEST_INVALID", "UNSUPPORTED", "BLOB_UPLOAD_INVALID"]))?;
        let response = ctx.pull_blob(&repo, &blob.digest).await?;
        findings.note(status(&response, &[404]))?;
    }
    // The right digest in upper case is another text: who takes both has two names for one content.
    let blob = ctx.blob(32);
    let upper = blob.digest.to_uppercase().replace("SHA256", "sha256");
    findings.note(status(&ctx.put_blob(&repo, &upper, &blob.bytes).await?, &[400]))?;
    findings.note(ctx.blob_gone(&repo, &blob.digest).await)?;
    findings.verdict()
}

fn malformed_digests() -> Vec<String> {
    vec![
        "sha256:XYZ".to_owned(),
        format!("sha256:{}", "a".repeat(63)),
        format!("sha256:{}", "a".repeat(65)),
        format!("sha256:{}", "A".repeat(64)),
        format!("md5:{}", "a".repeat(32)),
        format!("sha384:{}", "a".repeat(96)),
        format!("foo%2Bbar:{}", "a".repeat(64)),
        "a".repeat(64),
        "sha256:".to_owned(),
    ]
}

async fn disagreeing(ctx: &Context) -> Verdict {
    let (repo, blob, other) = (ctx.repo(), ctx.blob(100), ctx.blob(100));
    let session = ctx.session(&repo).await?;
    let url = session.with_query("digest", &other.digest).with_query("digest", &blob.digest);
    let response = ctx.send(ctx.request_to("PUT", url).body(blob.bytes.clone())).await?;
    let stored = ctx.pull_blob(&repo, &other.digest).await?;
    status(&stored, &[404])?;
    status(&response, &[400])
}

async fn wrong(ctx: &Context) -> Verdict {
    let (repo, blob, claimed) = (ctx.repo(), ctx.blob(500), ctx.blob(500));
    // The same length and an almost equal digest: checking a prefix or the size is not enough.
    let mut near = blob.digest.clone();
    let last = if near.pop() == Some('0') { '1' } else { '0' };
    near.push(last);
    let mut findings = Findings::default();
    for digest in [&claimed.digest, &near] {
        findings.note(refused(&ctx.put_blob(&repo, digest, &blob.bytes).await?))?;
        findings.note(ctx.blob_gone(&repo, digest).await)?;
        let session = ctx.session_with(&repo, &blob.bytes).await?;
        findings.note(refused(&ctx.send(ctx.finish(&session, digest, b"")).await?))?;
        findings.note(ctx.blob_gone(&repo, digest).await)?;
        let whole =
            ctx.begin(&repo).query("digest", digest).header("Content-Type", "application/octet-stream");
        let response = ctx.send(whole.body(blob.bytes.clone())).await?;
        // 202 is a session for who takes no blob in a POST.
        findings.note(that(response.status != 201, || format!("{}: answered 201", response.label)))?;
        findings.note(ctx.blob_gone(&repo, digest).await)?;
    }
    findings.verdict()
}

async fn wrong_status(ctx: &Context) -> Verdict {
    let (repo, blob, claimed) = (ctx.repo(), ctx.blob(500), ctx.blob(500));
    let response = ctx.put_blob(&repo, &claimed.digest, &blob.bytes).await?;
    status(&response, &[400])?;
    code(&response, &["DIGEST_INVALID", "BLOB_UPLOAD_INVALID"])?;
    ctx.blob_gone(&repo, &blob.digest).await
}

async fn wrong_manifest(ctx: &Context) -> Verdict {
    let (repo, mut findings) = (ctx.repo(), Findings::default());
    let first = ctx.tagged(&repo, "first").await?;
    let other = ctx.image();
    ctx.have_content(&repo, &other).await?;
    let claimed = ctx.blob(64).digest;
    let response = ctx.send(ctx.push(&repo, &claimed, &other.manifest)).await?;
    findings.note(refused(&response))?;
    findings.note(listed(&response))?;
    findings.note(ctx.manifest_gone(&repo, &claimed).await)?;
    findings.note(ctx.manifest_gone(&repo, &other.manifest.digest).await)?;
    // An existing digest must not change its content either.
    let response = ctx.send(ctx.push(&repo, &first.manifest.digest, &other.manifest)).await?;
    findings.note(refused(&response))?;
    findings.note(ctx.manifest_is(&repo, &first.manifest.digest, &first.manifest).await)?;
    let tags = strings(&ctx.tags(&repo, "").await?, "tags")?;
    findings.note(that(tags == ["first"], || format!("the tags became {tags:?}")))?;
    findings.verdict()
}

async fn wrong_over_existing(ctx: &Context) -> Verdict {
    let (repo, old, new) = (ctx.repo(), ctx.blob(600), ctx.blob(600));
    ctx.have_blob(&repo, &old).await?;
    let response = ctx.put_blob(&repo, &old.digest, &new.bytes).await?;
    ctx.blob_is(&repo, &old.digest, &old.bytes).await?;
    refused(&response)
}

async fn hinted(ctx: &Context) -> Verdict {
    let (repo, bytes) = (ctx.repo(), ctx.blob(900).bytes);
    let begun = ctx.send(ctx.begin(&repo).query("digest-algorithm", "sha512")).await?;
    status(&begun, &[202])?;
    let session = ctx.location(&begun)?;
    let patched = ctx.send(ctx.chunk(&session, 0, &bytes[..400])).await?;
    status(&patched, &[202])?;
    let session = ctx.location(&patched)?;
    let patched = ctx.send(ctx.chunk(&session, 400, &bytes[400..])).await?;
    status(&patched, &[202])?;
    let digest = sha512(&bytes);
    let closed = ctx.send(ctx.finish(&ctx.location(&patched)?, &digest, b"")).await?;
    status(&closed, &[201])?;
    ctx.blob_is(&repo, &digest, &bytes).await
}

async fn hinted_unknown(ctx: &Context) -> Verdict {
    let response = ctx.send(ctx.begin(&ctx.repo()).query("digest-algorithm", "md5")).await?;
    status(&response, &[400])
}

async fn hinted_otherwise(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(700));
    let begun = ctx.send(ctx.begin(&repo).query("digest-algorithm", "sha512")).await?;
    status(&begun, &[202])?;
    let session = ctx.location(&begun)?;
    let other = ctx.blob(700);
    refused(&ctx.send(ctx.finish(&session, &other.digest, &blob.bytes)).await?)?;
    ctx.blob_gone(&repo, &other.digest).await?;
    let begun = ctx.send(ctx.begin(&repo).query("digest-algorithm", "sha512")).await?;
    let session = ctx.location(&begun)?;
    let response = ctx.send(ctx.finish(&session, &blob.digest, &blob.bytes)).await?;
    status(&response, &[201, 400])?;
    ctx.observe(format!("a sha256 close after a sha512 hint is answered with {}", response.status));
    if response.status == 201 {
        return ctx.blob_is(&repo, &blob.digest, &blob.bytes).await;
    }
    ctx.blob_gone(&repo, &blob.digest).await
}

async fn both(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(800));
    let long = sha512(&blob.bytes);
    ctx.have_blob(&repo, &blob).await?;
    status(&ctx.put_blob(&repo, &long, &blob.bytes).await?, &[201])?;
    for digest in [&blob.digest, &long] {
        let response = ctx.pull_blob(&repo, digest).await?;
        status(&response, &[200])?;
        body_is(&response, &blob.bytes)?;
        digest_header(&response, &[&blob.digest, &long])?;
    }
    if !ctx.offers(Feature::BlobDelete) {
        return Ok(());
    }
    status(&ctx.delete_blob(&repo, &blob.digest).await?, &[202])?;
    ctx.blob_is(&repo, &long, &blob.bytes).await
}

async fn other_algorithm(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let image = ctx.tagged(&repo, "t").await?;
    let response = ctx.pull(&repo, &sha512(&image.manifest.bytes)).await?;
    status(&response, &[200, 400, 404])?;
    ctx.observe(format!("a manifest asked for by its other digest is answered with {}", response.status));
    if response.status == 200 {
        body_is(&response, &image.manifest.bytes)?;
    }
    // And a digest of something else never finds it.
    let unrelated = Manifest::raw(OCI_MANIFEST, ctx.blob(16).bytes);
    let response = ctx.pull(&repo, &sha512(&unrelated.bytes)).await?;
    status(&response, &[400, 404])
}
