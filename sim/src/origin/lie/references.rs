//! Lies about names and tags: the grammar, its limits, and what tries to get around it.

use bytes::Bytes;
use http::{Response, StatusCode};
use percent_encoding::percent_decode_str;

use super::{
    Plan, plan,
    tools::{Kind, misread, name, pushed, refuse_if},
};
use crate::origin::{
    dispatch::{Call, empty, honest},
    refusal::Refusal,
    route::{Endpoint, is_tag},
    store::Store,
};

pub(super) const LIES: &[Plan] = &[
    plan("name-case-folded", "Takes names in upper case for those in lower case.", |store, call| {
        if let Err(Refusal::NameInvalid(name)) = Endpoint::parse(&call.path) {
            call.path = call.path.replacen(&name, &name.to_ascii_lowercase(), 1);
        }
        honest(store, call)
    }),
    plan("name-cleaned", "Takes names outside the grammar, after cleaning them.", |store, call| {
        if let Err(Refusal::NameInvalid(name)) = Endpoint::parse(&call.path)
            && !name.bytes().any(|b| b.is_ascii_uppercase())
        {
            call.path = call.path.replacen(&name, &cleaned(&name), 1);
        }
        honest(store, call)
    }),
    plan("name-separators-refused", "Refuses names with `--` or `__` in them.", |store, call| {
        refuse_if(store, call, StatusCode::BAD_REQUEST, |_, call| {
            name(call).is_some_and(|it| it.contains("--") || it.contains("__"))
        })
    }),
    plan(
        "name-read-from-the-left",
        "Takes the words `blobs`, `manifests` and `tags` in a name for the endpoint.",
        |store, call| {
            refuse_if(store, call, StatusCode::NOT_FOUND, |_, call| {
                let words = ["blobs", "manifests", "tags"];
                name(call).is_some_and(|it| it.split('/').any(|part| words.contains(&part)))
            })
        },
    ),
    plan("name-of-255-breaks", "Breaks with 500 on names of 200 characters and more.", |store, call| {
        refuse_if(store, call, StatusCode::INTERNAL_SERVER_ERROR, |_, call| {
            name(call).is_some_and(|it| it.len() >= 200)
        })
    }),
    plan("path-serves-files", "Serves `/etc/passwd` to a path that climbs to it.", |store, call| {
        if call.is_read() && call.path.contains("etc/passwd") {
            return Response::new(Bytes::from_static(b"root:x:0:0:root:/root:/bin/sh\n"));
        }
        honest(store, call)
    }),
    plan("path-nul-breaks", "Breaks with 500 on a NUL in a path.", |store, call| {
        refuse_if(store, call, StatusCode::INTERNAL_SERVER_ERROR, |_, call| call.path.contains("%00"))
    }),
    plan("tag-grammar-loose", "Takes every text for a tag, `../` too.", tag_of_any_text).mutant(28),
    plan("tag-of-65-refused", "Refuses tags of more than 64 characters.", |store, call| {
        refuse_if(store, call, StatusCode::BAD_REQUEST, |_, call| {
            Kind::of(call) == Kind::ManifestPush && !last(call).contains(':') && last(call).len() > 64
        })
    }),
    plan("tag-case-folded", "Keeps tags in lower case.", |store, call| {
        let fold = |call: &mut Call| {
            let tag = last(call).to_ascii_lowercase();
            let from = call.path.len() - tag.len();
            call.path.replace_range(from.., &tag);
        };
        match Kind::of(call) {
            kind @ (Kind::ManifestPush | Kind::ManifestPull) => misread(store, call, kind, fold),
            _ => honest(store, call),
        }
    }),
];

/// Returns a name of the grammar that looks like this one.
fn cleaned(name: &str) -> String {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let parts = name.split('/').map(|part| part.trim_matches(|c| !is_word(c)));
    let parts = parts.filter(|part| !part.is_empty()).map(|part| part.replace(|c| !is_word(c), "-"));
    parts.collect::<Vec<_>>().join("/")
}

/// Returns the last segment of the path.
fn last(call: &Call) -> &str {
    call.path.rsplit('/').next().unwrap_or_default()
}

/// Stores a manifest under a tag that is none.
fn tag_of_any_text(store: &mut Store, call: &mut Call) -> Response<Bytes> {
    let tag = percent_decode_str(last(call)).decode_utf8_lossy().into_owned();
    let plain = format!("{}x", call.path.strip_suffix(last(call)).unwrap_or_default());
    if call.method != "PUT" || tag.is_empty() || tag.contains(':') || is_tag(&tag) {
        return honest(store, call);
    }
    match (Endpoint::parse(&plain), pushed(call)) {
        (Ok(Endpoint::Manifest { name, .. }), Some((digest, manifest))) => {
            let repository = store.repository_or_new(&name);
            repository.tags.insert(tag, digest.clone());
            repository.manifests.insert(digest, manifest);
            empty(StatusCode::CREATED)
        }
        _ => honest(store, call),
    }
}
