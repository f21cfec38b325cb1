//! Good tokens that are used for more than they are for, and scopes that ask for more than there is.

use super::tools::with_token;
use crate::check::{Check, Level, Need, Stop, Verdict, run};
use crate::checks::BLOB;
use crate::checks::auth::{ANCHOR, TOKENS, account, ask, token_of, wanted};
use crate::context::Context;
use crate::expect::{Findings, header_absent, no_server_error, status, that};
use crate::login::{Account, encode};
use crate::wire::{Request, Response, WireError};

/// Scopes that no client asks for at once.
const SCOPES: usize = 2000;
/// Bytes of one scope that is longer than any name.
const SCOPE_BYTES: usize = 100 * 1024;

pub(in crate::checks) const CHECKS: &[Check] = &[
    Check::new(
        "T-153a",
        Level::Observe,
        ANCHOR,
        "A token to pull pushes, deletes, mounts and uploads nothing.",
        run!(to_pull),
    )
    .after(&["T-151", BLOB])
    .needs(TOKENS)
    .why("A token to pull is handed to machines that must not be able to change anything."),
    Check::new(
        "T-153b",
        Level::Observe,
        ANCHOR,
        "A token without a scope opens no more than nobody may.",
        run!(for_nothing),
    )
    .after(&["T-151", BLOB])
    .needs(TOKENS)
    .why("Clients get such a token to see whether a login works, and keep it carelessly."),
    Check::new(
        "T-153c",
        Level::Observe,
        ANCHOR,
        "A token for the target of a mount does not give its source.",
        run!(for_a_target),
    )
    .after(&["T-151", "R-072"])
    .needs(TOKENS)
    .why("A mount reads: what a token may not read, it must not copy."),
    Check::new(
        "T-153d",
        Level::Observe,
        ANCHOR,
        "No text of a scope gets a token that does more than its account may.",
        run!(odd_scopes),
    )
    .after(&["T-151"])
    .needs(&[Need::Credentials, Need::Tokens, Need::Reader])
    .why("Stars, dots and line ends in a scope are read by somebody, once as a name and once as a pattern."),
];

async fn token(ctx: &Context, repo: &str, actions: &str) -> Result<String, Stop> {
    token_of(&ask(ctx, repo, actions, Some(&account(ctx)?)).await?)
}

/// Passes when a change is refused for want of a right; 405 is for what the target does not offer to anybody.
fn forbidden(response: &Response) -> Verdict {
    let offered = !response.label.starts_with("DELETE ");
    status(response, if offered { &[401, 403] } else { &[401, 403, 405] })
}

async fn to_pull(ctx: &Context) -> Verdict {
    let (repo, source) = (ctx.repo(), ctx.repo());
    let (image, loose) = (ctx.tagged(&repo, "t").await?, ctx.blob(100));
    ctx.have_blob(&source, &loose).await?;
    let token = token(ctx, &repo, "pull").await?;
    let pulled = ctx.follow(with_token(ctx.manifest("GET", &repo, "t"), &token)).await?;
    status(&pulled, &[200])?;
    let session = ctx.session_with(&repo, b"begun").await?;
    let blob = ctx.blob(200);
    let mut findings = Findings::default();
    for request in [
        ctx.begin(&repo),
        ctx.begin(&repo).query("mount", &loose.digest).query("from", &source),
        ctx.begin(&repo).query("digest", &blob.digest).body(blob.bytes.clone()),
        ctx.chunk(&session, 5, b"more"),
        ctx.finish(&session, &blob.digest, b""),
        ctx.request_to("DELETE", session.clone()),
        ctx.push(&repo, "t2", &image.manifest),
        ctx.push(&repo, &image.manifest.digest, &image.manifest),
        ctx.request("DELETE", &format!("/v2/{repo}/manifests/t")),
        ctx.request("DELETE", &format!("/v2/{repo}/manifests/{}", image.manifest.digest)),
        ctx.request("DELETE", &format!("/v2/{repo}/blobs/{}", image.layer.digest)),
    ] {
        findings.note(forbidden(&ctx.send(with_token(request, &token)).await?))?;
    }
    findings.note(ctx.manifest_is(&repo, "t", &image.manifest).await)?;
    findings.note(ctx.blob_is(&repo, &image.layer.digest, &image.layer.bytes).await)?;
    findings.verdict()
}

async fn for_nothing(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let image = ctx.tagged(&repo, "t").await?;
    let answer = ctx.send(wanted(ctx, &repo, &[], Some(&account(ctx)?)).await?).await?;
    if answer.status == 400 {
        return Err(Stop::Skip("the realm gives no token without a scope".to_owned()));
    }
    let token = token_of(&answer)?;
    let open = ctx.anonymous().pull(&repo, "t").await?.is_success();
    let mut findings = Findings::default();
    for request in [
        ctx.begin(&repo),
        ctx.push(&repo, "t2", &image.manifest),
        ctx.request("DELETE", &format!("/v2/{repo}/manifests/t")),
    ] {
        findings.note(forbidden(&ctx.send(with_token(request, &token)).await?))?;
    }
    for request in [
        ctx.manifest("GET", &repo, "t"),
        ctx.blob_request("GET", &repo, &image.layer.digest),
        ctx.request("GET", &format!("/v2/{repo}/tags/list")),
    ] {
        let response = ctx.send(with_token(request, &token)).await?;
        findings.note(that(open || response.is_client_error(), || {
            format!("{}: answered {} to a token for nothing", response.label, response.status)
        }))?;
    }
    findings.verdict()
}

