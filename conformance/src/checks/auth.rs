//! Logging in: challenges, Basic and tokens, as clients of Docker's token specification expect them.

use serde_json::Value;

use crate::check::{Check, Level, Need, Stop, Verdict, run};
use crate::checks::BASE;
use crate::context::Context;
use crate::expect::{Findings, code, header, json, status, that};
use crate::login::{Account, Challenge, Login, encode};
use crate::wire::{Request, Response, Url};

pub(super) const ANCHOR: &str = "docker token authentication, RFC 9110 §11";

pub(super) const LOGIN: &[Need] = &[Need::Credentials];
pub(super) const TOKENS: &[Need] = &[Need::Credentials, Need::Tokens];
pub(super) const READER: &[Need] = &[Need::Credentials, Need::Reader];

/// The shortest life of a token that Docker's clients assume, in seconds.
const LIFE_SECONDS_MIN: u64 = 60;

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        "T-151",
        Level::Observe,
        ANCHOR,
        "A push without a login is 401 with a challenge.",
        run!(challenge),
    )
    .after(&[BASE])
    .needs(LOGIN)
    .why("The challenge tells a client where and for what to get a token.")
    .breaks("All: without it they give up instead of logging in."),
    Check::new("T-152", Level::Observe, ANCHOR, "A wrong password is 401.", run!(wrong_password))
        .after(&[BASE])
        .needs(LOGIN)
        .why("Anything else tells docker login that the password is right."),
    Check::new(
        "T-152a",
        Level::Observe,
        ANCHOR,
        "A token server answers in the form that clients read.",
        run!(token_form),
    )
    .after(&["T-151"])
    .needs(TOKENS)
    .why("Clients read token or access_token, and trust expires_in and issued_at.")
    .breaks("containerd and crane, which cache tokens by their life."),
    Check::new(
        "T-153",
        Level::Observe,
        ANCHOR,
        "A narrower grant is a token, and insufficient_scope where it ends.",
        run!(narrower),
    )
    .after(&["T-151"])
    .needs(&[Need::Credentials, Need::Tokens, Need::Reader])
    .why("A partial grant is no error of the token server.")
    .breaks("docker pull after docker login with an account that may not push."),
    Check::new("T-154", Level::Observe, ANCHOR, "An expired or forged token is 401.", run!(forged))
        .after(&[BASE])
        .needs(LOGIN)
        .why("A token that is not checked is no lock."),
    Check::new(
        "T-154a",
        Level::Observe,
        ANCHOR,
        "A token opens the repository that it was given for, and no other.",
        run!(other_scope),
    )
    .after(&["T-151"])
    .needs(TOKENS)
    .why("Tokens are handed to jobs because they are narrow."),
    Check::new(
        "T-155",
        Level::Observe,
        ANCHOR,
        "A right to pull is no right to push, delete or mount.",
        run!(reader),
    )
    .after(&[BASE])
    .needs(READER)
    .why("CI systems hand out accounts that must not overwrite releases."),
    Check::new(
        "T-155a",
        Level::Observe,
        ANCHOR,
        "Who may not read a repository cannot tell whether it is there.",
        run!(oracle),
    )
    .after(&[BASE])
    .needs(&[Need::Credentials, Need::Outsider])
    .why("Names of repositories tell what a company works on."),
    Check::new("T-156", Level::Observe, ANCHOR, "Basic alone is enough.", run!(basic))
        .after(&[BASE])
        .needs(LOGIN)
        .why("Scripts, skopeo and crane send it unasked."),
    Check::new(
        "T-157",
        Level::Observe,
        ANCHOR,
        "A realm can be asked as it stands in the challenge.",
        run!(realm),
    )
    .after(&["T-151"])
    .needs(TOKENS)
    .why("A realm may have a query of its own; clients add to it and do not replace it."),
    Check::new(
        "T-158",
        Level::Observe,
        ANCHOR,
        "An upload goes on when its token is replaced.",
        run!(long_push),
    )
    .after(&["T-151"])
    .needs(TOKENS)
    .why("Large layers take longer than tokens live."),
];

/// Returns a request that shows whether its sender may push.
fn push(ctx: &Context) -> Request {
    ctx.begin(&ctx.repo())
}

