//! Every failure's code, status, headers and log level: four total functions.
//!
//! `docs/http-statuses.md` says for each what the user and the operator do; a test holds the two
//! together.

use std::time::Duration;

use http::StatusCode;
use http::header::{ALLOW, CONTENT_RANGE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::{Value, json};
use tracing::Level;

use super::headers;
use super::query::QueryError;
use super::route::{RouteError, Verb};
use crate::auth::{ApiKeyError, LoginError, Refusal};
use crate::oci::{Digest, DigestError, ErrorCode, NameError, TagError};
use crate::repository::{self, BackendError, StoreError, UpstreamError};

/// Why a request is not answered with what it asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client, or all of them, may send no more requests a second.
    #[error("there are too many requests a second; try again later")]
    RateLimited {
        /// How long until it takes one more.
        wait: Duration,
    },
    /// The method or path is wrong.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The query is wrong.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A digest in the query is wrong.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// A name in the query is wrong.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A tag in the query is wrong.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// The query lacks the digest that closes an upload.
    #[error("the query has no digest")]
    DigestMissing,
    /// A manifest push names too many tags.
    #[error("a push may set at most {max} tags")]
    TooManyTags {
        /// The limit.
        max: usize,
    },
    /// A manifest is too large.
    #[error("the manifest is larger than {max} bytes")]
    ManifestTooLarge {
        /// The limit, in bytes.
        max: u64,
    },
    /// A blob announces more bytes than allowed.
    #[error("the blob is larger than {max} bytes")]
    BlobTooLarge {
        /// The limit, in bytes.
        max: u64,
    },
    /// A `Content-Range` is malformed.
    #[error("the Content-Range is not <start>-<last>")]
    ContentRange,
    /// The `Content-Range` and the `Content-Length` contradict each other.
    #[error("the Content-Range has {range} bytes and the Content-Length says {length}")]
    ContentLength {
        /// The length of the range.
        range: u64,
        /// The announced length.
        length: u64,
    },
    /// None of the ranges asked for is there.
    #[error("the blob has {size} bytes, and none of the ranges is inside")]
    Range {
        /// The blob's size.
        size: u64,
    },
    /// A precondition that cannot be held.
    #[error("the precondition does not hold")]
    Precondition,
    /// The body of a manifest's push broke off.
    #[error("the request body broke off")]
    BodyBroken,
    /// A request names no host, several, or none that is one.
    #[error("there is not one Host header that names a host")]
    Host,
    /// There are several `Authorization` headers.
    #[error("there is more than one Authorization header")]
    SeveralAuthorizations,
    /// The form of a request for a token says neither that there is a password, nor a refresh token, nor one to exchange.
    #[error("grant_type is neither password nor refresh_token nor token-exchange of a JWT")]
    GrantType,
    /// A key cannot be made, or there is none.
    #[error(transparent)]
    ApiKey(#[from] ApiKeyError),
    /// Who asks could not be told.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// Who asks may not.
    #[error("{}", match .refusal {
        Refusal::Unauthenticated => "authentication is required".to_owned(),
        Refusal::InsufficientScope => "the token is not for this".to_owned(),
        Refusal::Denied => "the requested access is denied".to_owned(),
        Refusal::Condition { message } => format!("the requested access is denied: {message}"),
    })]
    Refused {
        /// In which way.
        refusal: Refusal,
    },
    /// The repository refused or failed.
    #[error(transparent)]
    Repository(repository::Error),
    /// The same, about an upload, of which the client is told where it stands.
    #[error("{source}")]
    Upload {
        /// What went wrong.
        source: repository::Error,
        /// The upload's path.
        location: String,
    },
    /// The handler panicked.
    #[error("something went wrong inside this registry")]
    Panic,
}

