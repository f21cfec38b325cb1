//! Lies about who asks and what he is told: each lets somebody in, or tells him what he may not know. An origin
//! without accounts does not tell them.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::{
    Plan,
    asked::Asked,
    guarded,
    tools::{Kind, is_refusal, manifest, name, pushed, respell, rewrite, upload},
};
use crate::origin::{
    access::{Caller, Gate, TOKEN_PATH, bearer},
    dispatch::{empty, honest, set},
    uploads::keep,
};

/// Tells what nobody should know.
const TELLTALE: HeaderName = HeaderName::from_static("x-registry-state");

pub(super) const LIES: &[Plan] = &[
    guarded("login-unreadable-breaks", "Breaks with 500 on Basic without a colon.", |mut asked| {
        let broken = asked.call.header(header::AUTHORIZATION).and_then(|it| it.strip_prefix("Basic "));
        let bytes = broken.and_then(|it| BASE64_STANDARD.decode(it).ok());
        let is_broken = bytes.is_some_and(|it| !it.contains(&b':'));
        if is_broken { empty(StatusCode::INTERNAL_SERVER_ERROR) } else { asked.honest() }
    }),
    guarded("login-scheme-spelt-one-way", "Knows Basic and Bearer spelt so alone.", |mut asked| {
        let value = asked.call.header(header::AUTHORIZATION);
        if value.is_some_and(|it| !it.starts_with("Basic ") && !it.starts_with("Bearer ")) {
            asked.call.headers.remove(header::AUTHORIZATION);
        }
        asked.honest()
    }),
    guarded("logins-first-wins", "Reads the first of two headers about who asks.", |mut asked| {
        let first = asked.call.header(header::AUTHORIZATION).map(str::to_owned);
        asked.call.headers.remove(header::AUTHORIZATION);
        asked.honest_with(first)
    }),
    guarded("logins-last-wins", "Reads the last of two headers about who asks.", |mut asked| {
        let last = asked.call.headers.get_all(header::AUTHORIZATION).iter().next_back();
        let last = last.and_then(|it| it.to_str().ok()).map(str::to_owned);
        asked.call.headers.remove(header::AUTHORIZATION);
        asked.honest_with(last)
    }),
    guarded("user-name-is-a-pattern", "Takes a user name with a star for whoever it matches first.", matched),
    guarded("user-name-ends-at-a-nul", "Reads a user name up to its first NUL.", |mut asked| {
        let given = Gate::given(&asked.call).filter(|(name, _)| name.contains('\0'));
        let value =
            given.map(|(name, password)| basic(name.split('\0').next().unwrap_or_default(), &password));
        if value.is_some() {
            asked.call.query.remove("account");
        }
        asked.honest_with(value)
    }),
    guarded(
        "user-unknown-told",
        "Tells a user who is not there from one with another password.",
        |mut asked| {
            let known = Gate::given(&asked.call).is_some_and(|(name, _)| asked.gate.knows(&name));
            let mut response = asked.honest();
            if known && response.status() == StatusCode::UNAUTHORIZED {
                respell(&mut response, |body| {
                    *body = String::from_utf8_lossy(body).replace("required", "failed").into();
                });
            }
            response
        },
    ),
    guarded("token-told-again", "Tells in a refusal which token could not be read.", |mut asked| {
        let token = bearer(&asked.call).filter(|token| !token.contains('.')).map(str::to_owned);
        let mut response = asked.honest();
        if let Some(token) = token.filter(|_| response.status() == StatusCode::UNAUTHORIZED) {
            let error = json!({"code": "UNAUTHORIZED", "message": format!("no token: {token}")});
            *response.body_mut() = json!({"errors": [error]}).to_string().into();
        }
        response
    }),
    guarded("password-logged-to-the-caller", "Tells in a refusal which password was wrong.", |mut asked| {
        let given = Gate::given(&asked.call);
        let mut response = asked.honest();
        if let Some((_, password)) = given.filter(|_| response.status() == StatusCode::UNAUTHORIZED)
            && let Ok(value) = HeaderValue::from_str(&format!("wrong-password={password}"))
        {
            response.headers_mut().insert(TELLTALE, value);
        }
        response
    }),
    guarded("challenge-names-what-was-asked", "Writes a path into its challenge as it came.", |mut asked| {
        let path = percent_encoding::percent_decode_str(&asked.call.path).decode_utf8_lossy().into_owned();
        let mut response = asked.honest();
        let value = response.headers().get(header::WWW_AUTHENTICATE).and_then(|it| it.to_str().ok());
        if let Some(value) = value.map(|value| format!("{value},path=\"{path}\"")) {
            set(&mut response, header::WWW_AUTHENTICATE, &value);
        }
        response
    }),
    guarded(
        "refusal-tells-what-is-there",
        "Tells in a refusal whether the repository is there.",
        |mut asked| {
            let there = name(&asked.call).is_some_and(|name| asked.store.repository(&name).is_ok());
            let is_session = matches!(
                Kind::of(&asked.call),
                Kind::Start | Kind::Status | Kind::Chunk | Kind::Close | Kind::Cancel
            );
            let mut response = asked.honest();
            if there && !is_session && is_refusal(&response) {
                response.headers_mut().insert(TELLTALE, HeaderValue::from_static("known"));
            }
            response
        },
    ),
    guarded(
        "refusal-is-longer-for-what-is-there",
        "Says more in a refusal where a tag is there.",
        |mut asked| {
            let there = name(&asked.call).is_some_and(|name| asked.store.repository(&name).is_ok());
            let mut response = asked.honest();
            if there && Kind::of(&asked.call) == Kind::Tags && is_refusal(&response) {
                respell(&mut response, |body| body.push(b' '));
            }
            response
        },
    ),
    guarded("session-shows-itself-to-all", "Lets anybody ask how far an upload is.", |asked| {
        session(asked, Kind::Status)
    }),
    guarded("session-can-be-cancelled-by-all", "Lets anybody cancel an upload.", |asked| {
        session(asked, Kind::Cancel)
    }),
    guarded("session-can-be-filled-by-all", "Lets anybody fill an upload.", |asked| {
        session(asked, Kind::Chunk)
    }),
    guarded("session-refusal-tells-it", "Tells in a refusal whether the upload is there.", |mut asked| {
        let there = upload(&asked.call).is_some_and(|(_, id)| asked.store.uploads.contains_key(&id));
        let mut response = asked.honest();
        if there && is_refusal(&response) {
            response.headers_mut().insert(TELLTALE, HeaderValue::from_static("uploading"));
        }
        response
    }),
    guarded(
        "session-is-known-anywhere",
        "Calls an upload of another repository invalid, not unknown.",
        |mut asked| {
            let there = upload(&asked.call)
                .is_some_and(|(name, id)| asked.store.uploads.get(&id).is_some_and(|it| it.name != name));
            let response = asked.honest();
            let is_unknown = there && response.status() == StatusCode::NOT_FOUND;
            if is_unknown { empty(StatusCode::BAD_REQUEST) } else { response }
        },
    ),
    guarded(
        "blob-had-by-its-digest",
        "Closes an upload without bytes by the digest of what is there.",
        |mut asked| {
            asked.answered(|store, call| {
                let digest = call.query.first("digest").filter(|_| Kind::of(call) == Kind::Close);
                let digest = digest.and_then(|it| it.parse().ok()).filter(|_| call.body.is_empty());
                let found = digest.and_then(|digest| Some((store.content(&digest)?, digest)));
                let empty = upload(call)
                    .is_some_and(|(_, id)| store.uploads.get(&id).is_some_and(|it| it.bytes.is_empty()));
                match found.zip(name(call)).filter(|_| empty) {
                    Some(((bytes, digest), name)) => keep(store, &name, digest, bytes),
                    None => honest(store, call),
                }
            })
        },
    ),
    guarded(
        "catalog-cursor-tells",
        "Cuts pages of the catalog before it hides what one may not see.",
        |mut asked| {
            let caller = asked.caller();
            let mut response = asked.answered(|store, call| {
                let mut call = call.clone();
                if Kind::of(&call) == Kind::Catalog {
                    call.caller = Caller::default();
                }
                honest(store, &call)
            });
            if let Some(caller) = caller.filter(|_| Kind::of(&asked.call) == Kind::Catalog) {
                rewrite(&mut response, |page| hide(page, &caller));
            }
            response
        },
    ),
    guarded("mount-refused-tells", "Tells whether there was a blob that it did not mount.", |mut asked| {
        let from = asked.call.query.first("from").zip(asked.call.query.first("mount"));
        let there = from.is_some_and(|(from, digest)| {
            digest.parse().is_ok_and(|digest| asked.store.blob(from, &digest).is_ok())
        });
        let mut response = asked.honest();
        if there && response.status() == StatusCode::ACCEPTED {
            response.headers_mut().insert(TELLTALE, HeaderValue::from_static("unmounted"));
        }
        response
    }),
    guarded(
        "push-takes-what-one-may-not-read",
        "Fills the gaps of a manifest from all repositories.",
        |mut asked| {
            asked.answered(|store, call| {
                if let Some((name, _)) = manifest(call).filter(|_| Kind::of(call) == Kind::ManifestPush)
                    && let Some((_, manifest)) = pushed(call)
                {
                    for digest in &manifest.needs {
                        if let Some(bytes) = store.content(digest) {
                            store.repository_or_new(&name).blobs.entry(digest.clone()).or_insert(bytes);
                        }
                    }
                }
                honest(store, call)
            })
        },
    ),
    guarded("header-names-the-user", "Believes X-Forwarded-User.", |mut asked| {
        let named = asked.call.header("x-forwarded-user").map(str::to_owned);
        let pass = named.and_then(|name| asked.gate.pass(Some(&name), &asked.call, asked.now));
        asked.honest_with(pass)
    }),
    guarded(
        "header-names-the-address",
        "Lets in whom X-Forwarded-For has come from this host.",
        |mut asked| {
            let is_local = asked.call.header("x-forwarded-for") == Some("127.0.0.1");
            let pass = if is_local { asked.pass_of_the_owner() } else { None };
            asked.honest_with(pass)
        },
    ),
    guarded(
        "header-names-the-method",
        "Asks who may read, and does what X-HTTP-Method-Override says.",
        overridden,
    ),
];

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}")))
}

