//! Sending a request and holding its answer against what every answer must have; and transcripts
//! of answers for snapshots.
//!
//! *Spec:* `spec.md#error-codes`, `spec.md#warnings`.

use std::fmt::Write as _;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use wharfinger::oci::{Algorithm, Hasher};

use crate::support::{Answer, Client};

/// The codes that a client may be told, and `UNKNOWN` for what is no client's fault.
const CODES: [&str; 14] = [
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "UNAUTHORIZED",
    "DENIED",
    "UNSUPPORTED",
    "TOOMANYREQUESTS",
];

/// Headers of a request.
pub(super) type Headers<'a> = &'a [(&'a str, &'a str)];

/// Sends a request, and checks what every answer of the API must have.
pub(super) async fn ask(
    client: &Client,
    method: &str,
    path: &str,
    headers: Headers<'_>,
    body: impl Into<Body>,
) -> Answer {
    let answer = client.call(method, path, headers, body).await;
    check(method, path, &answer);
    answer
}

/// Sends a request without headers or a body.
pub(super) async fn plain(client: &Client, method: &str, path: &str) -> Answer {
    ask(client, method, path, &[], Body::empty()).await
}

fn check(method: &str, path: &str, answer: &Answer) {
    let at = format!("{method} {path}: {answer:?}");
    let version = if path.starts_with("/v2") { "registry/2.0" } else { "" };
    assert_eq!(answer.header("docker-distribution-api-version"), version, "{at}");
    assert!(!answer.header("x-request-id").is_empty(), "{at}");
    assert!(!answer.headers.contains_key("warning"), "{at}");
    assert!(!answer.headers.contains_key("content-encoding"), "{at}");
    assert!(!answer.cut, "{at}");
    let location = answer.header("location");
    assert!(location.is_empty() || location.starts_with("/v2/"), "a Location is relative: {at}");
    if answer.status.is_client_error() {
        assert_eq!(answer.header("content-type"), "application/json", "{at}");
        let body = answer.json();
        let errors = body["errors"].as_array().unwrap_or_else(|| panic!("{at}"));
        assert!(!errors.is_empty(), "{at}");
        for error in errors {
            assert!(error["code"].as_str().is_some_and(|code| CODES.contains(&code)), "{at}");
            assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{at}");
        }
    }
    assert!(!answer.status.is_server_error(), "{at}");
}

/// Asserts that an answer is an error of a status and code.
#[track_caller]
pub(super) fn assert_error(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{answer:?}");
}

/// Makes a body that comes in pieces.
pub(super) fn pieces(pieces: &[&[u8]]) -> Body {
    let pieces: Vec<_> =
        pieces.iter().map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece))).collect();
    Body::from_stream(stream::iter(pieces))
}

/// Makes a body that breaks off after some bytes.
pub(super) fn broken(bytes: &[u8]) -> Body {
    let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    Body::from_stream(stream::iter([Ok(Bytes::copy_from_slice(bytes)), Err(reset)]))
}

/// Returns the SHA-512 digest of bytes.
pub(super) fn sha512(bytes: &[u8]) -> String {
    Hasher::digest(Algorithm::Sha512, bytes).to_string()
}

/// A text of requests and their answers, for a snapshot: every header but those that [`ask`]
/// checks on every answer, random names replaced, digests cut short.
pub(super) struct Transcript<'a> {
    client: &'a Client,
    text: String,
}

impl<'a> Transcript<'a> {
    pub(super) fn new(client: &'a Client) -> Self {
        Self { client, text: String::new() }
    }

    /// Sends a request and writes it down with its answer.
    pub(super) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: Headers<'_>,
        body: impl Into<Body>,
    ) -> Answer {
        let answer = ask(self.client, method, path, headers, body).await;
        let mut lines = format!("{method} {path}\n");
        for (name, value) in headers {
            writeln!(lines, "  ({name}: {value})").unwrap();
        }
        writeln!(lines, "  {}", answer.status).unwrap();
        let mut names: Vec<_> = answer.headers.iter().map(|(name, value)| (name.as_str(), value)).collect();
        names.retain(|(name, _)| !["docker-distribution-api-version", "x-request-id"].contains(name));
        names.sort_by_key(|(name, _)| *name);
        for (name, value) in names {
            writeln!(lines, "  {name}: {}", value.to_str().unwrap()).unwrap();
        }
        // In this process a HEAD still has the body that hyper leaves out: `wire` looks there.
        if !answer.body.is_empty() && method != "HEAD" {
            writeln!(lines, "  {}", String::from_utf8_lossy(&answer.body).replace("\r\n", "\n  ")).unwrap();
        }
        self.text.push_str(&normal(&lines));
        self.text.push('\n');
        answer
    }

    /// Sends a request without headers or a body, and writes it down.
    pub(super) async fn plain(&mut self, method: &str, path: &str) -> Answer {
        self.ask(method, path, &[], Body::empty()).await
    }

    pub(super) fn text(&self) -> &str {
        self.text.trim_end()
    }
}

/// Digits kept of a digest.
const DIGITS_KEPT: usize = 12;

/// Replaces UUIDs by what they name, and cuts digests short.
fn normal(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(next) = rest.chars().next() {
        if let Some(uuid) = rest.get(..36).filter(|uuid| uuid::Uuid::try_parse(uuid).is_ok()) {
            out.push_str("<uuid>");
            rest = &rest[uuid.len()..];
            continue;
        }
        let digits = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
        match digits {
            // The boundary of a multipart body is a UUID without hyphens.
            32 => out.push_str("<boundary>"),
            64 | 128 => write!(out, "{}…", &rest[..DIGITS_KEPT]).unwrap(),
            0 => out.push(next),
            _ => out.push_str(&rest[..digits]),
        }
        rest = &rest[digits.max(if digits == 0 { next.len_utf8() } else { 0 })..];
    }
    out
}

#[test]
fn transcripts_are_normal() {
    let hex = "0123456789abcdef".repeat(4);
    let text = format!("a/3d2f7b0e-6c1e-4d5a-9b1e-0a1b2c3d4e5f sha256:{hex} sha512:{hex}{hex} é 1234");
    assert_eq!(normal(&text), "a/<uuid> sha256:0123456789ab… sha512:0123456789ab… é 1234");
}
