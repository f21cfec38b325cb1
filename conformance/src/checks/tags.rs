//! Listing tags: order, pages, limits (spec.md#listing-tags).

use std::collections::BTreeSet;

use crate::check::{Check, Content, Feature, Level, Need, Stop, Verdict, run};
use crate::checks::MANIFEST;
use crate::context::Context;
use crate::expect::{
    Findings, header_absent, header_is, json, listed as listed_code, no_server_error, status, strings, that,
};
use crate::wire::{Response, Url};

const ANCHOR: &str = "spec.md#listing-tags";

/// Pages that a listing may have before it counts as a loop.
const PAGES_MAX: usize = 300;

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "R-094",
        Level::Must,
        ANCHOR,
        "The list of tags names its repository and its tags.",
        run!(listed),
    )
    .content(Content::Seeded)
    .after(&[MANIFEST])
    .why("Tools that clean up, mirror or update begin with it.")
    .breaks("crane ls, skopeo list-tags, Renovate, Flux.")
    .covers(&["R-091", "R-094"]),
    Check::new(
        "T-115",
        Level::Must,
        ANCHOR,
        "Tags come in one of the two legal orders, on all pages.",
        run!(ordered),
    )
    .content(Content::Seeded)
    .after(&["R-094"])
    .why("`last` means nothing without an order: pages skip or repeat tags.")
    .covers(&["R-093", "R-099"]),
    Check::new(
        "T-116",
        Level::Must,
        ANCHOR,
        "Pages of n follow each other by Link until all tags are seen.",
        run!(paged),
    )
    .content(Content::Seeded)
    .after(&["R-094"])
    .why("Registries with thousands of tags are listed only so; a lost page loses releases.")
    .breaks("crane and oras refuse a Link to another host.")
    .covers(&["R-095", "R-096"]),
    Check::new("T-117", Level::Must, ANCHOR, "n=0 is an empty list without Link.", run!(zero))
        .content(Content::Seeded)
        .after(&["R-094"])
        .why("It asks whether the repository is there, without paying for its tags.")
        .covers(&["R-097"]),
    Check::new(
        "T-118",
        Level::Must,
        ANCHOR,
        "An n that is not below the number of tags gives all.",
        run!(enough),
    )
    .content(Content::Seeded)
    .after(&["R-094"])
    .why("A Link at the end of the last page costs a request, one into a loop never ends.")
    .covers(&["R-095", "R-096"]),
    Check::new(
        "T-119",
        Level::Observe,
        ANCHOR,
        "An n that is no number is refused, or read in a harmless way.",
        run!(no_number),
    )
    .content(Content::Seeded)
    .after(&["R-094"])
    .why("It becomes a limit or a size of memory."),
    Check::new(
        "T-120",
        Level::Must,
        ANCHOR,
        "Tags come strictly after last, whether it exists or not.",
        run!(after_last),
    )
    .content(Content::Seeded)
    .after(&["R-094"])
    .why("The tag may have been deleted between two pages.")
    .covers(&["R-099", "R-100"]),
    Check::new("T-121", Level::Observe, ANCHOR, "Pages hold while tags come and go.", run!(changing))
        .after(&["T-116"])
        .why("Somebody always pushes while somebody lists."),
    Check::new(
        "T-122",
        Level::Observe,
        ANCHOR,
        "The list is JSON, and an empty one is a list and not null.",
        run!(empty_list),
    )
    .content(Content::Seeded)
    .after(&["R-094"])
    .why("Programs in strict languages fail on null.")
    .covers(&["R-092"]),
    Check::new(
        "T-123",
        Level::Must,
        ANCHOR,
        "The tags of a repository that nobody made are 404, or none.",
        run!(no_repository),
    )
    .content(Content::Any)
    .after(&[MANIFEST])
    .why("Both answers are legal, a server error is not.")
    .covers(&["R-091", "R-139"]),
    Check::new(
        "T-124",
        Level::Observe,
        ANCHOR,
        "The first page of a hundred thousand tags comes at once.",
        run!(hundred_thousand),
    )
    .after(&["R-094"])
    .needs(&[Need::Heavy])
    .why("CI makes a tag a build, for years."),
];

