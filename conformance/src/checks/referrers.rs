//! Referrers: what points to a manifest (spec.md#listing-referrers).

use serde_json::{Value, json};

use crate::check::{Check, Content, Feature, Level, Need, Stop, Verdict, run};
use crate::checks::MANIFEST;
use crate::content::{Blob, Image, Manifest, OCI_EMPTY, OCI_INDEX, OCI_MANIFEST, sha512};
use crate::context::Context;
use crate::expect::{Findings, header_absent, header_is, json as parsed, status, that};
use crate::source::Held;
use crate::wire::Response;

const ANCHOR: &str = "spec.md#listing-referrers";
const KIND: &str = "application/vnd.example.signature.v1";

/// Pages of referrers before they count as a loop.
const PAGES_MAX: usize = 100;

pub(super) const API: &[Need] = &[Need::Feature(Feature::Referrers)];

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "R-104",
        Level::Must,
        ANCHOR,
        "Referrers are an index of what has this subject.",
        run!(listed),
    )
    .content(Content::Seeded)
    .after(&[MANIFEST])
    .needs(API)
    .why("It is how signatures and bills of materials are found.")
    .breaks("cosign, notation, oras discover.")
    .covers(&["R-101", "R-104", "R-106", "R-108", "R-137"]),
    Check::new(
        "R-102",
        Level::Must,
        ANCHOR,
        "A digest without referrers has an empty list, never 404.",
        run!(none),
    )
    .content(Content::Any)
    .after(&["R-104"])
    .needs(API)
    .why("A 404 sends clients to the tag schema, where they find nothing or something else.")
    .breaks("oras treats 404 with NAME_UNKNOWN as an error.")
    .covers(&["R-101", "R-102", "R-109"]),
    Check::new("T-126", Level::Must, ANCHOR, "A malformed digest is 400.", run!(malformed))
        .content(Content::Any)
        .after(&["R-104"])
        .needs(API)
        .why("An empty list for a typing error says that there is no signature.")
        .covers(&["R-103"]),
    Check::new(
        "T-127",
        Level::Must,
        ANCHOR,
        "Only manifests of this repository and subject, each once.",
        run!(only_own),
    )
    .after(&["R-104"])
    .needs(API)
    .why("A signature of another repository must not vouch for this one.")
    .covers(&["R-105"]),
    Check::new(
        "T-128",
        Level::Must,
        ANCHOR,
        "A deleted referrer is gone at once; a deleted subject keeps its own.",
        run!(deleted),
    )
    .after(&["R-104"])
    .needs(&[Need::Feature(Feature::Referrers), Need::Feature(Feature::ManifestDelete)])
    .why("A revoked signature that is still listed is still believed.")
    .covers(&["R-105"]),
    Check::new(
        "T-129",
        Level::Must,
        ANCHOR,
        "artifactType comes from the manifest, else from the config, else not.",
        run!(artifact_types),
    )
    .content(Content::Seeded)
    .after(&["R-104"])
    .needs(API)
    .why("Clients filter by it, and an empty one matches nothing.")
    .covers(&["R-106", "R-107"]),
    Check::new(
        "T-130",
        Level::Should,
        ANCHOR,
        "The filter by artifactType filters, and says so.",
        run!(filtered),
    )
    .content(Content::Seeded)
    .after(&["R-104"])
    .needs(API)
    .why("A header without a filter makes clients take everything for a signature.")
    .breaks("containerd, oras, notation.")
    .covers(&["R-111", "R-112"]),
    Check::new("T-131", Level::Observe, ANCHOR, "An unknown filter is ignored.", run!(unknown_filter))
        .content(Content::Seeded)
        .after(&["R-104"])
        .needs(API)
        .why("Later versions may add filters; an old registry must not lie about them."),
    Check::new("T-132", Level::Must, ANCHOR, "Many referrers are complete, over all pages.", run!(many))
        .content(Content::Seeded)
        .after(&["R-104"])
        .needs(API)
        .why("The page that is cut off may hold the one signature that counts.")
        .covers(&["R-110", "R-104"]),
    Check::new(
        "T-133",
        Level::Must,
        ANCHOR,
        "The Content-Type is exactly that of an OCI index.",
        run!(content_type),
    )
    .content(Content::Seeded)
    .after(&["R-104"])
    .needs(API)
    .why("crane and oras compare it as a whole.")
    .breaks("crane, oras.")
    .covers(&["R-104"]),
    Check::new("T-134", Level::Must, ANCHOR, "A subject in sha512 has its referrers.", run!(long_subject))
        .after(&["R-104"])
        .needs(&[Need::Feature(Feature::Referrers), Need::Feature(Feature::Sha512)])
        .why("Images in other algorithms deserve signatures too.")
        .covers(&["R-105"]),
    Check::new(
        "T-135",
        Level::Must,
        ANCHOR,
        "A referrer of a referrer is listed only there.",
        run!(transitive),
    )
    .content(Content::Seeded)
    .after(&["R-104"])
    .needs(API)
    .why("A signature of a signature says nothing about the image.")
    .covers(&["R-105"]),
];

