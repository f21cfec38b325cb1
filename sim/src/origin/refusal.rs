//! The errors of the origin: each is one code of the specification with one status.
//!
//! Spec: `spec.md#error-codes`.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};
use thiserror::Error;

/// Says why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    #[error("blob unknown to repository")]
    BlobUnknown(String),
    #[error("upload is out of step")]
    UploadOutOfStep { location: String, range: String },
    #[error("upload content is not what the request says")]
    UploadInvalid,
    #[error("upload unknown to repository")]
    UploadUnknown,
    #[error("digest is malformed, unsupported or not that of the content")]
    DigestInvalid(String),
    #[error("manifest references unknown content")]
    ManifestBlobUnknown(Vec<String>),
    #[error("manifest invalid: {0}")]
    ManifestInvalid(&'static str),
    #[error("manifest unknown to repository")]
    ManifestUnknown(String),
    #[error("invalid repository name")]
    NameInvalid(String),
    #[error("repository name not known to registry")]
    NameUnknown(String),
    #[error("content is too large")]
    TooLarge,
    #[error("too many tags in one request")]
    TooManyTags,
    #[error("invalid tag or digest")]
    ReferenceInvalid(String),
    #[error("invalid parameter {0}")]
    ParameterInvalid(&'static str),
    #[error("the endpoint does not support this method")]
    MethodUnsupported { allow: &'static str },
    #[error("no such endpoint")]
    EndpointUnknown,
    #[error("authentication required")]
    Unauthorized { challenge: String },
    #[error("the account may not do this")]
    Denied,
    #[error("this does not have the form that was asked for")]
    NotAcceptable,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::BlobUnknown(_)
            | Self::UploadUnknown
            | Self::ManifestUnknown(_)
            | Self::NameUnknown(_)
            | Self::EndpointUnknown => StatusCode::NOT_FOUND,
            Self::UploadOutOfStep { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::UploadInvalid
            | Self::DigestInvalid(_)
            | Self::ManifestBlobUnknown(_)
            | Self::ManifestInvalid(_)
            | Self::NameInvalid(_)
            | Self::ReferenceInvalid(_)
            | Self::ParameterInvalid(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyTags => StatusCode::URI_TOO_LONG,
            Self::MethodUnsupported { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthorized { .. } => StatusCode::UNAUTHORIZED,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::BlobUnknown(_) => "BLOB_UNKNOWN",
            Self::UploadOutOfStep { .. } | Self::UploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::UploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid(_) => "DIGEST_INVALID",
            Self::ManifestBlobUnknown(_) => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid(_) | Self::ReferenceInvalid(_) => "MANIFEST_INVALID",
            Self::ManifestUnknown(_) | Self::NotAcceptable => "MANIFEST_UNKNOWN",
            Self::NameInvalid(_) => "NAME_INVALID",
            Self::NameUnknown(_) | Self::EndpointUnknown => "NAME_UNKNOWN",
            Self::TooLarge => "SIZE_INVALID",
            Self::Unauthorized { .. } => "UNAUTHORIZED",
            Self::Denied => "DENIED",
            Self::TooManyTags | Self::ParameterInvalid(_) | Self::MethodUnsupported { .. } => "UNSUPPORTED",
        }
    }

    /// Returns one error object per missing digest, or one for everything else.
    fn errors(&self) -> Vec<Value> {
        let one =
            |detail: Value| json!({ "code": self.code(), "message": self.to_string(), "detail": detail });
        match self {
            Self::ManifestBlobUnknown(digests) => {
                digests.iter().map(|d| one(json!({ "digest": d }))).collect()
            }
            Self::BlobUnknown(what)
            | Self::DigestInvalid(what)
            | Self::ManifestUnknown(what)
            | Self::NameInvalid(what)
            | Self::NameUnknown(what)
            | Self::ReferenceInvalid(what) => vec![one(json!({ "reference": what }))],
            _ => vec![json!({ "code": self.code(), "message": self.to_string() })],
        }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut set = |name: HeaderName, value: &str| {
            // Only a service name that no header can hold is left out; everything else is visible ASCII.
            headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        };
        match self {
            Self::MethodUnsupported { allow } => set(header::ALLOW, allow),
            Self::Unauthorized { challenge } => set(header::WWW_AUTHENTICATE, challenge),
            Self::UploadOutOfStep { location, range } => {
                set(header::LOCATION, location);
                set(header::RANGE, range);
            }
            _ => {}
        }
        headers
    }

    /// Returns the response that says this.
    pub(super) fn response(&self) -> Response<Bytes> {
        let body = json!({ "errors": self.errors() });
        let mut response = Response::new(Bytes::from(body.to_string()));
        *response.status_mut() = self.status();
        *response.headers_mut() = self.headers();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}
