//! Pushing manifests: what comes back, what is stored, how tags move (spec.md#pushing-manifests).

use crate::check::{Check, Content, Feature, Level, Need, Stop, Verdict, run};
use crate::checks::{BASE, BLOB, MANIFEST};
use crate::content::{Manifest, OCI_MANIFEST, sha256};
use crate::context::Context;
use crate::expect::{Findings, body_is, digest_header, refused, setup, status, strings, that};
use crate::wire::Response;

const ANCHOR: &str = "spec.md#pushing-manifests";
const TAGGED: &str = "spec.md#pushing-manifests-with-tags";
const RFC: &str = "RFC 9110 through spec.md#api";

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "R-081",
        Level::Must,
        ANCHOR,
        "A pushed manifest is 201, and its Location serves it.",
        run!(pushed),
    )
    .after(&[BASE, BLOB])
    .why("Nothing else about manifests can be checked without it.")
    .breaks("All.")
    .covers(&["R-081", "R-080", "R-002", "R-003"]),
    Check::new("T-072", Level::Must, ANCHOR, "A push by digest makes no tag.", run!(untagged))
        .content(Content::Seeded)
        .after(&[MANIFEST])
        .why("Tags that appear by themselves keep garbage and confuse people.")
        .covers(&["R-081"]),
    Check::new(
        "T-073",
        Level::Must,
        ANCHOR,
        "A tag that is pushed again points to the new manifest only.",
        run!(moved),
    )
    .after(&[MANIFEST])
    .why("It is how a release is made; a tag that stays behind deploys the old one.")
    .breaks("All: the official suite never moves a tag.")
    .covers(&["R-081", "R-021"]),
    Check::new("T-074", Level::Must, ANCHOR, "The same push twice is 201 twice.", run!(twice))
        .after(&[MANIFEST])
        .why("A client whose connection broke repeats the push.")
        .covers(&["R-081"]),
    Check::new("T-075", Level::Must, ANCHOR, "A push answers with the digest of the manifest.", run!(digest))
        .after(&[MANIFEST])
        .why("docker prints it and tools pin it; without it they compute their own, or fail.")
        .breaks("docker push with the classic image store.")
        .covers(&["R-082"]),
    Check::new(
        "T-076",
        Level::May,
        TAGGED,
        "A push by digest with tag parameters makes ten tags and says so.",
        run!(ten_tags),
    )
    .after(&[MANIFEST])
    .needs(&[Need::Feature(Feature::TagParameter)])
    .why("It is the only way to tag a manifest in another algorithm, and saves requests.")
    .breaks("regctl.")
    .covers(&["R-083", "R-084", "R-086"]),
    Check::new(
        "T-076a",
        Level::Must,
        TAGGED,
        "OCI-Tag lists the tags that were made, and no others.",
        run!(tag_header),
    )
    .after(&[MANIFEST])
    .needs(&[Need::Feature(Feature::TagParameter)])
    .why("A client believes the list and does not push again what stands there.")
    .covers(&["R-086"]),
    Check::new(
        "T-076b",
        Level::May,
        TAGGED,
        "Five hundred tags in one push are taken, or refused with 414 or 431.",
        run!(many_tags),
    )
    .after(&["T-076"])
    .needs(&[Need::Feature(Feature::TagParameter)])
    .why("A limit is fair when it is told; silence loses tags.")
    .covers(&["R-085"]),
    Check::new(
        "T-077",
        Level::Must,
        ANCHOR,
        "Every byte of a manifest is kept, also those without meaning.",
        run!(exact),
    )
    .after(&[MANIFEST])
    .why("A manifest that is parsed and printed again has another digest.")
    .breaks("All: signatures and digests no longer match.")
    .covers(&["R-080"]),
    Check::new(
        "T-078",
        Level::Observe,
        RFC,
        "If-Match and If-None-Match on a tag are honoured or ignored.",
        run!(conditions),
    )
    .after(&[MANIFEST])
    .why("A client that updates an index under its tag needs to know that it was overtaken.")
    .covers(&["R-134"]),
];

