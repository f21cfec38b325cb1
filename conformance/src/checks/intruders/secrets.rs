//! What a refusal must not repeat: passwords and tokens, and what a path says, in the place of its own words.

use super::tools::{Jwt, basic};
use crate::check::{Check, Level, Verdict, run};
use crate::checks::auth::{ANCHOR, LOGIN, account, realm_of, wanted};
use crate::content::hex;
use crate::context::Context;
use crate::expect::{Findings, header_absent, refused, that};
use crate::login::{Account, Challenge, encode};
use crate::wire::{Request, Response, WireError};

/// A host that no challenge may send a client to.
const ELSEWHERE: &str = "intruder.invalid";

pub(in crate::checks) const CHECKS: &[Check] = &[
    Check::new(
        "T-151a",
        Level::Observe,
        "RFC 9110 §5.5, §11.6.1",
        "What a path says gets into no header of a refusal but as a quoted text.",
        run!(challenges_keep_their_form),
    )
    .after(&["T-151"])
    .needs(LOGIN)
    .why("A realm that a stranger's link names is where a client sends its password."),
    Check::new(
        "T-152f",
        Level::Observe,
        ANCHOR,
        "No refusal repeats a password or a token.",
        run!(kept_secret),
    )
    .after(&["T-152"])
    .needs(LOGIN)
    .alone()
    .why("Answers are logged and shown by whoever stands between."),
];

async fn challenges_keep_their_form(ctx: &Context) -> Verdict {
    let (repo, mut findings) = (ctx.repo(), Findings::default());
    let honest = ctx.send(ctx.begin(&repo).header("Authorization", "Bearer none")).await?;
    let realms = |answer: &Response| -> Vec<String> {
        let all = answer.header_all("www-authenticate").into_iter().filter_map(Challenge::parse);
        all.flat_map(|it| it.parameters).filter(|(name, _)| name == "realm").map(|(_, value)| value).collect()
    };
    let evil = [
        format!("%22,realm=%22http://{ELSEWHERE}/token"),
        format!("\",realm=\"http://{ELSEWHERE}/token"),
        format!("%22%2Crealm%3D%22http%3A%2F%2F{ELSEWHERE}%2Ft%22%2Cx%3D%22"),
        "%0d%0aX-Injected:%20yes".to_owned(),
        "%0aX-Injected:%20yes%0a%0a".to_owned(),
        "%00%22".to_owned(),
        "%5c%22".to_owned(),
        "%2e%2e/%2e%2e".to_owned(),
        "%2e%2e%2f".to_owned(),
        "a%2fb".to_owned(),
        "..;/".to_owned(),
    ];
    for text in &evil {
        for path in [
            format!("/v2/{repo}{text}/blobs/uploads/"),
            format!("/v2/{repo}/{text}/manifests/t"),
            format!("/v2/{repo}/manifests/{text}"),
            format!("/v2/{text}/tags/list"),
        ] {
            let method = if path.ends_with("uploads/") { "POST" } else { "GET" };
            let request = ctx.request(method, &path).header("Authorization", "Bearer none");
            match ctx.attempt(request).await {
                Ok(answer) => {
                    findings.note(refused_here(ctx, &answer))?;
                    findings.note(header_absent(&answer, "X-Injected"))?;
                    let named = realms(&answer);
                    let same = named.iter().all(|realm| realms(&honest).contains(realm)) && named.len() < 2;
                    let whole = answer
                        .header_all("www-authenticate")
                        .into_iter()
                        .all(|it| Challenge::parse(it).is_some());
                    findings.note(that(same && whole, || {
                        format!(
                            "{method} {path}: the challenge is {:?}",
                            answer.header_all("www-authenticate")
                        )
                    }))?;
                }
                // What is no HTTP may be left unanswered.
                Err(WireError::Closed | WireError::Broken(_)) => {}
                Err(error) => findings.note(that(false, || format!("{method} {path}: {error}")))?,
            }
        }
    }
    findings.verdict()
}

/// Passes for a refusal, and for a redirect to a cleaner path of the same host, which is refused then.
fn refused_here(ctx: &Context, answer: &Response) -> Verdict {
    let location = answer.header("location").filter(|_| answer.is_redirect());
    let Some(Ok(url)) = location.map(|location| ctx.target().join(location)) else {
        return refused(answer);
    };
    that(url.same_origin(ctx.target()), || format!("{}: redirected to {url}", answer.label))
}

async fn kept_secret(ctx: &Context) -> Verdict {
    let (repo, account, mut findings) = (ctx.repo(), account(ctx)?, Findings::default());
    // Letters and digits, so that there is one way to write it.
    let planted = format!("planted{}", hex(&ctx.blob(12).bytes));
    let login = Account::new(&account.username, &planted);
    let mut requests = Vec::new();
    for value in [
        login.basic(),
        basic(planted.as_bytes()),
        format!("Bearer {planted}"),
        format!("Bearer {planted}.{planted}.{planted}"),
        format!("Digest username=\"a\", response=\"{planted}\""),
        planted.clone(),
    ] {
        requests.extend(refusals(ctx, &repo, &value));
    }
    if ctx.login().is_bearer() {
        requests.extend(at_the_realm(ctx, &repo, &login).await?);
        if let Ok(good) = Jwt::got(ctx, &repo, "pull").await {
            let token = good.claiming(|claims| claims["sub"] = planted.as_str().into());
            requests.extend(refusals(ctx, &repo, &format!("Bearer {token}")));
        }
    }
    for request in requests {
        let value = request.headers.iter().find(|(name, _)| name == "Authorization");
        let value = value.and_then(|(_, value)| value.split_whitespace().last()).map(str::to_owned);
        let answer = ctx.send(request).await?;
        let text = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body));
        let secrets = std::iter::once(planted.clone()).chain(value).filter(|it| it.len() > 16);
        for secret in secrets {
            // The message does not repeat it either.
            findings.note(that(!text.contains(&secret), || {
                format!("{}: the refusal ({}) repeats what it was sent", answer.label, answer.status)
            }))?;
        }
    }
    findings.verdict()
}

fn refusals(ctx: &Context, repo: &str, value: &str) -> Vec<Request> {
    let all = [
        ctx.request("GET", "/v2/"),
        ctx.begin(repo),
        ctx.request("GET", &format!("/v2/{repo}/tags/list")),
        ctx.request("GET", "/v2/_catalog"),
        ctx.request("DELETE", &format!("/v2/{repo}/manifests/t")),
    ];
    all.into_iter().map(|request| request.header("Authorization", value)).collect()
}

/// Returns requests for tokens with a password that is wrong, as clients send them.
async fn at_the_realm(
    ctx: &Context,
    repo: &str,
    login: &Account,
) -> Result<Vec<Request>, crate::check::Stop> {
    let scope = format!("repository:{repo}:pull");
    let asked = wanted(ctx, repo, &[scope], Some(login)).await?;
    let (realm, _) = realm_of(ctx, repo).await?;
    let password = encode(&login.password);
    let forms = [
        format!("grant_type=password&client_id=conformance&username=nobody&password={password}"),
        format!("grant_type=refresh_token&client_id=conformance&refresh_token={password}"),
    ];
    let form = |body: String| {
        let request = Request::new("POST", realm.clone());
        request.header("Content-Type", "application/x-www-form-urlencoded").body(body)
    };
    Ok(std::iter::once(asked).chain(forms.map(form)).collect())
}