pub(super) fn subject(of: &Manifest) -> Value {
    json!({"mediaType": of.media_type, "digest": of.digest, "size": of.bytes.len()})
}

/// Returns an artifact whose manifest has a subject and more members.
pub(super) fn artifact(ctx: &Context, of: &Manifest, extra: Value) -> Image {
    let mut members = json!({"artifactType": KIND, "subject": subject(of)});
    if let (Some(members), Value::Object(extra)) = (members.as_object_mut(), extra) {
        members.extend(extra);
    }
    let (config, layer) = (Blob::new(*b"{}"), ctx.blob(100));
    let layers = [layer.descriptor("application/octet-stream")];
    let manifest = Manifest::image(&config.descriptor(OCI_EMPTY), &layers, members);
    Image { config, layer, manifest }
}

/// Prepares an artifact by digest and returns its manifest.
pub(super) async fn have_artifact(
    ctx: &Context,
    repo: &str,
    of: &Manifest,
    extra: Value,
) -> Result<Manifest, Stop> {
    let artifact = artifact(ctx, of, extra);
    ctx.have_image(repo, &artifact.manifest.digest, &artifact).await?;
    Ok(artifact.manifest)
}

fn descriptors(response: &Response) -> Result<Vec<Value>, Stop> {
    status(response, &[200])?;
    let body = parsed(response)?;
    let list = body["manifests"].as_array().cloned();
    list.ok_or_else(|| {
        Stop::Fail(format!("{}: manifests is {}, expected a list", response.label, body["manifests"]))
    })
}

fn digests(list: &[Value]) -> Vec<&str> {
    let mut digests: Vec<&str> = list.iter().filter_map(|item| item["digest"].as_str()).collect();
    digests.sort_unstable();
    digests
}

/// Returns the descriptors of all pages.
async fn all(ctx: &Context, repo: &str, digest: &str, query: &str) -> Result<Vec<Value>, Stop> {
    let mut base = ctx.request("GET", &format!("/v2/{repo}/referrers/{digest}{query}")).url;
    let mut response = ctx.follow(ctx.request_to("GET", base.clone())).await?;
    let mut list = descriptors(&response)?;
    for _ in 0..PAGES_MAX {
        let Some(link) = response.header("Link").map(str::to_owned) else {
            return Ok(list);
        };
        let address =
            link.strip_prefix('<').and_then(|rest| rest.split_once('>')).map(|(address, _)| address);
        let address = address
            .filter(|_| link.contains("next"))
            .ok_or_else(|| Stop::Fail(format!("{}: Link is {link:?}", response.label)))?;
        base = base.join(address).map_err(|error| Stop::Error(error.to_string()))?;
        response = ctx.follow(ctx.request_to("GET", base.clone())).await?;
        header_is(&response, "Content-Type", OCI_INDEX)?;
        list.extend(descriptors(&response)?);
    }
    Err(Stop::Fail(format!("{repo}: more than {PAGES_MAX} pages of referrers")))
}