async fn challenge(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let response = ctx.anonymous().send(ctx.begin(&repo)).await?;
    // An anonymous token may be had, and not be enough: then the second refusal has the challenge.
    status(&response, &[401])?;
    code(&response, &["UNAUTHORIZED"])?;
    let value = header(&response, "WWW-Authenticate")?;
    ctx.observe(format!("the challenge is {}", value.split_whitespace().next().unwrap_or_default()));
    let parsed = Challenge::parse(value);
    let parsed = parsed.ok_or_else(|| Stop::Fail(format!("the challenge {value:?} cannot be read")))?;
    let mut findings = Findings::default();
    let parts: &[&str] = match parsed.scheme.as_str() {
        "basic" => &["realm"],
        "bearer" => &["realm", "service", "scope"],
        _ => return Err(Stop::Fail(format!("the challenge {value:?} is neither Bearer nor Basic"))),
    };
    for part in parts {
        let quoted = value.contains(&format!("{part}=\""));
        findings.note(that(quoted, || format!("the challenge {value:?} has no quoted {part}")))?;
    }
    if let Some(scope) = parsed.get("scope") {
        let right = scope.starts_with(&format!("repository:{repo}:")) && scope.contains("push");
        findings.note(that(right, || format!("the scope {scope:?} is not the push to {repo}")))?;
    }
    findings.verdict()
}

async fn wrong_password(ctx: &Context) -> Verdict {
    let mut findings = Findings::default();
    let known = ctx.login().account().map(|account| account.username.clone()).unwrap_or_default();
    for (username, password) in [("nobody", "wrong"), (known.as_str(), "wrong"), (known.as_str(), "")] {
        let account = Account::new(username, password);
        let response = ctx.send(push(ctx).header("Authorization", account.basic())).await?;
        findings.note(status(&response, &[401]))?;
        findings.note(header(&response, "WWW-Authenticate").map(|_| ()))?;
        if ctx.login().is_bearer() {
            let answer = ask(ctx, &ctx.repo(), "pull,push", Some(&account)).await?;
            findings.note(status(&answer, &[401]))?;
        }
    }
    findings.verdict()
}

/// Asks the realm for a token.
pub(super) async fn ask(
    ctx: &Context,
    repo: &str,
    actions: &str,
    account: Option<&Account>,
) -> Result<Response, Stop> {
    ctx.send(wanted(ctx, repo, &[format!("repository:{repo}:{actions}")], account).await?).await
}

/// Returns the request for a token with these scopes, as the challenge to a push says.
pub(super) async fn wanted(
    ctx: &Context,
    repo: &str,
    scopes: &[String],
    account: Option<&Account>,
) -> Result<Request, Stop> {
    let (realm, service) = realm_of(ctx, repo).await?;
    let mut request = Request::new("GET", realm);
    for scope in scopes {
        request = request.query("scope", &encode(scope));
    }
    if let Some(service) = service {
        request = request.query("service", &encode(&service));
    }
    if let Some(account) = account {
        request = request.query("account", &encode(&account.username));
        request = request.header("Authorization", account.basic());
    }
    Ok(request)
}

/// Returns realm and service of the challenge to a push, got by a request that nobody logs in for.
pub(super) async fn realm_of(ctx: &Context, repo: &str) -> Result<(Url, Option<String>), Stop> {
    let refusal = ctx.send(ctx.begin(repo).header("Authorization", "Bearer none")).await?;
    let challenge = Challenge::bearer(&refusal);
    let challenge = challenge.ok_or_else(|| Stop::Fail(format!("{}: no Bearer challenge", refusal.label)))?;
    let realm = challenge.get("realm").unwrap_or_default();
    let realm = refusal_url(ctx, realm)?;
    Ok((realm, challenge.get("service").map(str::to_owned)))
}

fn refusal_url(ctx: &Context, realm: &str) -> Result<Url, Stop> {
    ctx.target().join(realm).map_err(|error| Stop::Fail(format!("the realm {realm:?}: {error}")))
}

pub(super) fn token_of(response: &Response) -> Result<String, Stop> {
    status(response, &[200])?;
    let value = json(response)?;
    let token = ["token", "access_token"].iter().find_map(|name| value.get(name)?.as_str());
    token.map(str::to_owned).ok_or_else(|| Stop::Fail(format!("{}: no token in the answer", response.label)))
}

pub(super) fn account(ctx: &Context) -> Result<Account, Stop> {
    ctx.login().account().cloned().ok_or_else(|| Stop::Skip("no account was given".to_owned()))
}

async fn token_form(ctx: &Context) -> Verdict {
    let account = account(ctx)?;
    let answer = ask(ctx, &ctx.repo(), "pull,push", Some(&account)).await?;
    token_of(&answer)?;
    let value = json(&answer)?;
    let mut findings = Findings::default();
    for name in ["token", "access_token"] {
        findings.note(that(value.get(name).is_some_and(Value::is_string), || format!("no {name}")))?;
    }
    if let Some(life) = value.get("expires_in") {
        let enough = life.as_u64().is_some_and(|life| life >= LIFE_SECONDS_MIN);
        findings
            .note(that(enough, || format!("expires_in is {life}, expected {LIFE_SECONDS_MIN} or more")))?;
    }
    if let Some(issued) = value.get("issued_at") {
        let text = issued.as_str().unwrap_or_default();
        let rfc3339 = text.len() >= 20 && text.as_bytes()[10] == b'T' && text.as_bytes()[4] == b'-';
        findings.note(that(rfc3339, || format!("issued_at is {issued}, expected RFC 3339")))?;
    }
    findings.note(posted(ctx, &account).await)?;
    findings.verdict()
}

