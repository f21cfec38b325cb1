//! Tokens that were forged out of a good one. Where tokens are not JSON Web Tokens, there is nothing to forge.

use serde_json::{Value, json};

use super::tools::{Jwt, encoded, token_refused};
use crate::check::{Check, Level, Verdict, run};
use crate::checks::auth::TOKENS;
use crate::context::Context;
use crate::expect::Findings;

const ANCHOR: &str = "RFC 8725 §2.1, RFC 6750 §3.1";

/// When a token that lives for ever ends, in seconds since 1970.
const LATE: u64 = 4_000_000_000;

pub(in crate::checks) const CHECKS: &[Check] = &[
    Check::new("T-154b", Level::Observe, ANCHOR, "A token without its own signature is 401.", run!(unsigned))
        .after(&["T-154"])
        .needs(TOKENS)
        .why("A verifier that lets a token choose its algorithm, none too, has no lock at all."),
    Check::new(
        "T-154c",
        Level::Observe,
        ANCHOR,
        "A token whose claims were changed is 401.",
        run!(rewritten),
    )
    .after(&["T-154"])
    .needs(TOKENS)
    .why("Whoever may pull once could write himself a token to push, for ever."),
    Check::new(
        "T-154d",
        Level::Observe,
        "RFC 8725 §2.6, §3.10",
        "A token that names or brings its own key is 401.",
        run!(own_key),
    )
    .after(&["T-154"])
    .needs(TOKENS)
    .why("A key that comes with what it verifies proves nothing; a path or a query as its name opens more."),
];

async fn unsigned(ctx: &Context) -> Verdict {
    let (repo, mut findings) = (ctx.repo(), Findings::default());
    let good = Jwt::got(ctx, &repo, "pull,push").await?;
    let other = Jwt::got(ctx, &ctx.repo(), "pull,push").await?;
    let [header, claims, signature] = &good.parts;
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let mut head = good.header.clone();
        head["alg"] = alg.into();
        for (with, signature) in [("without a signature", ""), ("with a signature", signature.as_str())] {
            let token = good.headed(&head, signature);
            findings.note(token_refused(ctx, &repo, &format!("alg {alg:?} {with}"), &token).await)?;
        }
    }
    let bare = format!("{}.{}.", encoded(&json!({"alg": "none"})), claims);
    let cut = &signature[..signature.len() / 2];
    for (what, token) in [
        ("a header that says none and nothing else", bare),
        ("the signature left empty", format!("{header}.{claims}.")),
        ("the signature left out", format!("{header}.{claims}")),
        ("the signature of another token", format!("{header}.{claims}.{}", other.parts[2])),
        ("a signature of zeros", format!("{header}.{claims}.{}", "A".repeat(signature.len()))),
        ("half of the signature", format!("{header}.{claims}.{cut}")),
        ("the claims of another token", format!("{header}.{}.{signature}", other.parts[1])),
        ("a fourth part", format!("{header}.{claims}.{signature}.{signature}")),
    ] {
        findings.note(token_refused(ctx, &repo, what, &token).await)?;
    }
    findings.verdict()
}

async fn rewritten(ctx: &Context) -> Verdict {
    let (repo, other, mut findings) = (ctx.repo(), ctx.repo(), Findings::default());
    let good = Jwt::got(ctx, &repo, "pull,push").await?;
    let narrow = Jwt::got(ctx, &repo, "pull").await?;
    let access =
        |name: &str, actions: &[&str]| json!([{"type": "repository", "name": name, "actions": actions}]);
    let set = |name: &'static str, value: Value| move |claims: &mut Value| claims[name] = value;
    let changed = [
        ("a pull made a push", &repo, narrow.claiming(set("access", access(&repo, &["pull", "push"])))),
        ("a pull made everything", &repo, narrow.claiming(set("access", access(&repo, &["*"])))),
        ("another repository", &other, good.claiming(set("access", access(&other, &["pull", "push"])))),
        ("every repository", &other, good.claiming(set("access", access("*", &["pull", "push"])))),
        ("another sub", &repo, good.claiming(set("sub", "somebody-else".into()))),
        ("another exp", &repo, good.claiming(set("exp", LATE.into()))),
        ("another nbf", &repo, good.claiming(set("nbf", 0.into()))),
        ("another aud", &repo, good.claiming(set("aud", "elsewhere".into()))),
        ("no exp", &repo, good.claiming(|claims| drop(claims.as_object_mut().map(|all| all.remove("exp"))))),
    ];
    for (what, repo, token) in changed {
        findings.note(token_refused(ctx, repo, what, &token).await)?;
    }
    findings.verdict()
}

async fn own_key(ctx: &Context) -> Verdict {
    let (repo, mut findings) = (ctx.repo(), Findings::default());
    let good = Jwt::got(ctx, &repo, "pull,push").await?;
    let head = |more: Value| {
        let mut header = good.header.clone();
        header["alg"] = "HS256".into();
        for (name, value) in more.as_object().into_iter().flatten() {
            header[name] = value.clone();
        }
        header
    };
    let zeros = [0; 32];
    let jwk = json!({"kty": "oct", "alg": "HS256", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"});
    let forged = [
        ("an empty key", head(json!({})), &b""[..]),
        ("a key of zeros", head(json!({})), &zeros),
        ("the key `secret`", head(json!({})), b"secret"),
        ("no kid and an empty key", json!({"alg": "HS256", "typ": "JWT"}), b""),
        ("a kid that is an empty file", head(json!({"kid": "../../../../../../../../dev/null"})), b""),
        ("a kid that is a file of zeros", head(json!({"kid": "/dev/zero"})), &zeros),
        ("a kid that is a query", head(json!({"kid": "x' UNION SELECT 'secret"})), b"secret"),
        ("a kid that is no text", head(json!({"kid": {"a": [1]}})), b""),
        ("a jwk of its own", head(json!({"jwk": jwk})), &zeros),
        ("a jku that nobody serves", head(json!({"jku": "http://127.0.0.1:1/jwks.json"})), b"secret"),
        ("an x5c of its own", head(json!({"x5c": ["AAAA"]})), b"secret"),
        ("a crit that nobody knows", head(json!({"crit": ["exp"], "b64": false})), b"secret"),
    ];
    for (what, header, key) in forged {
        findings.note(token_refused(ctx, &repo, what, &good.signed(&header, key)).await)?;
    }
    findings.verdict()
}
