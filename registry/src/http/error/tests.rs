//! Goal: every failure has a status, a code and a row in `docs/http-statuses.md`, and no row is
//! about nothing; and nobody is told what is not theirs to know (P8, P11). Method: one value of every
//! variant, which does not compile while one is left out; a snapshot of what they become.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use super::*;
use crate::auth::keep::KeepError;
use crate::auth::{CredentialsError, TokenError};
use crate::backend::{Error as Backend, Key};
use crate::oci::{Algorithm, Hasher, ManifestError, ReferenceError, RepositoryName, Tag};
use crate::repository::Error as Repository;
use crate::store::Error as Store;
use crate::upstream::Error as Upstream;
use crate::upstream::error::{Fault, Phase, Wrong};

/// What no answer may say.
const SECRET: &str = "secret-place";

fn digest(content: &[u8]) -> Digest {
    Hasher::digest(Algorithm::Sha256, content)
}

fn name() -> RepositoryName {
    RepositoryName::parse("team/app").unwrap()
}

fn tag() -> Tag {
    Tag::parse("v1").unwrap()
}

fn key() -> Key {
    Key::new(SECRET)
}

fn system() -> std::io::Error {
    std::io::Error::other(SECRET)
}

fn stored(error: Store) -> Error {
    Error::Repository(error.into())
}

fn of_upstream(error: Upstream) -> Error {
    Error::Repository(error.into())
}

fn upstream() -> Arc<str> {
    Arc::from("hub")
}

/// Makes `every` of patterns and one value of each, and does not compile while a variant that has a
/// status of its own is left out.
macro_rules! every {
    ($($pattern:pat => $value:expr,)+) => {
        fn every() -> Vec<Error> {
            let _complete = |error: &Error| match error { $($pattern => {})+ };
            let values = vec![$({
                let value: Error = $value;
                assert!(matches!(value, $pattern), "{value:?} is not what stands before it");
                value
            }),+];
            values
        }
    };
}