/// Passes when a POST with the password gets a token too, or the realm takes no POST.
async fn posted(ctx: &Context, account: &Account) -> Verdict {
    let repo = ctx.repo();
    let (realm, service) = realm_of(ctx, &repo).await?;
    let form = format!(
        "grant_type=password&client_id=conformance&service={}&scope={}&username={}&password={}",
        encode(&service.unwrap_or_default()),
        encode(&format!("repository:{repo}:pull,push")),
        encode(&account.username),
        encode(&account.password),
    );
    let request = Request::new("POST", realm).header("Content-Type", "application/x-www-form-urlencoded");
    let answer = ctx.send(request.body(form)).await?;
    if matches!(answer.status, 404 | 405) {
        // Clients then fall back to GET.
        ctx.observe(format!("the realm answers POST with {}", answer.status));
        return Ok(());
    }
    token_of(&answer).map(|_| ())
}

async fn narrower(ctx: &Context) -> Verdict {
    let (repo, reader) = (ctx.repo(), ctx.reader()?);
    let image = ctx.tagged(&repo, "t").await?;
    let account = account(&reader)?;
    let answer = ask(ctx, &repo, "pull,push", Some(&account)).await?;
    let bearer = format!("Bearer {}", token_of(&answer)?);
    let pull = ctx.manifest("GET", &repo, "t").header("Authorization", bearer.clone());
    let pulled = ctx.follow(pull).await?;
    status(&pulled, &[200])?;
    crate::expect::body_is(&pulled, &image.manifest.bytes)?;
    let refused = ctx.send(ctx.begin(&repo).header("Authorization", bearer)).await?;
    status(&refused, &[401, 403])?;
    if refused.status == 401 {
        let value = header(&refused, "WWW-Authenticate")?;
        that(value.contains("insufficient_scope"), || format!("the challenge {value:?} names no cause"))?;
    }
    Ok(())
}

async fn forged(ctx: &Context) -> Verdict {
    let mut findings = Findings::default();
    // {"alg":"none"} with {"sub":"admin","access":[…]}, without a signature; and what is no token at all.
    let unsigned = "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiIsImFjY2VzcyI6W119.";
    for value in [unsigned, "Bearer x", "Bearer ", "Basic !!!", "Digest x"] {
        let response = ctx.anonymous().send(push(ctx).header("Authorization", value)).await?;
        findings.note(status(&response, &[400, 401, 403]))?;
        if ctx.login().is_bearer() && value == unsigned {
            let challenge = header(&response, "WWW-Authenticate")?;
            let named = challenge.contains("invalid_token");
            findings.note(that(named, || format!("the challenge {challenge:?} has no invalid_token")))?;
        }
    }
    if ctx.login().is_bearer() {
        findings.note(changed(ctx).await)?;
    }
    findings.verdict()
}

/// Passes when a good token with one character changed is refused.
async fn changed(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let answer = ask(ctx, &repo, "pull,push", Some(&account(ctx)?)).await?;
    let mut token = token_of(&answer)?.into_bytes();
    // The middle of a token: the last characters of a signature may hold unused bits.
    let middle = token.len() / 2;
    token[middle] = if token[middle] == b'A' { b'B' } else { b'A' };
    let value = format!("Bearer {}", String::from_utf8_lossy(&token));
    let response = ctx.send(ctx.begin(&repo).header("Authorization", value)).await?;
    status(&response, &[401])
}

async fn other_scope(ctx: &Context) -> Verdict {
    let (own, other) = (ctx.repo(), ctx.repo());
    let answer = ask(ctx, &own, "pull,push", Some(&account(ctx)?)).await?;
    let bearer = format!("Bearer {}", token_of(&answer)?);
    let fits = ctx.send(ctx.begin(&own).header("Authorization", bearer.clone())).await?;
    status(&fits, &[202])?;
    let foreign = ctx.send(ctx.begin(&other).header("Authorization", bearer)).await?;
    status(&foreign, &[401, 403])
}