async fn pushed(ctx: &Context) -> Verdict {
    let (repo, image) = (ctx.repo(), ctx.image());
    ctx.have_content(&repo, &image).await?;
    let mut findings = Findings::default();
    for reference in ["t", &image.manifest.digest] {
        let response = ctx.send(ctx.push(&repo, reference, &image.manifest)).await?;
        status(&response, &[201])?;
        let location = ctx.location(&response)?;
        let request = ctx.request_to("GET", location).header("Accept", Manifest::accept_all());
        let at_location = ctx.follow(request).await?;
        findings.note(status(&at_location, &[200]))?;
        findings.note(body_is(&at_location, &image.manifest.bytes))?;
        findings.note(ctx.manifest_is(&repo, reference, &image.manifest).await)?;
    }
    findings.verdict()
}

async fn untagged(ctx: &Context) -> Verdict {
    let (repo, image) = (ctx.repo(), ctx.image());
    ctx.have_image(&repo, &image.manifest.digest, &image).await?;
    let response = ctx.tags(&repo, "").await?;
    if response.status == 404 {
        ctx.observe("a repository without tags has no list of tags (404)");
        return Ok(());
    }
    status(&response, &[200])?;
    let body = crate::expect::json(&response)?;
    let none = body["tags"].is_null() || body["tags"].as_array().is_some_and(Vec::is_empty);
    that(none, || format!("{}: the tags are {}, expected none", response.label, body["tags"]))
}

async fn moved(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let old = ctx.tagged(&repo, "t").await?;
    ctx.manifest_is(&repo, "t", &old.manifest).await?;
    let new = ctx.image();
    ctx.have_content(&repo, &new).await?;
    status(&ctx.send(ctx.push(&repo, "t", &new.manifest)).await?, &[201])?;
    ctx.manifest_is(&repo, "t", &new.manifest).await?;
    let head = ctx.follow(ctx.manifest("HEAD", &repo, "t")).await?;
    let long = crate::content::sha512(&new.manifest.bytes);
    digest_header(&head, &[&new.manifest.digest, &long])?;
    ctx.manifest_is(&repo, &old.manifest.digest, &old.manifest).await?;
    let tags = strings(&ctx.tags(&repo, "").await?, "tags")?;
    that(tags == ["t"], || format!("the tags are {tags:?}, expected [\"t\"]"))?;
    // And back again: the digest is known already, the tag still has to move.
    status(&ctx.send(ctx.push(&repo, "t", &old.manifest)).await?, &[201])?;
    ctx.manifest_is(&repo, "t", &old.manifest).await
}

async fn twice(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let image = ctx.tagged(&repo, "t").await?;
    status(&ctx.send(ctx.push(&repo, "t", &image.manifest)).await?, &[201])?;
    status(&ctx.send(ctx.push(&repo, &image.manifest.digest, &image.manifest)).await?, &[201])?;
    ctx.manifest_is(&repo, "t", &image.manifest).await?;
    let tags = strings(&ctx.tags(&repo, "").await?, "tags")?;
    that(tags == ["t"], || format!("the tags are {tags:?}, expected [\"t\"]"))
}

async fn digest(ctx: &Context) -> Verdict {
    let (repo, image) = (ctx.repo(), ctx.image());
    ctx.have_content(&repo, &image).await?;
    let mut findings = Findings::default();
    for reference in [&image.manifest.digest, "t"] {
        let response = ctx.send(ctx.push(&repo, reference, &image.manifest)).await?;
        findings.note(status(&response, &[201]))?;
        findings.note(digest_header(&response, &[&image.manifest.digest]))?;
    }
    findings.verdict()
}

/// Pushes a manifest by digest with tag parameters.
async fn push_tags(
    ctx: &Context,
    repo: &str,
    manifest: &Manifest,
    tags: &[String],
) -> Result<Response, Stop> {
    let request = ctx.push(repo, &manifest.digest, manifest);
    ctx.send(tags.iter().fold(request, |request, tag| request.query("tag", tag))).await
}

async fn ten_tags(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let old = ctx.tagged(&repo, "v3").await?;
    let image = ctx.image();
    ctx.have_content(&repo, &image).await?;
    let tags: Vec<String> = (0..10).map(|number| format!("v{number}")).collect();
    let response = push_tags(ctx, &repo, &image.manifest, &tags).await?;
    status(&response, &[201])?;
    for tag in &tags {
        ctx.manifest_is(&repo, tag, &image.manifest).await?;
    }
    ctx.manifest_is(&repo, &old.manifest.digest, &old.manifest).await
}