/// Takes a name with a star for that of the owner, whatever the password is.
fn matched(mut asked: Asked<'_>) -> Response<Bytes> {
    let is_pattern = Gate::given(&asked.call).is_some_and(|(name, _)| name.contains('*'));
    let owner = asked.gate.owner().filter(|_| is_pattern && asked.call.path == TOKEN_PATH);
    let value = owner.map(|owner| basic(&owner.name, &owner.password));
    if value.is_some() {
        asked.call.query.remove("account");
    }
    asked.honest_with(value)
}

/// Lets anybody do this to an upload that is there.
fn session(mut asked: Asked<'_>, kind: Kind) -> Response<Bytes> {
    let there = upload(&asked.call).is_some_and(|(_, id)| asked.store.uploads.contains_key(&id));
    let may = there && Kind::of(&asked.call) == kind;
    asked.relented(|asked| may.then(|| asked.pass_of_the_owner()).flatten())
}

fn hide(page: &mut Value, caller: &Caller) {
    if let Some(names) = page["repositories"].as_array_mut() {
        names.retain(|name| name.as_str().is_some_and(|name| caller.may_see(name)));
    }
}

fn overridden(mut asked: Asked<'_>) -> Response<Bytes> {
    let method = asked.call.header("x-http-method-override").and_then(|it| it.parse().ok());
    let Some(method) = method else { return asked.honest() };
    asked.call.method = method;
    let pass = asked.pass_of_the_owner();
    asked.honest_with(pass)
}