impl From<repository::Error> for Error {
    fn from(error: repository::Error) -> Self {
        match error {
            repository::Error::Refused { refusal } => Self::Refused { refusal },
            error => Self::Repository(error),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Repository(error.into())
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused { refusal }
    }
}

impl Error {
    /// Returns the code of the error body.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::RateLimited { .. } => ErrorCode::TooManyRequests,
            Self::Route(error) => match error {
                RouteError::Path | RouteError::Method { .. } => ErrorCode::Unsupported,
                RouteError::Encoding | RouteError::Name(_) => ErrorCode::NameInvalid,
                RouteError::Reference(crate::oci::ReferenceError::Tag(_)) => ErrorCode::ManifestInvalid,
                RouteError::Reference(crate::oci::ReferenceError::Digest(_)) | RouteError::Digest(_) => {
                    ErrorCode::DigestInvalid
                }
                RouteError::Upload => ErrorCode::BlobUploadUnknown,
            },
            Self::Query(QueryError::Ambiguous { key: "digest" }) | Self::Digest(_) | Self::DigestMissing => {
                ErrorCode::DigestInvalid
            }
            Self::Query(_)
            | Self::Precondition
            | Self::Host
            | Self::SeveralAuthorizations
            | Self::GrantType => ErrorCode::Unsupported,
            Self::Name(_) => ErrorCode::NameInvalid,
            Self::Tag(_) | Self::TooManyTags { .. } | Self::BodyBroken => ErrorCode::ManifestInvalid,
            Self::ManifestTooLarge { .. }
            | Self::BlobTooLarge { .. }
            | Self::ContentLength { .. }
            | Self::Range { .. } => ErrorCode::SizeInvalid,
            Self::ContentRange => ErrorCode::BlobUploadInvalid,
            Self::Login(error) => match error {
                LoginError::Overloaded | LoginError::Held { .. } => ErrorCode::TooManyRequests,
                LoginError::Unavailable => ErrorCode::Unknown,
                LoginError::Refused
                | LoginError::Malformed(_)
                | LoginError::UnsupportedScheme
                | LoginError::Token(_) => ErrorCode::Unauthorized,
            },
            Self::ApiKey(error) => match error {
                ApiKeyError::TooMany | ApiKeyError::Others => ErrorCode::Denied,
                ApiKeyError::Keep(_) => ErrorCode::Unknown,
                ApiKeyError::Wish
                | ApiKeyError::Label
                | ApiKeyError::Scopes
                | ApiKeyError::Scope { .. }
                | ApiKeyError::Date
                | ApiKeyError::Past
                | ApiKeyError::Unknown => ErrorCode::Unsupported,
            },
            Self::Refused { refusal: Refusal::Unauthenticated | Refusal::InsufficientScope } => {
                ErrorCode::Unauthorized
            }
            Self::Refused { refusal: Refusal::Denied | Refusal::Condition { .. } } => ErrorCode::Denied,
            Self::Repository(error) | Self::Upload { source: error, .. } => code_of(error),
            Self::Panic => ErrorCode::Unknown,
        }
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Route(error) => match error {
                RouteError::Path | RouteError::Upload => StatusCode::NOT_FOUND,
                RouteError::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
                RouteError::Encoding
                | RouteError::Name(_)
                | RouteError::Reference(_)
                | RouteError::Digest(_) => StatusCode::BAD_REQUEST,
            },
            Self::TooManyTags { .. } | Self::Query(QueryError::TooMany) => StatusCode::URI_TOO_LONG,
            Self::Query(_)
            | Self::Digest(_)
            | Self::Name(_)
            | Self::Tag(_)
            | Self::DigestMissing
            | Self::ContentRange
            | Self::ContentLength { .. }
            | Self::BodyBroken
            | Self::GrantType
            | Self::Host
            | Self::SeveralAuthorizations => StatusCode::BAD_REQUEST,
            Self::ManifestTooLarge { .. } | Self::BlobTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Range { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Precondition => StatusCode::PRECONDITION_FAILED,
            Self::RateLimited { .. } | Self::Login(LoginError::Overloaded | LoginError::Held { .. }) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::Login(LoginError::Unavailable) | Self::ApiKey(ApiKeyError::Keep(_)) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::ApiKey(ApiKeyError::Unknown) => StatusCode::NOT_FOUND,
            Self::ApiKey(ApiKeyError::TooMany | ApiKeyError::Others) => StatusCode::FORBIDDEN,
            Self::ApiKey(_) => StatusCode::BAD_REQUEST,
            Self::Login(_)
            | Self::Refused { refusal: Refusal::Unauthenticated | Refusal::InsufficientScope } => {
                StatusCode::UNAUTHORIZED
            }
            Self::Refused { refusal: Refusal::Denied | Refusal::Condition { .. } } => StatusCode::FORBIDDEN,
            Self::Repository(error) | Self::Upload { source: error, .. } => status_of(error),
            Self::Panic => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the headers beside those of every error; `challenge` is that of the access layer.
    pub fn headers(&self, challenge: Option<&str>) -> HeaderMap {
        let mut map = HeaderMap::new();
        let mut set = |name: HeaderName, text: &str| {
            if let Ok(value) = HeaderValue::from_str(text) {
                map.insert(name, value);
            }
        };
        match self {
            Self::Route(RouteError::Method { allowed }) => set(ALLOW, &Verb::list(allowed)),
            Self::Range { size } => set(CONTENT_RANGE, &format!("bytes */{size}")),
            Self::RateLimited { wait } | Self::Login(LoginError::Held { wait }) => {
                set(RETRY_AFTER, &whole_seconds(*wait).to_string());
            }
            Self::Login(LoginError::Overloaded | LoginError::Unavailable)
            | Self::ApiKey(ApiKeyError::Keep(_)) => set(RETRY_AFTER, "1"),
            Self::Login(_)
            | Self::Refused { refusal: Refusal::Unauthenticated | Refusal::InsufficientScope } => {
                if let Some(challenge) = challenge {
                    set(WWW_AUTHENTICATE, challenge);
                }
            }
            Self::Upload { source, location } => {
                if let Some(offset) = offset_of(source) {
                    set(http::header::LOCATION, location);
                    set(http::header::RANGE, &super::uploads::range_of(offset));
                }
                if let Some(wait) = retry_after(source) {
                    set(RETRY_AFTER, &whole_seconds(wait).to_string());
                }
            }
            // RFC 9110 §15.5.6: a 405 says what is allowed.
            Self::Repository(repository::Error::Store(StoreError::Referenced { .. })) => {
                set(ALLOW, &Verb::list(&[Verb::Get, Verb::Head]));
            }
            Self::Repository(error) => {
                if let Some(wait) = retry_after(error) {
                    set(RETRY_AFTER, &whole_seconds(wait).to_string());
                }
            }
            Self::Route(_)
            | Self::Query(_)
            | Self::Digest(_)
            | Self::Name(_)
            | Self::Tag(_)
            | Self::DigestMissing
            | Self::TooManyTags { .. }
            | Self::ManifestTooLarge { .. }
            | Self::BlobTooLarge { .. }
            | Self::ContentRange
            | Self::ContentLength { .. }
            | Self::Precondition
            | Self::BodyBroken
            | Self::GrantType
            | Self::Host
            | Self::SeveralAuthorizations
            | Self::ApiKey(_)
            | Self::Refused { refusal: Refusal::Denied | Refusal::Condition { .. } }
            | Self::Panic => {}
        }
        map
    }

    /// Returns how loudly the failure is logged: `error` when somebody must act.
    pub fn level(&self) -> Level {
        match self {
            Self::Panic | Self::Login(LoginError::Unavailable) | Self::ApiKey(ApiKeyError::Keep(_)) => {
                Level::ERROR
            }
            Self::Repository(error) | Self::Upload { source: error, .. } => match error {
                repository::Error::Store(
                    StoreError::Backend(_)
                    | StoreError::Record { .. }
                    | StoreError::Version { .. }
                    | StoreError::Damaged { .. }
                    | StoreError::NotKept
                    | StoreError::Abandoned,
                ) => Level::ERROR,
                repository::Error::Upstream(_) => Level::WARN,
                _ => Level::INFO,
            },
            _ => Level::INFO,
        }
    }

    /// Returns the body.
    ///
    /// A server's own trouble is told in general words: the particulars are in the log (P11).
    pub(super) fn body(&self) -> Value {
        let code = self.code().as_str();
        let entry = |detail: Value| json!({"code": code, "message": self.message(), "detail": detail});
        let entries = match self.missing() {
            Some(digests) => digests.iter().map(|digest| entry(json!({"digest": digest}))).collect(),
            None => vec![json!({"code": code, "message": self.message()})],
        };
        json!({ "errors": entries })
    }

    fn message(&self) -> String {
        match self {
            Self::Repository(error) | Self::Upload { source: error, .. } => message_of(error),
            other => other.to_string(),
        }
    }

    fn missing(&self) -> Option<&[Digest]> {
        match self {
            Self::Repository(repository::Error::Store(StoreError::ReferencesMissing { digests })) => {
                Some(digests)
            }
            _ => None,
        }
    }
}

fn code_of(error: &repository::Error) -> ErrorCode {
    match error {
        repository::Error::Store(error) => match error {
            StoreError::Backend(_)
            | StoreError::Record { .. }
            | StoreError::Version { .. }
            | StoreError::Damaged { .. }
            | StoreError::NotKept
            | StoreError::Abandoned => ErrorCode::Unknown,
            StoreError::BlobUnknown { .. } => ErrorCode::BlobUnknown,
            StoreError::ManifestUnknown { .. } | StoreError::TagUnknown { .. } => ErrorCode::ManifestUnknown,
            StoreError::TagTaken { .. } | StoreError::TagCame { .. } => ErrorCode::Denied,
            StoreError::TagChanged { .. } | StoreError::Referenced { .. } => ErrorCode::Unsupported,
            StoreError::ReferencesMissing { .. } => ErrorCode::ManifestBlobUnknown,
            StoreError::UploadUnknown => ErrorCode::BlobUploadUnknown,
            StoreError::UploadBusy { .. }
            | StoreError::UploadOffset { .. }
            | StoreError::BodyBroken { .. } => ErrorCode::BlobUploadInvalid,
            StoreError::UploadLength { .. } | StoreError::TooLarge { .. } => ErrorCode::SizeInvalid,
            StoreError::UploadsFull { .. } => ErrorCode::TooManyRequests,
            StoreError::DigestMismatch { .. } => ErrorCode::DigestInvalid,
        },
        repository::Error::Upstream(error) => match error {
            UpstreamError::RateLimited { .. } => ErrorCode::TooManyRequests,
            UpstreamError::Unsigned { .. } | UpstreamError::Denied { .. } => ErrorCode::Denied,
            UpstreamError::NotFound { .. } => ErrorCode::NameUnknown,
            UpstreamError::Status { .. }
            | UpstreamError::Unreachable { .. }
            | UpstreamError::Timeout { .. }
            | UpstreamError::Paused { .. }
            | UpstreamError::Wrong { .. } => ErrorCode::Unknown,
        },
        repository::Error::Refused { .. } | repository::Error::ManifestCollision { .. } => ErrorCode::Denied,
        repository::Error::Manifest(_) => ErrorCode::ManifestInvalid,
        repository::Error::ManifestDigest { .. } => ErrorCode::DigestInvalid,
        repository::Error::TagUnknown { .. } | repository::Error::ManifestUnknown { .. } => {
            ErrorCode::ManifestUnknown
        }
        repository::Error::BlobUnknown { .. } => ErrorCode::BlobUnknown,
        repository::Error::NameUnknown { .. } => ErrorCode::NameUnknown,
    }
}

fn status_of(error: &repository::Error) -> StatusCode {
    match error {
        repository::Error::Store(error) => match error {
            StoreError::Backend(BackendError::Full { .. }) | StoreError::NotKept => {
                StatusCode::INSUFFICIENT_STORAGE
            }
            StoreError::Backend(BackendError::Unreachable { .. } | BackendError::Contended { .. }) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            StoreError::Backend(_)
            | StoreError::Record { .. }
            | StoreError::Version { .. }
            | StoreError::Damaged { .. }
            | StoreError::Abandoned => StatusCode::INTERNAL_SERVER_ERROR,
            StoreError::BlobUnknown { .. }
            | StoreError::ManifestUnknown { .. }
            | StoreError::TagUnknown { .. }
            | StoreError::ReferencesMissing { .. }
            | StoreError::UploadUnknown => StatusCode::NOT_FOUND,
            StoreError::TagTaken { .. } => StatusCode::FORBIDDEN,
            StoreError::TagChanged { .. } => StatusCode::PRECONDITION_FAILED,
            StoreError::Referenced { .. } => StatusCode::METHOD_NOT_ALLOWED,
            StoreError::UploadBusy { .. } | StoreError::TagCame { .. } => StatusCode::CONFLICT,
            StoreError::UploadOffset { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
            StoreError::UploadLength { .. }
            | StoreError::BodyBroken { .. }
            | StoreError::DigestMismatch { .. } => StatusCode::BAD_REQUEST,
            StoreError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            StoreError::UploadsFull { .. } => StatusCode::TOO_MANY_REQUESTS,
        },
        repository::Error::Upstream(error) => match error {
            UpstreamError::NotFound { .. } => StatusCode::NOT_FOUND,
            UpstreamError::Unsigned { .. } | UpstreamError::Denied { .. } => StatusCode::FORBIDDEN,
            UpstreamError::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            UpstreamError::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            UpstreamError::Paused { .. } => StatusCode::SERVICE_UNAVAILABLE,
            UpstreamError::Status { .. }
            | UpstreamError::Unreachable { .. }
            | UpstreamError::Wrong { .. } => StatusCode::BAD_GATEWAY,
        },
        repository::Error::Refused { .. } => StatusCode::FORBIDDEN,
        repository::Error::ManifestCollision { .. } => StatusCode::CONFLICT,
        repository::Error::Manifest(_) | repository::Error::ManifestDigest { .. } => StatusCode::BAD_REQUEST,
        repository::Error::TagUnknown { .. }
        | repository::Error::ManifestUnknown { .. }
        | repository::Error::BlobUnknown { .. }
        | repository::Error::NameUnknown { .. } => StatusCode::NOT_FOUND,
    }
}

/// What a rate limit without a Retry-After is told as.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(5);

fn retry_after(error: &repository::Error) -> Option<Duration> {
    match error {
        repository::Error::Upstream(UpstreamError::RateLimited { retry_after, .. }) => {
            Some(retry_after.unwrap_or(RETRY_AFTER_DEFAULT))
        }
        repository::Error::Upstream(UpstreamError::Paused { retry_after, .. }) => Some(*retry_after),
        repository::Error::Store(
            StoreError::UploadsFull { .. }
            | StoreError::UploadBusy { .. }
            | StoreError::Backend(BackendError::Unreachable { .. } | BackendError::Contended { .. }),
        ) => Some(RETRY_AFTER_DEFAULT),
        _ => None,
    }
}

/// Rounds up: whoever comes back earlier would be refused again.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

fn offset_of(error: &repository::Error) -> Option<u64> {
    match error {
        repository::Error::Store(
            StoreError::UploadOffset { offset }
            | StoreError::UploadBusy { offset }
            | StoreError::BodyBroken { offset },
        ) => Some(*offset),
        _ => None,
    }
}

fn message_of(error: &repository::Error) -> String {
    match error {
        repository::Error::Store(StoreError::Backend(BackendError::Full { .. })) => {
            "the registry's disk is full".to_owned()
        }
        repository::Error::Store(StoreError::Backend(BackendError::Unreachable { .. })) => {
            "the registry's storage does not answer now; try again later".to_owned()
        }
        repository::Error::Store(StoreError::Backend(BackendError::Contended { .. })) => {
            "others are changing the same thing; try again".to_owned()
        }
        repository::Error::Store(
            StoreError::Backend(_)
            | StoreError::Record { .. }
            | StoreError::Version { .. }
            | StoreError::Damaged { .. }
            | StoreError::Abandoned,
        ) => "the registry's storage failed; its log says how".to_owned(),
        repository::Error::Store(error) => error.to_string(),
        repository::Error::Upstream(error) => error.to_string(),
        repository::Error::Manifest(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// Renders the headers and body of an error.
pub(super) fn render(error: &Error, challenge: Option<&str>) -> (StatusCode, HeaderMap, Vec<u8>) {
    let mut map = error.headers(challenge);
    map.insert(http::header::CONTENT_TYPE, headers::value("application/json"));
    (error.status(), map, serde_json::to_vec(&error.body()).unwrap_or_default())
}

/// What a client is told, before there is any request, that speaks HTTP on a port that speaks TLS.
pub(super) const SPEAKS_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain\r\n\
    Content-Length: 40\r\n\
    Connection: close\r\n\
    \r\n\
    this port speaks TLS: ask with https://\n";

#[cfg(test)]
mod tests;
