//! Logging in: challenges, Basic and tokens, as clients of Docker's token specification expect them.

use crate::check::{Check, Level, Need, Verdict, run};
use crate::checks::BASE;
use crate::context::Context;
use crate::expect::{Findings, code, header, status, that};

const ANCHOR: &str = "docker token authentication, RFC 9110 §11";

const LOGIN: &[Need] = &[Need::Credentials];
const OTHER: &[Need] = &[Need::SecondAccount];

pub(super) const CHECKS: &[Check] = &[
    Check::new("T-151", Level::Observe, ANCHOR, "A push without a login is 401 with a challenge.")
        .run(run!(challenge))
        .after(&[BASE])
        .needs(LOGIN)
        .why("The challenge tells a client where and for what to get a token.")
        .breaks("All: without it they give up instead of logging in."),
    Check::new("T-152", Level::Observe, ANCHOR, "A wrong password is 401.")
        .run(run!(wrong_password))
        .after(&[BASE])
        .needs(LOGIN)
        .why("Anything else tells docker login that the password is right."),
    Check::new("T-153", Level::Observe, ANCHOR, "A narrower grant is a token, then insufficient_scope.")
        .needs(OTHER)
        .why("A partial grant is no error of the token server."),
    Check::new("T-154", Level::Observe, ANCHOR, "An expired or forged token is 401 invalid_token.")
        .run(run!(forged))
        .after(&[BASE])
        .needs(LOGIN)
        .why("A token that is not checked is no lock."),
    Check::new("T-155", Level::Observe, ANCHOR, "A right to pull is no right to push or delete.")
        .needs(OTHER)
        .why("CI systems hand out tokens that must not overwrite releases."),
    Check::new("T-156", Level::Observe, ANCHOR, "Basic alone is enough.")
        .run(run!(basic))
        .after(&[BASE])
        .needs(LOGIN)
        .why("Scripts, skopeo and crane send it unasked."),
    Check::new("T-157", Level::Observe, ANCHOR, "A realm may have a query of its own.")
        .needs(OTHER)
        .why("Clients that overwrite it ask the wrong token server."),
    Check::new("T-158", Level::Observe, ANCHOR, "A token that expires in a long push does not end it.")
        .needs(OTHER)
        .why("Large layers take longer than tokens live."),
];

/// Removes the credentials and returns a request that shows whether it may push.
fn push_as(ctx: &Context, authorization: Option<&str>) -> crate::wire::Request {
    let mut request = ctx.begin(&ctx.repo());
    request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
    match authorization {
        Some(value) => request.header("Authorization", value),
        None => request,
    }
}

async fn challenge(ctx: &Context) -> Verdict {
    let response = ctx.send(push_as(ctx, None)).await?;
    status(&response, &[401])?;
    code(&response, &["UNAUTHORIZED"])?;
    let value = header(&response, "WWW-Authenticate")?;
    ctx.observe(format!("the challenge is {value}"));
    let mut findings = Findings::default();
    if value.to_ascii_lowercase().starts_with("bearer ") {
        for part in ["realm=\"", "service=\"", "scope=\"repository:"] {
            findings.note(that(value.contains(part), || format!("the challenge {value:?} has no {part}")))?;
        }
    } else {
        let basic = value.to_ascii_lowercase().starts_with("basic ") && value.contains("realm=\"");
        findings.note(that(basic, || format!("the challenge {value:?} is neither Bearer nor Basic")))?;
    }
    findings.verdict()
}

async fn wrong_password(ctx: &Context) -> Verdict {
    // "nobody:wrong"
    let response = ctx.send(push_as(ctx, Some("Basic bm9ib2R5Ondyb25n"))).await?;
    status(&response, &[401])?;
    header(&response, "WWW-Authenticate").map(|_| ())
}

async fn forged(ctx: &Context) -> Verdict {
    let mut findings = Findings::default();
    // {"alg":"none"} with {"sub":"admin","access":[…]}, without a signature; and what is no token at all.
    let unsigned = "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiIsImFjY2VzcyI6W119.";
    for value in [unsigned, "Bearer x", "Bearer ", "Basic !!!", "Digest x"] {
        let response = ctx.send(push_as(ctx, Some(value))).await?;
        findings.note(status(&response, &[400, 401, 403]))?;
    }
    findings.verdict()
}

async fn basic(ctx: &Context) -> Verdict {
    let response = ctx.send(ctx.request("GET", "/v2/")).await?;
    status(&response, &[200])?;
    status(&ctx.send(ctx.begin(&ctx.repo())).await?, &[202])
}
