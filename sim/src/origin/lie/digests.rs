//! Lies about digests: which are taken, and what is compared with them.

use bytes::Bytes;
use http::{Response, StatusCode};

use super::{
    Plan,
    memory::{recall, remember},
    plan,
    tools::{Kind, behind, bent, manifest, misread, pushed, refuse_if, restatus, upload},
};
use crate::{
    digest::{Algorithm, Digest},
    origin::{
        dispatch::{Call, honest},
        route::Reference,
        store::Store,
        uploads::keep,
    },
};

/// Hexadecimal digits that a comparison of prefixes looks at.
const PREFIX_DIGITS: usize = 60;

pub(super) const LIES: &[Plan] = &[
    plan(
        "digest-may-be-missing",
        "Closes an upload without a digest, under that of its bytes.",
        |store, call| {
            if call.query.first("digest").is_none()
                && let Some(close) = Close::of(store, call)
            {
                call.query.set("digest", &close.own().to_string());
            }
            honest(store, call)
        },
    ),
    plan(
        "digest-missing-ends-the-session",
        "Forgets an upload that is closed without a digest.",
        |store, call| {
            behind(store, call, Kind::Close, StatusCode::BAD_REQUEST, |store, call| {
                if let Some((_, id)) = upload(call).filter(|_| call.query.first("digest").is_none()) {
                    store.uploads.remove(&id);
                }
            })
        },
    ),
    plan("digest-case-ignored", "Takes a digest in upper case for the one in lower case.", |store, call| {
        misread(store, call, Kind::Close, |call| {
            let lower = call.query.first("digest").unwrap_or_default().to_ascii_lowercase();
            call.query.set("digest", &lower);
        })
    })
    .mutant(5),
    plan("digest-algorithm-ignored", "Takes a digest of any algorithm for the right one.", |store, call| {
        let known = |it: &str| it.starts_with("sha256:") || it.starts_with("sha512:") || !it.contains(':');
        if call.query.first("digest").is_some_and(|it| !known(it))
            && let Some(close) = Close::of(store, call)
        {
            call.query.set("digest", &close.own().to_string());
        }
        honest(store, call)
    }),
    plan("digest-last-wins", "Reads the last of two digests that disagree.", |store, call| {
        misread(store, call, Kind::Close, |call| {
            if let Some(digest) = call.query.all("digest").last().map(str::to_owned) {
                call.query.set("digest", &digest);
            }
        })
    }),
    plan(
        "digest-unchecked",
        "Stores a blob that comes whole with its PUT under any digest.",
        |store, call| match Close::of(store, call).filter(Close::is_wrong_whole) {
            Some(close) => close.store_as_claimed(store),
            None => honest(store, call),
        },
    )
    .mutant(1),
    plan(
        "digest-unchecked-in-post",
        "Stores a blob that comes whole with its POST under any digest.",
        post_unchecked,
    )
    .mutant(1),
    plan("digest-prefix-compared", "Compares only the first sixty digits of a digest.", |store, call| {
        match Close::of(store, call).filter(|it| it.is_wrong() && it.is_near()) {
            Some(close) => close.store_as_claimed(store),
            None => honest(store, call),
        }
    })
    .mutant(5),
    plan("digest-mismatch-is-409", "Answers 409 to a blob that does not have its digest.", |store, call| {
        let is_wrong = Close::of(store, call).is_some_and(|close| close.is_wrong());
        bent(store, call, Kind::Close, |_, response| {
            if is_wrong {
                restatus(response, StatusCode::BAD_REQUEST, StatusCode::CONFLICT);
            }
        })
    }),
    plan(
        "digest-mismatch-is-kept",
        "Refuses a blob that does not have its digest, and stores it so.",
        |store, call| {
            let close = Close::of(store, call).filter(Close::is_wrong_whole);
            let response = honest(store, call);
            if let Some(close) = close {
                close.store_as_claimed(store);
            }
            response
        },
    ),
    plan(
        "digest-mismatch-is-corrected",
        "Refuses a blob that does not have its digest, and stores it under its own.",
        |store, call| {
            let close = Close::of(store, call).filter(Close::is_wrong_whole);
            let response = honest(store, call);
            if let Some(close) = close {
                keep(store, &close.name, close.own(), close.bytes.clone());
            }
            response
        },
    ),
    plan(
        "sha512-kept-as-sha256",
        "Stores a blob that is pushed by sha512 under its sha256.",
        |store, call| match Close::of(store, call).filter(|it| it.is_right() && it.is_long()) {
            Some(close) => {
                let response = honest(store, call);
                let own = Digest::sha256_of(&close.bytes);
                if let Ok(repository) = store.repository_mut(&close.name) {
                    repository.blobs.retain(|digest, _| Some(digest) != close.claimed.as_ref());
                    repository.blobs.insert(own, close.bytes);
                }
                response
            }
            None => honest(store, call),
        },
    )
    .mutant(6),
    plan("sha512-hint-refused", "Refuses an upload that is announced as sha512.", |store, call| {
        refuse_if(store, call, StatusCode::BAD_REQUEST, |_, call| {
            call.query.first("digest-algorithm") == Some("sha512")
        })
    }),
    plan("hint-unread", "Begins an upload that is announced in an unknown algorithm.", |store, call| {
        misread(store, call, Kind::Start, |call| call.query.remove("digest-algorithm"))
    }),
    plan(
        "hint-trusted",
        "Compares nothing when an upload is closed in another algorithm than announced.",
        trusted_hint,
    ),
    plan("other-algorithm-guessed", "Serves some manifest for an unknown sha512.", |store, call| {
        if let Some((name, Reference::Digest(digest))) = manifest(call)
            && digest.algorithm() == Algorithm::Sha512
            && let Ok(repository) = store.repository(&name)
            && !repository.manifests.contains_key(&digest)
            && let Some(other) = repository.manifests.keys().next()
        {
            call.path = format!("/v2/{name}/manifests/{other}");
        }
        honest(store, call)
    }),
    plan("manifest-digest-unchecked", "Stores a manifest under any digest.", |store, call| match mismatched(
        call,
    ) {
        Some((name, claimed)) => {
            call.path = format!("/v2/{name}/manifests/{}", Digest::sha256_of(&call.body));
            let response = honest(store, call);
            if let Some((own, stored)) = pushed(call)
                && response.status() == StatusCode::CREATED
            {
                let repository = store.repository_or_new(&name);
                repository.manifests.remove(&own);
                repository.manifests.insert(claimed, stored);
            }
            response
        }
        None => honest(store, call),
    })
    .mutant(27),
    plan(
        "manifest-mismatch-is-kept",
        "Refuses a manifest that does not have its digest, and stores it under its own.",
        |store, call| {
            let response = honest(store, call);
            if let (Some((name, _)), Some((own, stored))) = (mismatched(call), pushed(call)) {
                store.repository_or_new(&name).manifests.insert(own, stored);
            }
            response
        },
    ),
];