async fn reader(ctx: &Context) -> Verdict {
    let (repo, reader) = (ctx.repo(), ctx.reader()?);
    let image = ctx.tagged(&repo, "t").await?;
    let mut findings = Findings::default();
    findings.note(reader.manifest_is(&repo, "t", &image.manifest).await)?;
    findings.note(reader.blob_is(&repo, &image.layer.digest, &image.layer.bytes).await)?;
    let digest = &image.manifest.digest;
    let mount = ctx.begin(&ctx.repo()).query("mount", &image.layer.digest).query("from", &repo);
    for request in [
        ctx.begin(&repo),
        ctx.push(&repo, "t2", &image.manifest),
        ctx.request("DELETE", &format!("/v2/{repo}/manifests/t")),
        ctx.request("DELETE", &format!("/v2/{repo}/manifests/{digest}")),
        ctx.request("DELETE", &format!("/v2/{repo}/blobs/{}", image.layer.digest)),
        mount,
    ] {
        let response = reader.send(request).await?;
        findings.note(status(&response, &[401, 403, 404, 405]))?;
    }
    findings.note(ctx.manifest_is(&repo, "t", &image.manifest).await)?;
    findings.note(ctx.blob_is(&repo, &image.layer.digest, &image.layer.bytes).await)?;
    findings.verdict()
}

async fn oracle(ctx: &Context) -> Verdict {
    let (there, nowhere, outsider) = (ctx.repo(), ctx.repo(), ctx.outsider()?);
    let image = ctx.tagged(&there, "t").await?;
    let (manifest, layer) = (&image.manifest.digest, &image.layer.digest);
    let mut findings = Findings::default();
    let anonymous = ctx.anonymous();
    let open = anonymous.pull(&there, "t").await?.is_success();
    if open {
        ctx.observe("everybody may read without a login");
    }
    for who in std::iter::once(&outsider).chain((!open).then_some(&anonymous)) {
        for (method, tail) in [
            ("GET", "manifests/t".to_owned()),
            ("HEAD", "manifests/t".to_owned()),
            ("GET", format!("manifests/{manifest}")),
            ("GET", format!("blobs/{layer}")),
            ("HEAD", format!("blobs/{layer}")),
            ("GET", "tags/list".to_owned()),
            ("GET", format!("referrers/{manifest}")),
            ("DELETE", "manifests/t".to_owned()),
            ("POST", "blobs/uploads/".to_owned()),
        ] {
            let real = who.send(ctx.request(method, &format!("/v2/{there}/{tail}"))).await?;
            let other = who.send(ctx.request(method, &format!("/v2/{nowhere}/{tail}"))).await?;
            let alike = real.status == other.status && !real.is_success();
            findings.note(that(alike, || {
                format!("{}: answered {} where it is and {} where not", real.label, real.status, other.status)
            }))?;
        }
    }
    let listed = outsider.send(ctx.request("GET", "/v2/_catalog?n=1000")).await?;
    let leaked = String::from_utf8_lossy(&listed.body).contains(&there);
    findings.note(that(!leaked, || format!("{}: the catalog shows {there}", listed.label)))?;
    findings.verdict()
}

async fn basic(ctx: &Context) -> Verdict {
    let account = account(ctx)?;
    let request = |request: Request| request.header("Authorization", account.basic());
    let base = ctx.send(request(ctx.request("GET", "/v2/"))).await?;
    if base.status == 401 && Challenge::bearer(&base).is_some() {
        return Err(Stop::Skip("the target takes only tokens".to_owned()));
    }
    status(&base, &[200])?;
    status(&ctx.send(request(push(ctx))).await?, &[202])
}

async fn realm(ctx: &Context) -> Verdict {
    let repo = ctx.repo();
    let (realm, _) = realm_of(ctx, &repo).await?;
    if realm.target.contains('?') {
        ctx.observe("the realm has a query of its own");
    }
    let answer = ask(ctx, &repo, "pull,push", Some(&account(ctx)?)).await?;
    let bearer = format!("Bearer {}", token_of(&answer)?);
    status(&ctx.send(ctx.begin(&repo).header("Authorization", bearer)).await?, &[202])
}

async fn long_push(ctx: &Context) -> Verdict {
    let (repo, blob) = (ctx.repo(), ctx.blob(3000));
    let session = ctx.session_with(&repo, &blob.bytes[..1000]).await?;
    let late =
        ctx.send(ctx.chunk(&session, 1000, &blob.bytes[1000..]).header("Authorization", "Bearer gone"));
    status(&late.await?, &[401])?;
    // Another login of the same account: every token is a new one.
    let again = ctx.as_login(Login::new(ctx.login().account().cloned()));
    let patched = again.send(ctx.chunk(&session, 1000, &blob.bytes[1000..])).await?;
    status(&patched, &[202])?;
    status(&again.send(ctx.finish(&ctx.location(&patched)?, &blob.digest, b"")).await?, &[201])?;
    ctx.blob_is(&repo, &blob.digest, &blob.bytes).await
}
