//! Faults of a response's head: status, headers, and the time before them.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use super::{Destination, DigestHeader, Fault, Hit, Realm};
use crate::digest::Digest;

/// A text in every error that the simulator makes up; a proxy that repeats its upstream's words repeats it.
pub const ORIGIN_WORDS: &str = "bilge-water in the upstream cellar";

const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Spends the time that the chosen faults take before the response's head.
///
/// *Cancellation*: a stall never ends by itself; it is dropped with its connection.
pub(crate) async fn wait_before(hits: &[Hit]) {
    for hit in hits {
        match hit.fault() {
            Fault::Latency { ms } => {
                hit.fire();
                tokio::time::sleep(Duration::from_millis(*ms)).await;
            }
            Fault::StallHeaders => {
                hit.fire();
                std::future::pending::<()>().await;
            }
            _ => {}
        }
    }
}

/// What a response's head may have to name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// The path of the request.
    pub(crate) path: &'a str,
    /// The address that the request was sent to.
    pub(crate) host: &'a str,
    /// The address of another host; without one, a port where nobody listens.
    pub(crate) stranger: &'a str,
}

/// Returns the answer that a chosen fault puts in the content's place, if one does.
pub(crate) fn answer_instead(hits: &[Hit], around: Surroundings<'_>) -> Option<Response<Bytes>> {
    hits.iter().find_map(|hit| {
        let response = match hit.fault() {
            Fault::Status { status, retry_after } => refusal(*status, retry_after.as_deref()),
            Fault::StatusUntil { status, seconds } => {
                let then = SystemTime::now() + Duration::from_secs(*seconds);
                refusal(*status, Some(&imf_date(then)))
            }
            Fault::Html => portal(),
            Fault::Redirect { to, status } => redirect(*to, *status, around),
            Fault::Challenge { realm } => challenge(*realm, around),
            _ => return None,
        };
        hit.fire();
        Some(response)
    })
}

/// Spoils the headers of a successful response.
pub(crate) fn spoil(hits: &[Hit], response: &mut Response<Bytes>) {
    if !response.status().is_success() {
        return;
    }
    for hit in hits {
        match hit.fault() {
            Fault::DigestHeader { value } => spoil_digest(*value, response),
            Fault::ContentType { value } => {
                response.headers_mut().insert(header::CONTENT_TYPE, header_value(value));
            }
            _ => continue,
        }
        hit.fire();
    }
}

fn spoil_digest(value: DigestHeader, response: &mut Response<Bytes>) {
    let headers = response.headers_mut();
    match value {
        DigestHeader::Missing => {
            headers.remove(DOCKER_CONTENT_DIGEST);
        }
        DigestHeader::False => {
            let other = Digest::sha256_of(b"content that was never stored").to_string();
            headers.insert(DOCKER_CONTENT_DIGEST, header_value(&other));
        }
        DigestHeader::Garbage => {
            headers.insert(DOCKER_CONTENT_DIGEST, HeaderValue::from_static("not a digest"));
        }
    }
}

fn refusal(status: u16, retry_after: Option<&str>) -> Response<Bytes> {
    let code = match status {
        401 => "UNAUTHORIZED",
        403 => "DENIED",
        404 => "NAME_UNKNOWN",
        429 => "TOOMANYREQUESTS",
        _ => "UNKNOWN",
    };
    let body = serde_json::json!({ "errors": [{ "code": code, "message": ORIGIN_WORDS }] });
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(value) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, header_value(value));
    }
    response
}

fn redirect(to: Destination, status: u16, around: Surroundings<'_>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(ORIGIN_WORDS.as_bytes()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::TEMPORARY_REDIRECT);
    let Surroundings { path, stranger, .. } = around;
    let location = match to {
        Destination::Nowhere => return response,
        Destination::Itself => path.to_owned(),
        Destination::Stranger => format!("http://{stranger}{path}"),
        Destination::OtherScheme => format!("ftp://{stranger}{path}"),
    };
    response.headers_mut().insert(header::LOCATION, header_value(&location));
    response
}

fn challenge(realm: Realm, around: Surroundings<'_>) -> Response<Bytes> {
    let host = match realm {
        Realm::Own => around.host,
        Realm::Stranger => around.stranger,
    };
    let name = around.path.strip_prefix("/v2/").unwrap_or_default();
    let name = ["/manifests/", "/blobs/"].iter().find_map(|noun| name.split_once(noun)).map_or("", |it| it.0);
    let value = format!(
        "Bearer realm=\"http://{host}/token\",service=\"sim\",scope=\"repository:{name}:pull\",error=\"invalid_token\""
    );
    let mut response = refusal(401, None);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, header_value(&value));
    response
}

/// Writes a time as HTTP does. Spec: RFC 9110 section 5.6.7.
fn imf_date(time: SystemTime) -> String {
    httpdate::fmt_http_date(time)
}

fn portal() -> Response<Bytes> {
    let page = format!("<!DOCTYPE html><html><body>Please sign in. {ORIGIN_WORDS}</body></html>\n");
    let mut response = Response::new(Bytes::from(page));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// A value that no header can hold (a line break in a hand-written scenario) is sent as nothing.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
