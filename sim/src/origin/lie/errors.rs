//! Lies about error bodies and warnings.

use http::{HeaderValue, header};
use serde_json::json;

use super::{
    Plan, plan,
    tools::{Kind, recode},
};
use crate::origin::dispatch::{honest, set};

/// Bytes of a warning that is too long.
const LONG_WARNING_BYTES: usize = 5000;

pub(super) const LIES: &[Plan] = &[
    plan("error-without-list", "Says errors in a JSON body of a shape of its own.", |store, call| {
        let mut response = honest(store, call);
        if response.status().is_client_error() && !response.body().is_empty() {
            *response.body_mut() = json!({"error": "refused"}).to_string().into();
        }
        response
    })
    .mutant(35),
    plan("error-code-unlisted", "Says errors of tags with a code that is not listed.", |store, call| {
        let mut response = honest(store, call);
        if response.status().is_client_error() && Kind::of(call) == Kind::Tags {
            *response.body_mut() = json!({"errors": [{"code": "TEAPOT"}]}).to_string().into();
        }
        response
    })
    .mutant(35),
    plan("error-code-in-lower-case", "Says the codes of malformed digests in lower case.", |store, call| {
        let mut response = honest(store, call);
        let text = String::from_utf8_lossy(response.body());
        if response.status().is_client_error() && text.contains("DIGEST_INVALID") {
            *response.body_mut() = text.replace("DIGEST_INVALID", "digest_invalid").into();
        }
        response
    })
    .mutant(35),
    plan("session-unknown-miscalled", "Says BLOB_UNKNOWN of a session that is not there.", |store, call| {
        let mut response = honest(store, call);
        recode(&mut response, "BLOB_UPLOAD_UNKNOWN", "BLOB_UNKNOWN");
        response
    })
    .mutant(35),
    plan("error-said-to-be-text", "Says that its JSON errors are text.", |store, call| {
        let mut response = honest(store, call);
        if response.status().is_client_error() {
            set(&mut response, header::CONTENT_TYPE, "text/plain");
        }
        response
    }),
    plan("warning-of-its-own-form", "Warns in a form of its own.", |store, call| {
        let mut response = honest(store, call);
        response.headers_mut().insert(header::WARNING, HeaderValue::from_static("this registry is slow"));
        response
    }),
    plan("warning-without-end", "Warns in five thousand bytes.", |store, call| {
        let mut response = honest(store, call);
        if Kind::of(call) == Kind::ManifestPull {
            set(&mut response, header::WARNING, &format!("299 - \"{}\"", "w".repeat(LONG_WARNING_BYTES)));
        }
        response
    }),
];
