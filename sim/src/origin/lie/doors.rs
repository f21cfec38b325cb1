//! Lies about logins, tokens and rights as clients use them in good faith. An origin without accounts does not
//! tell them.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde_json::Value;

use super::{
    Plan,
    asked::Asked,
    guarded,
    memory::{recall, remember},
    tools::{Kind, is_refusal, rewrite, upload},
};
use crate::origin::{
    access::{Caller, Gate, TOKEN_PATH, bearer},
    dispatch::{empty, honest, set},
    uploads::keep,
};

pub(super) const LIES: &[Plan] = &[
    guarded("challenge-without-scope", "Asks for a token without saying for what.", |mut asked| {
        let mut response = asked.honest();
        let value = response.headers().get(header::WWW_AUTHENTICATE).and_then(|it| it.to_str().ok());
        if let Some(value) = value.and_then(without_scope) {
            set(&mut response, header::WWW_AUTHENTICATE, &value);
        }
        response
    }),
    guarded(
        "password-unread",
        "Gives a token to a user who is there, whatever the password is.",
        |mut asked| {
            let given = Gate::given(&asked.call).filter(|(name, _)| asked.gate.knows(name));
            let is_wrong = given.is_some() && asked.call.path == TOKEN_PATH;
            asked.relented(|asked| is_wrong.then(|| asked.gate.basic_of(&given?.0)).flatten())
        },
    ),
    guarded(
        "token-under-one-name",
        "Gives a token that is called `token` and not `access_token`.",
        |mut asked| {
            let is_token = asked.call.path == TOKEN_PATH;
            let mut response = asked.honest();
            if is_token {
                rewrite(&mut response, |page| {
                    drop(page.as_object_mut().map(|page| page.remove("access_token")));
                });
            }
            response
        },
    ),
    guarded("grant-is-all-or-nothing", "Gives no token for less than what was asked.", |mut asked| {
        let wanted: Vec<String> = asked.call.query.all("scope").map(str::to_owned).collect();
        let response = asked.honest();
        let page: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        let token = page["token"].as_str().and_then(|token| crate::origin::access::part(token, 1));
        let granted = token.map(|claims| claims["access"].to_string()).unwrap_or_default();
        let lacks = wanted.iter().any(|scope| scope.contains("push")) && !granted.contains("push");
        if lacks && asked.call.path == TOKEN_PATH { empty(StatusCode::UNAUTHORIZED) } else { response }
    }),
    guarded("token-read-at-its-ends", "Compares only the beginning and the end of a token.", |mut asked| {
        let third = bearer(&asked.call).filter(|it| it.is_ascii()).map(|it| (it.to_owned(), it.len() / 3));
        let alike = third.and_then(|(token, third)| {
            let (first, last) = (&token[..third], &token[token.len() - third..]);
            let is_it = |it: &str| it.len() == token.len() && it.starts_with(first) && it.ends_with(last);
            (third > 40).then(|| asked.gate.issued(is_it)).flatten()
        });
        asked.honest_with(alike.map(|token| format!("Bearer {token}")))
    }),
    guarded("token-to-push-opens-all", "Lets a token to push do all that its account may.", |mut asked| {
        asked.relented(|asked| {
            let (account, scopes) = asked.gate.holder(&asked.call, asked.now)?;
            let pushes = scopes.iter().any(|scope| scope.contains("push"));
            pushes.then(|| asked.gate.pass(account.as_deref(), &asked.call, asked.now)).flatten()
        })
    }),
    guarded("whoever-pulls-pushes", "Lets a token to pull push, whatever its account may.", |mut asked| {
        asked.relented(|asked| {
            let (account, scopes) = asked.gate.holder(&asked.call, asked.now)?;
            let pulls = account.is_some() && scopes.iter().any(|scope| scope.ends_with(":pull"));
            let pushes = matches!(Kind::of(&asked.call), Kind::Start | Kind::ManifestPush);
            (pulls && pushes).then(|| asked.pass_of_the_owner()).flatten()
        })
    }),
    guarded(
        "refusal-is-404-for-what-is-missing",
        "Answers 404 to a stranger for a tag that is not there.",
        |mut asked| {
            let known = asked.call.headers.contains_key(header::AUTHORIZATION);
            let there = super::tools::name(&asked.call).is_some_and(|it| asked.store.repository(&it).is_ok());
            let pulls = known && !there && Kind::of(&asked.call) == Kind::ManifestPull;
            let response = asked.honest();
            if pulls && is_refusal(&response) { empty(StatusCode::NOT_FOUND) } else { response }
        },
    ),
    guarded("upload-belongs-to-its-token", "Forgets an upload when another token comes.", owned),
    guarded("mount-reads-what-one-may-not", "Mounts from any repository, whoever asks.", |mut asked| {
        asked.answered(|store, call| {
            let mut call = call.clone();
            if Kind::of(&call) == Kind::Start {
                call.caller = Caller::default();
            }
            honest(store, &call)
        })
    }),
    guarded(
        "mount-without-source-finds-all",
        "Mounts without a source from wherever the blob is.",
        |mut asked| {
            asked.answered(|store, call| {
                let mount = call.query.first("mount").filter(|_| call.query.first("from").is_none());
                let digest = mount.filter(|_| Kind::of(call) == Kind::Start).and_then(|it| it.parse().ok());
                let found = digest.and_then(|digest| Some((store.content(&digest)?, digest)));
                match found.zip(super::tools::name(call)) {
                    Some(((bytes, digest), name)) => keep(store, &name, digest, bytes),
                    None => honest(store, call),
                }
            })
        },
    ),
];

/// Keeps for each upload the token that began it, and serves no other.
fn owned(mut asked: Asked<'_>) -> Response<Bytes> {
    const OWNER: &str = "owner";
    let token = bearer(&asked.call).map(str::to_owned).unwrap_or_default();
    let known = upload(&asked.call).and_then(|(name, id)| recall(asked.store, OWNER, &name, &id));
    let is_other = known.is_some_and(|owner| owner != token.as_bytes());
    let response = asked.honest();
    if is_other && response.status().is_success() {
        return empty(StatusCode::NOT_FOUND);
    }
    let id = response.headers().get("docker-upload-uuid").and_then(|it| it.to_str().ok());
    if let (Some(id), Some(name), Kind::Start) = (id, super::tools::name(&asked.call), Kind::of(&asked.call))
    {
        remember(asked.store, OWNER, &name, id, token.as_bytes());
    }
    response
}

/// Returns a challenge without its scope, where it has one.
fn without_scope(challenge: &str) -> Option<String> {
    let (before, rest) = challenge.split_once(",scope=\"")?;
    let (_, after) = rest.split_once('"')?;
    Some(format!("{before}{after}"))
}
