//! Lies about tokens and scopes: each takes what should be refused. An origin without accounts does not tell them.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::Value;

use super::{
    Plan,
    asked::Asked,
    guarded,
    memory::{recall, remember},
    tools::{Kind, name},
};
use crate::origin::{
    access::{bearer, part},
    dispatch::empty,
};

/// Bytes of scopes that break an origin.
const SCOPES_BYTES: usize = 32 * 1024;

pub(super) const LIES: &[Plan] = &[
    guarded("token-without-algorithm", "Takes a token that says it needs no signature.", |mut asked| {
        let alg = |header: &Value| header["alg"].as_str().is_some_and(|it| it.eq_ignore_ascii_case("none"));
        let claims = head(&asked).filter(alg).and_then(|_| claims(&asked));
        let pass =
            claims.filter(|it| it.get("jti").is_some()).and_then(|it| asked.gate.pass_of(&it, asked.now));
        asked.honest_with(pass)
    }),
    guarded("token-signature-unread", "Takes a token with any signature, or none.", |mut asked| {
        let unsigned =
            bearer(&asked.call).and_then(|it| it.splitn(3, '.').take(2).collect::<Vec<_>>().join(".").into());
        let unsigned = unsigned.filter(|it: &String| it.contains('.')).map(|it| format!("{it}."));
        let known = unsigned.and_then(|unsigned| asked.gate.issued(|it| it.starts_with(&unsigned)));
        asked.honest_with(known.map(|it| format!("Bearer {it}")))
    }),
    guarded(
        "token-claims-unsigned",
        "Takes a token whose claims are not those that were signed.",
        |mut asked| {
            let pass = rewritten(&asked).and_then(|claims| asked.gate.pass_of(&claims, asked.now));
            asked.honest_with(pass)
        },
    ),
    guarded("token-brings-its-key", "Verifies a token by a key that it brings along.", |mut asked| {
        let brings = |header: &Value| header.get("jwk").is_some() || header.get("jku").is_some();
        let claims = head(&asked).filter(brings).and_then(|_| claims(&asked));
        let pass = claims.and_then(|it| asked.gate.pass_of(&it, asked.now));
        asked.honest_with(pass)
    }),
    guarded(
        "token-key-is-a-path",
        "Reads the key of a token from the file that the token names.",
        |mut asked| {
            let climbs = |header: &Value| header["kid"].as_str().is_some_and(|it| it.contains("../"));
            let claims = head(&asked).filter(climbs).and_then(|_| claims(&asked));
            let pass = claims.and_then(|it| asked.gate.pass_of(&it, asked.now));
            asked.honest_with(pass)
        },
    ),
    guarded("token-to-pull-pushes", "Lets a token to pull do all that its account may.", |mut asked| {
        asked.relented(|asked| {
            let own = format!("repository:{}:pull", name(&asked.call)?);
            let (account, scopes) = asked.gate.holder(&asked.call, asked.now)?;
            let pass = || asked.gate.pass(account.as_deref(), &asked.call, asked.now);
            scopes.contains(&own).then(pass).flatten()
        })
    }),
    guarded(
        "token-for-nothing-opens-all",
        "Lets a token without a scope do all that its account may.",
        |mut asked| {
            asked.relented(|asked| {
                let (account, scopes) = asked.gate.holder(&asked.call, asked.now)?;
                let pass = || asked.gate.pass(account.as_deref(), &asked.call, asked.now);
                scopes.is_empty().then(pass).flatten()
            })
        },
    ),
    guarded(
        "token-mounts-from-anywhere",
        "Mounts from all that the account of a token may read.",
        |mut asked| {
            let mounts = Kind::of(&asked.call) == Kind::Start && asked.call.query.first("mount").is_some();
            let holder = asked.gate.holder(&asked.call, asked.now).filter(|_| mounts);
            let target = name(&asked.call).map(|name| format!("repository:{name}:pull,push"));
            let holder = holder.filter(|(_, scopes)| target.is_some_and(|target| scopes.contains(&target)));
            let pass =
                holder.and_then(|(account, _)| asked.gate.pass(account.as_deref(), &asked.call, asked.now));
            asked.honest_with(pass)
        },
    ),
    guarded("scope-with-a-star-is-everything", "Gives everybody everything who asks for `*`.", starred),
    guarded("scopes-without-end-break", "Breaks with 500 on scopes of 32 KiB.", |mut asked| {
        let length: usize = asked.call.query.all("scope").map(str::len).sum();
        if length > SCOPES_BYTES { empty(StatusCode::INTERNAL_SERVER_ERROR) } else { asked.honest() }
    }),
];

fn head(asked: &Asked<'_>) -> Option<Value> {
    part(bearer(&asked.call)?, 0)
}

fn claims(asked: &Asked<'_>) -> Option<Value> {
    part(bearer(&asked.call)?, 1)
}

/// Returns the claims of a token with the signature of another, which says more: whose it is, what it grants, or
/// how long it is good for. What has merely been damaged is refused.
fn rewritten(asked: &Asked<'_>) -> Option<Value> {
    let token = bearer(&asked.call)?;
    let [header, _, signature] = token.split('.').collect::<Vec<_>>()[..] else { return None };
    let is_it = |it: &str| it.ends_with(&format!(".{signature}")) && it.starts_with(header) && it != token;
    let (original, claims) = (part(&asked.gate.issued(is_it)?, 1)?, part(token, 1)?);
    let same = ["jti", "iat", "nbf", "iss", "aud"].iter().all(|name| original[name] == claims[name]);
    (same && claims["exp"].as_u64() >= original["exp"].as_u64()).then_some(claims)
}

/// Remembers the tokens that were asked for with a star, and lets them do whatever they are used for.
fn starred(mut asked: Asked<'_>) -> Response<Bytes> {
    const STARRED: &str = "starred";
    let known = bearer(&asked.call).and_then(|token| recall(asked.store, STARRED, "", token));
    if known.is_some() {
        let pass = asked.pass_of_the_owner();
        return asked.honest_with(pass);
    }
    let is_starred = asked.call.query.all("scope").any(|scope| scope.contains("repository:*"));
    let response = asked.honest();
    let page: Option<Value> = serde_json::from_slice(response.body()).ok().filter(|_| is_starred);
    if let Some(token) = page.as_ref().and_then(|page| page["token"].as_str()) {
        remember(asked.store, STARRED, "", token, b"");
    }
    response
}