/// Passes when the referrers are exactly these.
pub(super) async fn are(ctx: &Context, repo: &str, digest: &str, expected: &[&Manifest]) -> Verdict {
    let list = all(ctx, repo, digest, "").await?;
    let mut wanted: Vec<&str> = expected.iter().map(|manifest| manifest.digest.as_str()).collect();
    wanted.sort_unstable();
    let got = digests(&list);
    that(got == wanted, || format!("the referrers of {digest} in {repo} are {got:?}, expected {wanted:?}"))
}

async fn listed(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let image = ctx.tagged(&repo, "t").await?.manifest;
    let notes = json!({"annotations": {"org.example.note": "one", "other": "ü"}});
    let pushed = have_artifact(ctx, &repo, &image, notes.clone()).await?;
    let response = ctx.referrers(&repo, &image.digest, "").await?;
    header_is(&response, "Content-Type", OCI_INDEX)?;
    let body = parsed(&response)?;
    that(body["schemaVersion"] == 2, || {
        format!("{}: schemaVersion is {}", response.label, body["schemaVersion"])
    })?;
    let list = descriptors(&response)?;
    let expected = json!({
        "mediaType": OCI_MANIFEST, "digest": pushed.digest, "size": pushed.bytes.len(),
        "artifactType": KIND, "annotations": notes["annotations"],
    });
    that(list.len() == 1, || format!("{}: {} referrers, expected one", response.label, list.len()))?;
    let mut findings = Findings::default();
    for key in ["mediaType", "digest", "size", "artifactType", "annotations"] {
        let (got, wanted) = (&list[0][key], &expected[key]);
        findings
            .note(that(got == wanted, || format!("{}: {key} is {got}, expected {wanted}", response.label)))?;
    }
    findings.verdict()
}

async fn none(ctx: &Context) -> Verdict {
    let never = ctx.referrers(&ctx.repo(), &ctx.blob(5).digest, "").await?;
    that(never.status != 404, || format!("{}: answered 404 for a repository that nobody made", never.label))?;
    that(descriptors(&never)?.is_empty(), || format!("{}: lists something", never.label))?;
    let Held { repo, image, .. } = ctx.held().await?;
    // What is given to read may have referrers.
    let bare = (!ctx.only_reads()).then_some(&image.manifest.digest);
    for digest in bare.into_iter().chain([&ctx.blob(5).digest]) {
        let response = ctx.referrers(&repo, digest, "").await?;
        header_is(&response, "Content-Type", OCI_INDEX)?;
        that(descriptors(&response)?.is_empty(), || format!("{}: lists something", response.label))?;
    }
    Ok(())
}

async fn malformed(ctx: &Context) -> Verdict {
    let (repo, mut findings) = (ctx.held().await?.repo, Findings::default());
    for bad in ["sha256:bad", "foo", "t", &format!("sha256:{}", "g".repeat(64))] {
        findings.note(status(&ctx.referrers(&repo, bad, "").await?, &[400]))?;
    }
    findings.verdict()
}

async fn only_own(ctx: &Context) -> Verdict {
    let (repo, other) = (ctx.repo(), ctx.repo());
    let image = ctx.image();
    for repo in [&repo, &other] {
        ctx.have_image(repo, "t", &image).await?;
    }
    let foreign = have_artifact(ctx, &other, &image.manifest, json!({})).await?;
    are(ctx, &repo, &image.manifest.digest, &[]).await?;
    let unrelated = ctx.tagged(&repo, "u").await?;
    have_artifact(ctx, &repo, &unrelated.manifest, json!({})).await?;
    let own = have_artifact(ctx, &repo, &image.manifest, json!({"annotations": {"x": "y"}})).await?;
    // The same manifest once more, by digest and under a tag.
    ctx.have_manifest(&repo, &own.digest, &own).await?;
    ctx.have_manifest(&repo, "signature", &own).await?;
    are(ctx, &repo, &image.manifest.digest, &[&own]).await?;
    are(ctx, &other, &image.manifest.digest, &[&foreign]).await
}