every! {
    Error::RateLimited { .. } => Error::RateLimited { wait: Duration::from_millis(1200) },
    Error::Route(RouteError::Path) => RouteError::Path.into(),
    Error::Route(RouteError::Encoding) => RouteError::Encoding.into(),
    Error::Route(RouteError::Method { .. }) => RouteError::Method { allowed: &[Verb::Get, Verb::Head] }.into(),
    Error::Route(RouteError::Name(_)) => RouteError::Name(NameError::Empty).into(),
    Error::Route(RouteError::Reference(ReferenceError::Tag(_))) => RouteError::Reference(TagError.into()).into(),
    Error::Route(RouteError::Reference(ReferenceError::Digest(_))) =>
        RouteError::Reference(Digest::parse("x").unwrap_err().into()).into(),
    Error::Route(RouteError::Digest(_)) => RouteError::Digest(Digest::parse("x:y").unwrap_err()).into(),
    Error::Route(RouteError::Upload) => RouteError::Upload.into(),
    Error::ApiKey(ApiKeyError::Wish) => ApiKeyError::Wish.into(),
    Error::ApiKey(ApiKeyError::Label) => ApiKeyError::Label.into(),
    Error::ApiKey(ApiKeyError::Scopes) => ApiKeyError::Scopes.into(),
    Error::ApiKey(ApiKeyError::Scope { .. }) => ApiKeyError::Scope { index: 1 }.into(),
    Error::ApiKey(ApiKeyError::Date) => ApiKeyError::Date.into(),
    Error::ApiKey(ApiKeyError::Past) => ApiKeyError::Past.into(),
    Error::ApiKey(ApiKeyError::TooMany) => ApiKeyError::TooMany.into(),
    Error::ApiKey(ApiKeyError::Others) => ApiKeyError::Others.into(),
    Error::ApiKey(ApiKeyError::Unknown) => ApiKeyError::Unknown.into(),
    Error::ApiKey(ApiKeyError::Keep(_)) => ApiKeyError::Keep(KeepError::new(system())).into(),
    Error::Query(QueryError::Encoding) => QueryError::Encoding.into(),
    Error::Query(QueryError::TooMany) => QueryError::TooMany.into(),
    Error::Query(QueryError::Ambiguous { key: "digest" }) => QueryError::Ambiguous { key: "digest" }.into(),
    Error::Query(QueryError::Ambiguous { .. }) => QueryError::Ambiguous { key: "n" }.into(),
    Error::Query(QueryError::Number { .. }) => QueryError::Number { key: "n" }.into(),
    Error::Digest(_) => Digest::parse("sha256:x").unwrap_err().into(),
    Error::Name(_) => RepositoryName::parse("A").unwrap_err().into(),
    Error::Tag(_) => TagError.into(),
    Error::DigestMissing => Error::DigestMissing,
    Error::TooManyTags { .. } => Error::TooManyTags { max: 100 },
    Error::ManifestTooLarge { .. } => Error::ManifestTooLarge { max: 4 },
    Error::BlobTooLarge { .. } => Error::BlobTooLarge { max: 4 },
    Error::ContentRange => Error::ContentRange,
    Error::ContentLength { .. } => Error::ContentLength { range: 4, length: 5 },
    Error::Range { .. } => Error::Range { size: 4 },
    Error::Precondition => Error::Precondition,
    Error::BodyBroken => Error::BodyBroken,
    Error::Host => Error::Host,
    Error::SeveralAuthorizations => Error::SeveralAuthorizations,
    Error::Login(LoginError::Refused) => LoginError::Refused.into(),
    Error::Login(LoginError::Malformed(_)) => LoginError::Malformed(CredentialsError::Base64).into(),
    Error::Login(LoginError::UnsupportedScheme) => LoginError::UnsupportedScheme.into(),
    Error::Login(LoginError::Token(_)) => LoginError::Token(TokenError::Expired).into(),
    Error::Login(LoginError::Unavailable) => LoginError::Unavailable.into(),
    Error::Login(LoginError::Held { .. }) => LoginError::Held { wait: Duration::from_secs(2) }.into(),
    Error::Login(LoginError::Overloaded) => LoginError::Overloaded.into(),
    Error::Refused { refusal: Refusal::Unauthenticated } => Refusal::Unauthenticated.into(),
    Error::Refused { refusal: Refusal::InsufficientScope } => Refusal::InsufficientScope.into(),
    Error::GrantType => Error::GrantType,
    Error::Refused { refusal: Refusal::Denied } => Refusal::Denied.into(),
    Error::Refused { refusal: Refusal::Condition { .. } } => Refusal::Condition { message: "no".into() }.into(),
    Error::Repository(Repository::Store(Store::Backend(Backend::Full { .. }))) =>
        stored(Backend::Full { operation: "write", key: key(), source: system() }.into()),
    Error::Repository(Repository::Store(Store::Backend(Backend::Denied { .. }))) =>
        stored(Backend::Denied { operation: "write", key: key(), source: system() }.into()),
    Error::Repository(Repository::Store(Store::Backend(Backend::Io { .. }))) =>
        stored(Backend::Io { operation: "write", key: key(), source: system() }.into()),
    Error::Repository(Repository::Store(Store::Backend(Backend::TooLarge { .. }))) =>
        stored(Backend::TooLarge { key: key(), size: 4 }.into()),
    Error::Repository(Repository::Store(Store::Backend(Backend::Unreachable { .. }))) =>
        stored(Backend::Unreachable { operation: "put", key: key(), source: system() }.into()),
    Error::Repository(Repository::Store(Store::Backend(Backend::Contended { .. }))) =>
        stored(Backend::Contended { key: key() }.into()),
    Error::Repository(Repository::Store(Store::Backend(Backend::Abandoned { .. }))) =>
        stored(Backend::Abandoned { key: key() }.into()),
    Error::Repository(Repository::Store(Store::Record { .. })) =>
        stored(Store::Record { key: key(), source: serde_json::from_str::<u8>(SECRET).unwrap_err() }),
    Error::Repository(Repository::Store(Store::Version { .. })) => stored(Store::Version { found: 2, known: 1 }),
    Error::Repository(Repository::Store(Store::Damaged { .. })) =>
        stored(Store::Damaged { digest: digest(b"a"), expected: 4, found: None }),
    Error::Repository(Repository::Store(Store::BlobUnknown { .. })) => stored(Store::BlobUnknown { digest: digest(b"a") }),
    Error::Repository(Repository::Store(Store::ManifestUnknown { .. })) =>
        stored(Store::ManifestUnknown { digest: digest(b"a") }),
    Error::Repository(Repository::Store(Store::TagUnknown { .. })) => stored(Store::TagUnknown { tag: tag() }),
    Error::Repository(Repository::Store(Store::TagTaken { .. })) => stored(Store::TagTaken { tag: tag() }),
    Error::Repository(Repository::Store(Store::TagChanged { .. })) => stored(Store::TagChanged { tag: tag() }),
    Error::Repository(Repository::Store(Store::ReferencesMissing { .. })) =>
        stored(Store::ReferencesMissing { digests: vec![digest(b"a"), digest(b"b")] }),
    Error::Repository(Repository::Store(Store::Referenced { .. })) =>
        stored(Store::Referenced { digest: digest(b"a"), by: digest(b"b") }),
    Error::Repository(Repository::Store(Store::TagCame { .. })) =>
        stored(Store::TagCame { digest: digest(b"a"), tag: tag() }),
    Error::Repository(Repository::Store(Store::UploadUnknown)) => stored(Store::UploadUnknown),
    Error::Repository(Repository::Store(Store::UploadBusy { .. })) => stored(Store::UploadBusy { offset: 4 }),
    Error::Repository(Repository::Store(Store::UploadOffset { .. })) => stored(Store::UploadOffset { offset: 4 }),
    Error::Repository(Repository::Store(Store::UploadLength { .. })) =>
        stored(Store::UploadLength { declared: 4, received: 5 }),
    Error::Repository(Repository::Store(Store::UploadsFull { .. })) => stored(Store::UploadsFull { max: 4 }),
    Error::Repository(Repository::Store(Store::TooLarge { .. })) => stored(Store::TooLarge { max: 4 }),
    Error::Repository(Repository::Store(Store::BodyBroken { .. })) => stored(Store::BodyBroken { offset: 4 }),
    Error::Repository(Repository::Store(Store::DigestMismatch { .. })) =>
        stored(Store::DigestMismatch { expected: digest(b"a"), actual: digest(b"b") }),
    Error::Repository(Repository::Store(Store::NotKept)) => stored(Store::NotKept),
    Error::Repository(Repository::Store(Store::Abandoned)) => stored(Store::Abandoned),
    Error::Repository(Repository::Upstream(Upstream::NotFound { .. })) =>
        of_upstream(Upstream::NotFound { upstream: upstream() }),
    Error::Repository(Repository::ManifestCollision { .. }) =>
        Error::Repository(Repository::ManifestCollision { digest: digest(b"a"), tags: 2 }),
    Error::Repository(Repository::Refused { .. }) =>
        Error::Repository(Repository::Refused { refusal: Refusal::Denied }),
    Error::Repository(Repository::Upstream(Upstream::Unsigned { .. })) =>
        of_upstream(Upstream::Unsigned { upstream: upstream() }),
    Error::Repository(Repository::Upstream(Upstream::Denied { .. })) =>
        of_upstream(Upstream::Denied { upstream: upstream() }),
    Error::Repository(Repository::Upstream(Upstream::RateLimited { retry_after: None, .. })) =>
        of_upstream(Upstream::RateLimited { upstream: upstream(), retry_after: None }),
    Error::Repository(Repository::Upstream(Upstream::RateLimited { .. })) =>
        of_upstream(Upstream::RateLimited { upstream: upstream(), retry_after: Some(Duration::from_secs(30)) }),
    Error::Repository(Repository::Upstream(Upstream::Status { .. })) =>
        of_upstream(Upstream::Status { upstream: upstream(), status: 500, retry_after: None }),
    Error::Repository(Repository::Upstream(Upstream::Unreachable { .. })) =>
        of_upstream(Upstream::Unreachable { upstream: upstream(), fault: Fault::Connect }),
    Error::Repository(Repository::Upstream(Upstream::Timeout { .. })) =>
        of_upstream(Upstream::Timeout { upstream: upstream(), phase: Phase::Head }),
    Error::Repository(Repository::Upstream(Upstream::Paused { .. })) =>
        of_upstream(Upstream::Paused { upstream: upstream(), retry_after: Duration::from_millis(8500) }),
    Error::Repository(Repository::Upstream(Upstream::Wrong { .. })) =>
        of_upstream(Upstream::Wrong { upstream: upstream(), reason: Wrong::Digest }),
    Error::Repository(Repository::Manifest(_)) => Error::Repository(ManifestError::Untyped.into()),
    Error::Repository(Repository::ManifestDigest { .. }) =>
        Error::Repository(Repository::ManifestDigest { expected: digest(b"a"), actual: digest(b"b") }),
    Error::Repository(Repository::TagUnknown { .. }) =>
        Error::Repository(Repository::TagUnknown { repository: name(), tag: tag() }),
    Error::Repository(Repository::ManifestUnknown { .. }) =>
        Error::Repository(Repository::ManifestUnknown { repository: name(), digest: digest(b"a") }),
    Error::Repository(Repository::BlobUnknown { .. }) =>
        Error::Repository(Repository::BlobUnknown { repository: name(), digest: digest(b"a") }),
    Error::Repository(Repository::NameUnknown { .. }) => Error::Repository(Repository::NameUnknown { repository: name() }),
    Error::Upload { .. } => Error::Upload {
        source: Store::UploadOffset { offset: 4 }.into(),
        location: "/v2/team/app/blobs/uploads/<id>".to_owned(),
    },
    Error::Panic => Error::Panic,
}

