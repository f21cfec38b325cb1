//! Headers that only a proxy may set: from a stranger they give nothing.

use super::tools::{settled, told_alike};
use crate::check::{Check, Level, Need, Verdict, run};
use crate::checks::auth::account;
use crate::context::Context;
use crate::expect::{Findings, that};
use crate::wire::Request;

pub(in crate::checks) const CHECKS: &[Check] = &[Check::new(
    "T-155f",
    Level::Observe,
    "RFC 7239 §8.1",
    "No header but Authorization makes a stranger somebody else.",
    run!(disguised),
)
.after(&["T-155a"])
.needs(&[Need::Credentials, Need::Outsider])
.why("What a proxy in front sets after a login can be set by whoever reaches the registry without it.")];

/// Returns what strangers may not do, each as a request of the right method and path.
fn wishes(ctx: &Context, repo: &str) -> Vec<Request> {
    vec![
        ctx.begin(repo),
        ctx.request("GET", &format!("/v2/{repo}/manifests/t")),
        ctx.request("HEAD", &format!("/v2/{repo}/manifests/t")),
        ctx.request("DELETE", &format!("/v2/{repo}/manifests/t")),
        ctx.request("GET", "/v2/"),
    ]
}

/// Returns headers that name somebody, a place or another request.
fn disguises(user: &str, basic: &str, repo: &str) -> Vec<(&'static str, String)> {
    let path = format!("/v2/{repo}/manifests/t");
    let mut all: Vec<(&str, String)> = [
        "X-Forwarded-User",
        "X-Forwarded-Preferred-Username",
        "X-Remote-User",
        "Remote-User",
        "X-Auth-Request-User",
        "X-WEBAUTH-USER",
        "X-Authenticated-User",
    ]
    .map(|name| (name, user.to_owned()))
    .into();
    all.extend(
        ["X-Forwarded-For", "X-Real-IP", "X-Client-IP", "True-Client-IP"]
            .map(|name| (name, "127.0.0.1".to_owned())),
    );
    all.extend(["DELETE", "PUT", "GET"].map(|method| ("X-HTTP-Method-Override", method.to_owned())));
    all.extend(["X-HTTP-Method", "X-Method-Override"].map(|name| (name, "DELETE".to_owned())));
    all.extend(["X-Original-URL", "X-Rewrite-URL", "X-Original-URI"].map(|name| (name, path.clone())));
    all.extend([
        ("Forwarded", "for=127.0.0.1;proto=https;by=127.0.0.1".to_owned()),
        ("X-SSL-Client-CN", user.to_owned()),
        ("X-SSL-Client-Verify", "SUCCESS".to_owned()),
        ("X-Authorization", basic.to_owned()),
        ("Proxy-Authorization", basic.to_owned()),
        ("Cookie", format!("user={user}; token={user}; authorization={user}")),
    ]);
    all
}

async fn disguised(ctx: &Context) -> Verdict {
    let (repo, account, mut findings) = (ctx.repo(), account(ctx)?, Findings::default());
    let image = ctx.tagged(&repo, "t").await?;
    for who in [ctx.outsider()?, ctx.anonymous()] {
        settled(&who).await?;
        for wish in wishes(ctx, &repo) {
            let plain = who.send(wish.clone()).await?;
            for (name, value) in disguises(&account.username, &account.basic(), &repo) {
                let disguised = who.send(wish.clone().header(name, value)).await?;
                // A server may refuse to look at a header that is not for it.
                let unread = matches!(disguised.status, 400 | 405 | 501);
                let alike = if unread { Ok(()) } else { told_alike(&disguised, &plain, &[]) };
                findings.note(that(alike.is_ok(), || {
                    format!(
                        "{}: answered {} with {name}, and {} without",
                        wish.label(),
                        disguised.status,
                        plain.status
                    )
                }))?;
            }
        }
    }
    findings.note(ctx.manifest_is(&repo, "t", &image.manifest).await)?;
    findings.verdict()
}