/// A closing PUT with everything that the upload will be.
struct Close {
    name: String,
    claimed: Option<Digest>,
    bytes: Bytes,
    is_whole: bool,
}

impl Close {
    fn of(store: &Store, call: &Call) -> Option<Self> {
        let (name, id) = upload(call).filter(|_| Kind::of(call) == Kind::Close)?;
        let upload = store.uploads.get(&id).filter(|upload| upload.name == name)?;
        let mut bytes = upload.bytes.clone();
        let is_whole = bytes.is_empty();
        bytes.extend_from_slice(&call.body);
        let claimed = call.query.first("digest").and_then(|it| it.parse().ok());
        Some(Self { name, claimed, bytes: bytes.freeze(), is_whole })
    }

    fn own(&self) -> Digest {
        Digest::sha256_of(&self.bytes)
    }

    fn is_right(&self) -> bool {
        self.claimed.as_ref().is_some_and(|it| it.names(&self.bytes))
    }

    fn is_wrong(&self) -> bool {
        self.claimed.as_ref().is_some_and(|it| !it.names(&self.bytes))
    }

    /// Whether it is wrong, and came with this one request: what is stored cannot depend on a race.
    fn is_wrong_whole(&self) -> bool {
        self.is_whole && self.is_wrong()
    }

    fn is_near(&self) -> bool {
        let digits = "sha256:".len() + PREFIX_DIGITS;
        self.claimed.as_ref().is_some_and(|it| it.to_string()[..digits] == self.own().to_string()[..digits])
    }

    fn is_long(&self) -> bool {
        self.claimed.as_ref().is_some_and(|it| it.algorithm() == Algorithm::Sha512)
    }

    fn store_as_claimed(self, store: &mut Store) -> Response<Bytes> {
        let digest = self.claimed.unwrap_or_else(|| Digest::sha256_of(&self.bytes));
        keep(store, &self.name, digest, self.bytes)
    }
}

/// Returns repository and claimed digest of a manifest that has another one.
fn mismatched(call: &Call) -> Option<(String, Digest)> {
    match manifest(call).filter(|_| Kind::of(call) == Kind::ManifestPush)? {
        (name, Reference::Digest(digest)) if !digest.names(&call.body) => Some((name, digest)),
        _ => None,
    }
}

fn post_unchecked(store: &mut Store, call: &mut Call) -> Response<Bytes> {
    let claimed = call.query.first("digest").and_then(|it| it.parse::<Digest>().ok());
    let name = super::tools::name(call).filter(|_| Kind::of(call) == Kind::Start);
    match (name, claimed) {
        (Some(name), Some(digest)) if call.query.first("mount").is_none() => {
            keep(store, &name, digest, call.body.clone())
        }
        _ => honest(store, call),
    }
}

fn trusted_hint(store: &mut Store, call: &mut Call) -> Response<Bytes> {
    const HINT: &str = "hint";
    if let Some(close) = Close::of(store, call)
        && let Some((name, id)) = upload(call)
        && recall(store, HINT, &name, &id).is_some()
        && !close.is_long()
    {
        return close.store_as_claimed(store);
    }
    let response = honest(store, call);
    let location = response.headers().get(http::header::LOCATION).and_then(|it| it.to_str().ok());
    if Kind::of(call) == Kind::Start
        && call.query.first("digest-algorithm") == Some("sha512")
        && let (Some(name), Some(id)) =
            (super::tools::name(call), location.and_then(|it| it.rsplit('/').next()))
    {
        remember(store, HINT, &name, id, b"sha512");
    }
    response
}