/// Prepares one image under many tags.
async fn tagged(ctx: &Context, tags: &[&str]) -> Result<String, Stop> {
    let (repo, image) = (ctx.repo(), ctx.image());
    ctx.have_content(&repo, &image).await?;
    for tag in tags {
        ctx.have_manifest(&repo, tag, &image.manifest).await?;
    }
    Ok(repo)
}

/// Returns the address of the next page; none when there is no Link.
pub(super) fn next_page(base: &Url, response: &Response) -> Result<Option<Url>, Stop> {
    let Some(link) = response.header("Link") else {
        return Ok(None);
    };
    let wrong = || Stop::Fail(format!("{}: Link is {link:?}, expected <…>; rel=\"next\"", response.label));
    let (address, rest) = link.strip_prefix('<').and_then(|rest| rest.split_once('>')).ok_or_else(wrong)?;
    let parameters = rest.replace(' ', "").to_ascii_lowercase();
    if !parameters.contains("rel=\"next\"") && !parameters.contains("rel=next") {
        return Err(wrong());
    }
    let url = base.join(address).map_err(|error| Stop::Error(format!("{}: Link {error}", response.label)))?;
    that(url.same_origin(base), || format!("{}: Link leaves the registry: {link}", response.label))?;
    Ok(Some(url))
}

/// Follows a listing to its end and returns the tags of each page.
pub(super) async fn pages(ctx: &Context, path: &str, member: &str) -> Result<Vec<Vec<String>>, Stop> {
    let mut pages = Vec::new();
    let mut request = ctx.request("GET", path);
    let mut seen = BTreeSet::new();
    while pages.len() < PAGES_MAX {
        that(seen.insert(request.url.target.clone()), || format!("{path}: the pages run in a circle"))?;
        let response = ctx.follow(request.clone()).await?;
        status(&response, &[200])?;
        pages.push(strings(&response, member)?);
        match next_page(&request.url, &response)? {
            Some(url) => request = ctx.request_to("GET", url),
            None => return Ok(pages),
        }
    }
    Err(Stop::Fail(format!("{path}: more than {PAGES_MAX} pages")))
}

async fn all_tags(ctx: &Context, repo: &str, query: &str) -> Result<Vec<String>, Stop> {
    Ok(pages(ctx, &format!("/v2/{repo}/tags/list{query}"), "tags").await?.concat())
}

async fn listed(ctx: &Context) -> Verdict {
    let repo = tagged(ctx, &["b", "a"]).await?;
    let response = ctx.tags(&repo, "").await?;
    status(&response, &[200])?;
    let name = json(&response)?["name"].clone();
    that(name == repo.as_str(), || format!("{}: name is {name}, expected {repo:?}", response.label))?;
    let mut tags = all_tags(ctx, &repo, "").await?;
    tags.sort();
    that(tags == ["a", "b"], || format!("{}: the tags are {tags:?}, expected a and b", response.label))
}

/// Says whether the tags stand in byte order, or in alphabetical order without regard to case.
pub(super) fn is_ordered(tags: &[String]) -> bool {
    let folded: Vec<String> = tags.iter().map(|tag| tag.to_ascii_lowercase()).collect();
    tags.is_sorted() || folded.is_sorted()
}

const MIXED: [&str; 9] = ["B", "a", "C", "_x", "1", "10", "2", "b.1", "A-z"];

async fn ordered(ctx: &Context) -> Verdict {
    let repo = tagged(ctx, &MIXED).await?;
    let whole = all_tags(ctx, &repo, "").await?;
    let complete = MIXED.iter().all(|tag| whole.iter().any(|other| other == tag));
    that(complete && whole.len() == MIXED.len(), || format!("the tags are {whole:?}, expected {MIXED:?}"))?;
    that(is_ordered(&whole), || format!("the tags {whole:?} stand in neither of the two orders"))?;
    ctx.observe(if whole.is_sorted() { "tags are in byte order" } else { "tags are in alphabetical order" });
    let paged = all_tags(ctx, &repo, "?n=2").await?;
    that(paged == whole, || format!("in pages the tags are {paged:?}, at once {whole:?}"))?;
    for (tag, at) in whole.iter().zip(1..) {
        let rest = all_tags(ctx, &repo, &format!("?last={tag}")).await?;
        that(rest == whole[at..], || {
            format!("after {tag:?} the tags are {rest:?}, expected {:?}", &whole[at..])
        })?;
    }
    Ok(())
}