async fn deleted(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let image = ctx.tagged(&repo, "t").await?.manifest;
    let first = have_artifact(ctx, &repo, &image, json!({})).await?;
    let second = have_artifact(ctx, &repo, &image, json!({"annotations": {"second": "1"}})).await?;
    are(ctx, &repo, &image.digest, &[&first, &second]).await?;
    status(&ctx.delete_manifest(&repo, &first.digest).await?, &[202])?;
    are(ctx, &repo, &image.digest, &[&second]).await?;
    let gone = ctx.delete_manifest(&repo, &image.digest).await?;
    if gone.status == 202 {
        // Some registries delete referrers with their subject; the list then has to be empty.
        let left = all(ctx, &repo, &image.digest, "").await?;
        ctx.observe(format!("{} of 1 referrers outlive their subject", left.len()));
        let status = ctx.pull(&repo, &second.digest).await?.status;
        that((status == 200) == (left.len() == 1), || {
            format!("the referrer answers {status}, but the list has {} entries", left.len())
        })?;
    }
    ctx.have_manifest(&repo, "t", &image).await?;
    ctx.have_manifest(&repo, &second.digest, &second).await?;
    are(ctx, &repo, &image.digest, &[&second]).await
}

async fn artifact_types(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let image = ctx.tagged(&repo, "t").await?.manifest;
    let by_config = ctx.image_with(json!({"subject": subject(&image)}));
    ctx.have_image(&repo, "by-config", &by_config).await?;
    let blank = ctx.image_with(json!({"subject": subject(&image), "artifactType": ""}));
    ctx.have_image(&repo, "blank", &blank).await?;
    let plain = Manifest::index(&[image.descriptor()], json!({"subject": subject(&image)}));
    ctx.have_manifest(&repo, "plain-index", &plain).await?;
    let typed = json!({"subject": subject(&image), "artifactType": "application/x.index"});
    let typed = Manifest::index(&[image.descriptor()], typed);
    ctx.have_manifest(&repo, "typed-index", &typed).await?;
    let list = all(ctx, &repo, &image.digest, "").await?;
    let mut findings = Findings::default();
    let config = json!("application/vnd.oci.image.config.v1+json");
    for (manifest, expected) in [
        (&by_config.manifest, config.clone()),
        (&blank.manifest, config),
        (&plain, Value::Null),
        (&typed, json!("application/x.index")),
    ] {
        let found = list.iter().find(|item| item["digest"] == manifest.digest.as_str());
        let Some(found) = found else {
            findings.note(that(false, || format!("{} is not listed", manifest.digest)))?;
            continue;
        };
        let got = found.get("artifactType").cloned().unwrap_or(Value::Null);
        findings.note(that(got == expected, || {
            format!("artifactType of {} is {got}, expected {expected}", manifest.digest)
        }))?;
        let present = found.as_object().is_some_and(|object| object.contains_key("artifactType"));
        findings.note(that(present || expected.is_null(), || "artifactType is missing".to_owned()))?;
        findings.note(that(!(present && expected.is_null()), || {
            format!("artifactType of an index without one is {got}, expected no member")
        }))?;
    }
    findings.verdict()
}