/// Returns the rows of the page: status and code, and the cells after them.
fn rows(page: &str) -> Vec<(String, Vec<&str>)> {
    let section = page.split("\n## ").find(|section| section.starts_with("Errors\n")).unwrap();
    let lines = section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| status"));
    let cells = lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    cells.map(|cells| (format!("{} {}", cells[0], cells[1]), cells[2..].to_vec())).collect()
}

#[test]
fn the_page_has_a_row_for_every_error_and_no_other() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/http-statuses.md")).unwrap();
    let rows = rows(&page);
    for (row, cells) in &rows {
        assert!(
            cells.len() == 3 && cells.iter().all(|cell| !cell.is_empty()),
            "{row} says when, and what to do: {cells:?}"
        );
    }
    let written: Vec<&str> = rows.iter().map(|(row, _)| row.as_str()).collect();
    let answered: BTreeSet<String> = every()
        .iter()
        .map(|error| format!("{} {}", error.status().as_u16(), error.code().as_str()))
        .collect();
    assert_eq!(
        written,
        answered.iter().collect::<Vec<_>>(),
        "docs/http-statuses.md, in the order of the statuses"
    );
}

#[test]
fn what_errors_become() {
    let mut table = String::new();
    for error in every() {
        let (status, headers, body) = render(&error, Some("Basic realm=\"r\""));
        let level = error.level().to_string().to_lowercase();
        write!(table, "{} {level}", status.as_u16()).unwrap();
        for (name, value) in headers.iter().filter(|(name, _)| *name != "content-type") {
            write!(table, " ({name}: {})", value.to_str().unwrap()).unwrap();
        }
        writeln!(table, "\n  {}", String::from_utf8(body).unwrap()).unwrap();
    }
    for content in [b"a", b"b"] {
        table = table.replace(&digest(content).hex(), std::str::from_utf8(content).unwrap());
    }
    insta::assert_snapshot!(table.trim_end());
}