async fn tag_header(ctx: &Context) -> Verdict {
    let (repo, image) = (ctx.repo(), ctx.image());
    ctx.have_content(&repo, &image).await?;
    let response =
        push_tags(ctx, &repo, &image.manifest, &["a".to_owned(), "b".to_owned(), "a".to_owned()]).await?;
    status(&response, &[201])?;
    let mut listed = response.header_list("OCI-Tag");
    listed.sort_unstable();
    listed.dedup();
    that(listed == ["a", "b"], || format!("{}: OCI-Tag lists {listed:?}, expected a and b", response.label))?;
    // One bad tag: nothing is made, or exactly what is listed.
    let response = push_tags(ctx, &repo, &image.manifest, &["good".to_owned(), ".bad".to_owned()]).await?;
    let tags = setup(strings(&ctx.tags(&repo, "").await?, "tags"))?;
    if response.status == 201 {
        let listed = response.header_list("OCI-Tag");
        return that(
            tags.contains(&"good".to_owned()) == listed.contains(&"good") && !listed.contains(&".bad"),
            || format!("{}: OCI-Tag lists {listed:?}, the tags are {tags:?}", response.label),
        );
    }
    refused(&response)?;
    that(tags == ["a", "b"], || format!("{}: refused, but the tags are {tags:?}", response.label))
}

async fn many_tags(ctx: &Context) -> Verdict {
    let (repo, image) = (ctx.repo(), ctx.image());
    ctx.have_content(&repo, &image).await?;
    let tags: Vec<String> = (0..500).map(|number| format!("t{number:03}")).collect();
    let response = push_tags(ctx, &repo, &image.manifest, &tags).await?;
    status(&response, &[201, 400, 414, 431])?;
    ctx.observe(format!("500 tags in one push are answered with {}", response.status));
    if response.status != 201 {
        return Ok(());
    }
    let listed = response.header_list("OCI-Tag").len();
    that(listed == 500, || format!("{}: OCI-Tag lists {listed} of 500 tags", response.label))
}

async fn exact(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let image = ctx.image();
    ctx.have_content(&repo, &image).await?;
    let compact = String::from_utf8_lossy(&image.manifest.bytes).into_owned();
    let body = compact.strip_suffix('}').unwrap_or(&compact);
    let variants = [
        format!("{compact}\n"),
        format!("\n\t {compact}\r\n\r\n"),
        format!("{body},\"annotations\":{{\"z\":\"\\u00e9\\/\",\"a\":\"é<&>\"}}}}"),
        format!("{body} ,\t\"annotations\" : {{ \"b\" : \"1\" , \"a\" : \"2\" }} }}"),
    ];
    let mut findings = Findings::default();
    for (variant, number) in variants.into_iter().zip(1..) {
        let manifest = Manifest::raw(OCI_MANIFEST, variant);
        let tag = format!("v{number}");
        let response = ctx.send(ctx.push(&repo, &tag, &manifest)).await?;
        findings.note(status(&response, &[201]))?;
        findings.note(digest_header(&response, &[&sha256(&manifest.bytes)]))?;
        findings.note(ctx.manifest_is(&repo, &tag, &manifest).await)?;
        findings.note(ctx.manifest_is(&repo, &manifest.digest, &manifest).await)?;
    }
    findings.verdict()
}

async fn conditions(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let old = ctx.tagged(&repo, "t").await?;
    let new = ctx.image();
    ctx.have_content(&repo, &new).await?;
    for (name, value) in [("If-None-Match", "*"), ("If-Match", "\"other\"")] {
        let response = ctx.send(ctx.push(&repo, "t", &new.manifest).header(name, value)).await?;
        status(&response, &[201, 412])?;
        ctx.observe(format!("a violated {name} on a tag is answered with {}", response.status));
        let expected = if response.status == 201 { &new.manifest } else { &old.manifest };
        ctx.manifest_is(&repo, "t", expected).await?;
        ctx.have_manifest(&repo, "t", &old.manifest).await?;
    }
    Ok(())
}