async fn paged(ctx: &Context) -> Verdict {
    let names: Vec<String> = (0..7).map(|number| format!("t{number}")).collect();
    let repo = tagged(ctx, &names.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let mut findings = Findings::default();
    for n in [1, 2, 3, 6] {
        let pages = pages(ctx, &format!("/v2/{repo}/tags/list?n={n}"), "tags").await?;
        let mut all = pages.concat();
        all.sort();
        findings.note(that(all == names, || format!("n={n}: the pages hold {all:?}, expected {names:?}")))?;
        let large = pages.iter().find(|page| page.len() > n);
        findings.note(that(large.is_none(), || format!("n={n}: a page holds {large:?}")))?;
    }
    findings.verdict()
}

async fn zero(ctx: &Context) -> Verdict {
    let repo = tagged(ctx, &["a", "b"]).await?;
    let response = ctx.tags(&repo, "?n=0").await?;
    status(&response, &[200])?;
    let body = json(&response)?;
    let none = body["tags"].is_null() || body["tags"].as_array().is_some_and(Vec::is_empty);
    that(none, || format!("{}: the tags are {}, expected none", response.label, body["tags"]))?;
    header_absent(&response, "Link")
}

async fn enough(ctx: &Context) -> Verdict {
    let repo = tagged(ctx, &["a", "b", "c"]).await?;
    let mut findings = Findings::default();
    for n in [3, 4, 100] {
        let mut tags = all_tags(ctx, &repo, &format!("?n={n}")).await?;
        tags.sort();
        findings.note(that(tags == ["a", "b", "c"], || format!("n={n}: the tags are {tags:?}")))?;
        let response = ctx.tags(&repo, &format!("?n={n}")).await?;
        let first = strings(&response, "tags")?;
        let told = first.len() == 3 || response.header("Link").is_some();
        findings.note(that(told, || format!("{}: {first:?} without Link", response.label)))?;
    }
    findings.verdict()
}

async fn no_number(ctx: &Context) -> Verdict {
    let repo = tagged(ctx, &["a", "b"]).await?;
    let mut findings = Findings::default();
    for n in ["-1", "abc", "1.5", "99999999999999999999", ""] {
        let response = ctx.tags(&repo, &format!("?n={n}")).await?;
        findings.note(status(&response, &[200, 400]))?;
        if response.status == 200 {
            findings.note(strings(&response, "tags").map(|_| ()))?;
        }
    }
    findings.verdict()
}

async fn after_last(ctx: &Context) -> Verdict {
    let repo = tagged(ctx, &["a", "c", "m1", "z"]).await?;
    let mut findings = Findings::default();
    for (query, expected) in [
        ("?last=c", &["m1", "z"][..]),
        ("?last=b", &["c", "m1", "z"]),
        ("?last=m", &["m1", "z"]),
        ("?last=b&n=1", &["c", "m1", "z"]),
        ("?last=z", &[]),
        ("?last=zz", &[]),
    ] {
        let response = ctx.tags(&repo, query).await?;
        findings.note(status(&response, &[200]))?;
        if json(&response)?["tags"].is_null() && expected.is_empty() {
            continue;
        }
        let tags = all_tags(ctx, &repo, query).await?;
        findings.note(that(tags == expected, || {
            format!("{query}: the tags are {tags:?}, expected {expected:?}")
        }))?;
    }
    for odd in ["%2e%2e%2f", &"l".repeat(500)] {
        let response = ctx.tags(&repo, &format!("?last={odd}")).await?;
        findings.note(status(&response, &[200, 400]))?;
    }
    findings.verdict()
}

async fn changing(ctx: &Context) -> Verdict {
    let (repo, image) = (ctx.repo(), ctx.image());
    ctx.have_content(&repo, &image).await?;
    for tag in ["b", "d", "f", "h"] {
        ctx.have_manifest(&repo, tag, &image.manifest).await?;
    }
    let first = ctx.tags(&repo, "?n=2").await?;
    let mut tags = strings(&first, "tags")?;
    let Some(next) = next_page(&ctx.request("GET", &format!("/v2/{repo}/tags/list?n=2")).url, &first)? else {
        return Err(Stop::Skip("there is no second page to look at".to_owned()));
    };
    // Two come before the next page and at most one goes, so that pages counted by number shift.
    for tag in ["a", "aa", "g"] {
        ctx.have_manifest(&repo, tag, &image.manifest).await?;
    }
    if ctx.offers(Feature::TagDelete) {
        status(&ctx.delete_manifest(&repo, "d").await?, &[202])?;
    }
    tags.extend(pages(ctx, &next.target, "tags").await?.concat());
    let missing: Vec<&str> =
        ["b", "f", "h"].into_iter().filter(|tag| !tags.iter().any(|t| t == tag)).collect();
    that(missing.is_empty(), || format!("the pages {tags:?} lost {missing:?}"))?;
    that(tags.is_sorted_by(|a, b| a < b), || format!("the pages {tags:?} repeat or are out of order"))
}

async fn empty_list(ctx: &Context) -> Verdict {
    let (repo, image) = (ctx.repo(), ctx.image());
    ctx.have_image(&repo, &image.manifest.digest, &image).await?;
    let response = ctx.tags(&repo, "").await?;
    if response.status == 404 {
        ctx.observe("a repository without tags has no list of tags (404)");
        return Ok(());
    }
    let media = response.header("Content-Type").unwrap_or_default();
    that(media.starts_with("application/json"), || format!("{}: Content-Type is {media:?}", response.label))?;
    let tags = strings(&response, "tags")?;
    that(tags.is_empty(), || format!("{}: the tags are {tags:?}, expected none", response.label))?;
    header_is(&response, "Content-Length", &response.body.len().to_string())
}

async fn no_repository(ctx: &Context) -> Verdict {
    let response = ctx.tags(&ctx.repo(), "").await?;
    no_server_error(&response)?;
    status(&response, &[200, 404])?;
    ctx.observe(format!("the tags of a repository that nobody made are {}", response.status));
    if response.status == 404 { listed_code(&response) } else { Ok(()) }
}

async fn hundred_thousand(ctx: &Context) -> Verdict {
    const TAGS: usize = 100_000;
    const SIDE_BY_SIDE: usize = 4;
    let (repo, image) = (ctx.repo(), ctx.image());
    ctx.have_content(&repo, &image).await?;
    let push = |first: usize| {
        let (repo, image) = (&repo, &image);
        async move {
            for number in (first..TAGS).step_by(SIDE_BY_SIDE) {
                ctx.have_manifest(repo, &format!("t{number:06}"), &image.manifest).await?;
            }
            Ok::<(), Stop>(())
        }
    };
    let (a, b, c, d) = tokio::join!(push(0), push(1), push(2), push(3));
    a.and(b).and(c).and(d)?;
    let begun = tokio::time::Instant::now();
    let response = ctx.tags(&repo, "?n=100").await?;
    status(&response, &[200])?;
    let took = begun.elapsed();
    ctx.observe(format!("the first page of {TAGS} tags took {} ms", took.as_millis()));
    let tags = strings(&response, "tags")?;
    that(tags.len() <= 100 && tags.first().is_some_and(|tag| tag == "t000000"), || {
        format!("the first page holds {} tags from {:?}", tags.len(), tags.first())
    })?;
    that(took.as_secs() < 5, || format!("the first page took {took:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_orders_are_legal_and_no_other() {
        let check = |tags: &[&str], expect: bool| {
            let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
            assert_eq!(is_ordered(&tags), expect, "{tags:?}");
        };
        check(&["1", "B", "C", "_x", "a"], true);
        check(&["1", "_x", "a", "B", "C"], true);
        check(&["a", "B", "_x"], false);
        check(&["2", "10", "1"], false);
        check(&[], true);
    }
}