#[test]
fn p11_no_error_tells_a_place_or_a_systems_words() {
    for error in every() {
        let body = error.body().to_string();
        assert!(!body.contains(SECRET), "{body}");
    }
}

/// Who must act on it: nobody for what clients do, somebody for what this registry cannot do.
#[test]
fn the_level_follows_the_side() {
    for error in every() {
        let (status, level) = (error.status(), error.level());
        let is_upstreams = matches!(error, Error::Repository(Repository::Upstream(_)));
        let expect = match status.as_u16() {
            500 | 507 => Level::ERROR,
            503 if !is_upstreams => Level::ERROR,
            _ if is_upstreams => Level::WARN,
            _ => Level::INFO,
        };
        assert_eq!(level, expect, "{status} {error:?}");
    }
}

/// A 401 without a challenge tells nobody how to log in; a 405 and a 429 have their headers too.
#[test]
fn statuses_have_the_headers_that_they_ask_for() {
    for error in every() {
        let headers = error.headers(Some("Basic realm=\"r\""));
        let needed = match error.status().as_u16() {
            401 => Some(WWW_AUTHENTICATE),
            405 => Some(ALLOW),
            429 => Some(RETRY_AFTER),
            _ => None,
        };
        if let Some(needed) = needed {
            assert!(headers.contains_key(&needed), "{needed} {error:?}");
        }
        assert!(!headers.contains_key(WWW_AUTHENTICATE) || error.status() == 401, "{error:?}");
        assert!(error.headers(None).get(WWW_AUTHENTICATE).is_none(), "{error:?}");
    }
}
