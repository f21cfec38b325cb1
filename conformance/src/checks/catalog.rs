//! The catalog of repositories, which Docker's API has and the specification only reserves.

use crate::check::{Check, Feature, Level, Need, Stop, Verdict, run};
use crate::checks::MANIFEST;
use crate::checks::tags::{next_page, pages};
use crate::context::Context;
use crate::expect::{status, strings, that};

const ANCHOR: &str = "spec.md#extensions, docker _catalog";

/// Pages among which three names that follow each other must be; a registry may make its pages small.
const LISTED_PAGES_MAX: usize = 20;

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "T-125",
        Level::Observe,
        ANCHOR,
        "The catalog lists repositories in order, in pages.",
        run!(listed),
    )
    .after(&[MANIFEST])
    .needs(&[Need::Feature(Feature::Catalog)])
    .why("Clean-up and mirroring tools find their work by it.")
    .breaks("crane catalog, registry user interfaces.")
    .covers(&["R-145"]),
    Check::new(
        "T-125a",
        Level::Observe,
        ANCHOR,
        "n limits a page of the catalog, and Link goes on.",
        run!(paged),
    )
    .after(&["T-125"])
    .needs(&[Need::Feature(Feature::Catalog)])
    .why("A registry with many repositories can be listed only in pages."),
];

/// Returns the name just before another in any order that compares characters.
fn before(name: &str) -> String {
    // Names end in a number here; without its last character a name is a prefix and so comes first.
    name[..name.len() - 1].to_owned()
}

async fn listed(ctx: &Context) -> Verdict {
    let mut repos = Vec::new();
    for _ in 0..3 {
        let repo = ctx.repo();
        ctx.tagged(&repo, "t").await?;
        repos.push(repo);
    }
    // A busy registry has others: begin right before our own.
    let path = format!("/v2/_catalog?n=50&last={}", before(&repos[0]));
    let mut names = Vec::new();
    let mut next = Some(ctx.request("GET", &path).url);
    for _ in 0..LISTED_PAGES_MAX {
        let Some(url) = next.take() else { break };
        let response = ctx.follow(ctx.request_to("GET", url.clone())).await?;
        status(&response, &[200])?;
        names.extend(strings(&response, "repositories")?);
        next = next_page(&url, &response)?.filter(|_| !repos.iter().all(|repo| names.contains(repo)));
    }
    for repo in &repos {
        that(names.contains(repo), || format!("GET {path}: {repo} is not among {names:?}"))?;
    }
    that(names.is_sorted_by(|a, b| a < b), || format!("GET {path}: {names:?} is out of order"))
}

async fn paged(ctx: &Context) -> Verdict {
    let (one, two) = (ctx.repo(), ctx.repo());
    for repo in [&one, &two] {
        ctx.tagged(repo, "t").await?;
    }
    let response = ctx.follow(ctx.request("GET", &format!("/v2/_catalog?n=1&last={}", before(&one)))).await?;
    status(&response, &[200])?;
    let names = strings(&response, "repositories")?;
    that(names == [one.as_str()], || format!("{}: {names:?}, expected {one:?}", response.label))?;
    if response.header("Link").is_none() {
        return Err(Stop::Fail(format!("{}: there is more, but no Link", response.label)));
    }
    let rest = pages(ctx, &format!("/v2/_catalog?n=2&last={one}"), "repositories").await?;
    let second = rest.first().and_then(|page| page.first());
    that(second == Some(&two), || format!("after {one} comes {second:?}, expected {two}"))
}