async fn for_a_target(ctx: &Context) -> Verdict {
    let (source, target, blob) = (ctx.repo(), ctx.repo(), ctx.blob(500));
    ctx.have_blob(&source, &blob).await?;
    if ctx.anonymous().pull_blob(&source, &blob.digest).await?.is_success() {
        return Err(Stop::Skip("everybody may read the source".to_owned()));
    }
    let token = token(ctx, &target, "pull,push").await?;
    let mount = ctx.begin(&target).query("mount", &blob.digest).query("from", &source);
    let mounted = ctx.send(with_token(mount, &token)).await?;
    status(&mounted, &[202, 401, 403, 404])?;
    ctx.observe(format!("a mount from what a token is not for is answered with {}", mounted.status));
    let read = ctx.send(with_token(ctx.blob_request("GET", &source, &blob.digest), &token)).await?;
    status(&read, &[401, 403, 404])?;
    ctx.blob_gone(&target, &blob.digest).await
}

async fn odd_scopes(ctx: &Context) -> Verdict {
    let (repo, mut findings) = (ctx.repo(), Findings::default());
    let reader = account(&ctx.reader()?)?;
    let below = repo.split('/').next().unwrap_or_default();
    for scope in [
        "repository:*:pull,push".to_owned(),
        format!("repository:{below}/*:pull,push"),
        format!("repository:{below}/**:*"),
        format!("repository:{repo}:*"),
        format!("repository:{repo}:pull,push,delete,admin"),
        format!("repository:{repo}:PUSH"),
        format!("repository:{below}/../{repo}:pull,push"),
        format!("repository:./{repo}:push"),
        format!("repository:{repo}%2f:push"),
        format!("repository(plugin):{repo}:push"),
        format!("repository:{repo}:push\0"),
        format!("repository:{repo}:pull\r\nX-Injected: yes\r\n\r\n"),
        format!("repository:{repo}:pull\trepository:{repo}:push"),
        "registry:catalog:*".to_owned(),
        "registry:*:*".to_owned(),
        "repository::push".to_owned(),
        "::::".to_owned(),
        "*".to_owned(),
    ] {
        for who in [Some(&reader), None] {
            let request = wanted(ctx, &repo, std::slice::from_ref(&scope), who).await?;
            let answer = ctx.send(request).await?;
            findings.note(gives_nothing(ctx, &repo, &scope.escape_default().to_string(), &answer).await)?;
        }
    }
    findings.note(endless_scopes(ctx, &repo, &reader).await)?;
    findings.verdict()
}

/// Passes when scopes without end are no error of the server, which goes on.
async fn endless_scopes(ctx: &Context, repo: &str, reader: &Account) -> Verdict {
    let many: Vec<String> = (0..SCOPES).map(|number| format!("repository:{repo}{number}:push")).collect();
    let long = [format!("repository:{}:push", "a".repeat(SCOPE_BYTES))];
    let half = [format!("repository:{}:push", "a".repeat(SCOPE_BYTES / 2))];
    let mut findings = Findings::default();
    for (what, scopes) in [("2,000 scopes", &many[..]), ("a scope of 100 KiB", &long), ("one of 50", &half)] {
        let request = wanted(ctx, repo, scopes, Some(reader)).await?;
        for request in [posted(&request, reader), request] {
            match ctx.attempt(request).await {
                Ok(answer) => findings.note(gives_nothing(ctx, repo, what, &answer).await)?,
                // Who is told more than he reads may hang up.
                Err(WireError::Closed | WireError::Broken(_)) => {}
                Err(error) => findings.note(that(false, || format!("{what}: {error}")))?,
            }
        }
    }
    let after = ask(ctx, repo, "pull", Some(reader)).await?;
    findings.note(status(&after, &[200]))?;
    findings.verdict()
}

/// Returns the same request as a form: its query is the body.
fn posted(request: &Request, account: &Account) -> Request {
    let (path, query) = request.url.target.split_once('?').unwrap_or((&request.url.target, ""));
    let form = Request::new("POST", request.url.at(path));
    let form = form.header("Content-Type", "application/x-www-form-urlencoded");
    let (user, password) = (encode(&account.username), encode(&account.password));
    form.body(format!(
        "grant_type=password&client_id=conformance&username={user}&password={password}&{query}"
    ))
}

/// Passes when an answer of the realm is no server error, and a token in it does not push.
async fn gives_nothing(ctx: &Context, repo: &str, what: &str, answer: &Response) -> Verdict {
    no_server_error(answer)?;
    header_absent(answer, "X-Injected")?;
    if answer.status != 200 {
        return Ok(());
    }
    let token = token_of(answer)?;
    match ctx.attempt(with_token(ctx.begin(repo), &token)).await {
        Ok(pushed) => that(pushed.is_client_error(), || {
            format!("the scope {what:?} gave a token with which a push is answered {}", pushed.status)
        }),
        Err(WireError::Closed | WireError::Broken(_)) => Ok(()),
        Err(error) => that(false, || format!("a push with the token for {what:?}: {error}")),
    }
}