async fn filtered(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let image = ctx.tagged(&repo, "t").await?.manifest;
    let kinds = ["application/vnd.a+json", "application/vnd.b"];
    let a = have_artifact(ctx, &repo, &image, json!({"artifactType": kinds[0]})).await?;
    let b = have_artifact(ctx, &repo, &image, json!({"artifactType": kinds[1]})).await?;
    let both = vec![a.digest.as_str(), b.digest.as_str()];
    let mut findings = Findings::default();
    for (query, wanted) in [
        ("?artifactType=application%2Fvnd.a%2Bjson", vec![a.digest.as_str()]),
        ("?artifactType=application/vnd.b", vec![&b.digest]),
        ("?artifactType=application/none", vec![]),
        ("?artifactType=application/vnd.b&artifactType=application%2Fvnd.a%2Bjson", both.clone()),
    ] {
        let response = ctx.referrers(&repo, &image.digest, query).await?;
        let applied = response.header_list("OCI-Filters-Applied").contains(&"artifactType");
        let list = descriptors(&response)?;
        // Without the header the filter was not applied, which is legal: the whole list has to be there.
        let mut wanted = if applied { wanted } else { both.clone() };
        wanted.sort_unstable();
        let got = digests(&list);
        findings.note(that(got == wanted, || {
            format!("{}: lists {got:?}, expected {wanted:?} (filter applied: {applied})", response.label)
        }))?;
        if !query.contains('&') {
            findings.note(that(applied, || format!("{}: the filter is not applied", response.label)))?;
        }
    }
    let plain = ctx.referrers(&repo, &image.digest, "").await?;
    findings.note(header_absent(&plain, "OCI-Filters-Applied"))?;
    findings.verdict()
}

async fn unknown_filter(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let image = ctx.tagged(&repo, "t").await?.manifest;
    let pushed = have_artifact(ctx, &repo, &image, json!({})).await?;
    let response = ctx.referrers(&repo, &image.digest, "?colour=green").await?;
    let list = descriptors(&response)?;
    that(digests(&list) == [pushed.digest.as_str()], || format!("{}: lists {list:?}", response.label))?;
    header_absent(&response, "OCI-Filters-Applied")
}

async fn many(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let image = ctx.tagged(&repo, "t").await?.manifest;
    let (config, layer) = (Blob::new(*b"{}"), ctx.blob(100));
    ctx.have_blob(&repo, &config).await?;
    ctx.have_blob(&repo, &layer).await?;
    let mut pushed = Vec::new();
    for number in 0..60 {
        let note = format!("{number}{}", "n".repeat(2000));
        let extra = json!({"artifactType": KIND, "subject": subject(&image), "annotations": {"note": note}});
        let layers = [layer.descriptor("application/octet-stream")];
        let manifest = Manifest::image(&config.descriptor(OCI_EMPTY), &layers, extra);
        ctx.have_manifest(&repo, &manifest.digest, &manifest).await?;
        pushed.push(manifest);
    }
    are(ctx, &repo, &image.digest, &pushed.iter().collect::<Vec<_>>()).await?;
    let filtered = all(ctx, &repo, &image.digest, &format!("?artifactType={KIND}")).await?;
    that(filtered.len() == 60, || format!("with a filter {} of 60 referrers are listed", filtered.len()))
}

async fn content_type(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let image = ctx.tagged(&repo, "t").await?.manifest;
    have_artifact(ctx, &repo, &image, json!({})).await?;
    let response = ctx.referrers(&repo, &image.digest, "").await?;
    header_is(&response, "Content-Type", OCI_INDEX)?;
    let body = parsed(&response)?;
    that(body["mediaType"] == OCI_INDEX, || format!("{}: mediaType is {}", response.label, body["mediaType"]))
}

async fn long_subject(ctx: &Context) -> Verdict {
    let (repo, image) = (ctx.repo(), ctx.image());
    ctx.have_content(&repo, &image).await?;
    let digest = sha512(&image.manifest.bytes);
    let response = ctx.send(ctx.push(&repo, &digest, &image.manifest)).await?;
    if response.status == 400 {
        return Err(Stop::Skip("manifests cannot be pushed by sha512".to_owned()));
    }
    status(&response, &[201])?;
    let long = Manifest { digest, ..image.manifest };
    let pushed = have_artifact(ctx, &repo, &long, json!({})).await?;
    are(ctx, &repo, &long.digest, &[&pushed]).await
}

async fn transitive(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let image = ctx.tagged(&repo, "t").await?.manifest;
    let first = have_artifact(ctx, &repo, &image, json!({})).await?;
    let second = have_artifact(ctx, &repo, &first, json!({})).await?;
    are(ctx, &repo, &image.digest, &[&first]).await?;
    are(ctx, &repo, &first.digest, &[&second]).await
}
