//! One request over HTTP/2, for the check that a registry says the same over it.
//!
//! Spec: RFC 9113. Framing belongs to the `h2` crate: what is judged here is the registry, not its frames.

use std::io;

use bytes::Bytes;
use h2::client;
use http::{HeaderName, HeaderValue, Method, Uri};

use crate::wire::{Body, Dialer, Framing, Request, Response, WireError};

/// Headers that HTTP/2 forbids (RFC 9113 §8.2.2).
const CONNECTION_HEADERS: [&str; 5] = ["connection", "host", "keep-alive", "transfer-encoding", "upgrade"];

/// Sends a request over a new HTTP/2 connection and reads its response.
///
/// *Errors*: [`WireError::Connect`], [`WireError::Tls`] without HTTP/2, [`WireError::Malformed`] with what
/// the protocol library said.
pub async fn exchange_http2(dialer: &Dialer, request: &Request) -> Result<Response, WireError> {
    let stream = dialer.dial_http2(&request.url).await?;
    let (mut sender, connection) = client::handshake(stream).await.map_err(|error| broken(&error))?;
    let driver = tokio::spawn(connection);
    let result = exchange(&mut sender, request).await;
    driver.abort();
    result
}

async fn exchange(sender: &mut client::SendRequest<Bytes>, request: &Request) -> Result<Response, WireError> {
    let payload = match &request.body {
        Body::Empty | Body::Bulk(_) => Vec::new(),
        Body::Sized(bytes) | Body::Chunked(bytes) | Body::Short { sent: bytes, .. } => bytes.clone(),
    };
    let is_last = payload.is_empty();
    let (response, mut body) =
        sender.send_request(head(request)?, is_last).map_err(|error| broken(&error))?;
    if !is_last {
        // The library sends as the server opens its window.
        body.send_data(payload.into(), true).map_err(|error| broken(&error))?;
    }
    let (parts, mut stream) = response.await.map_err(|error| broken(&error))?.into_parts();
    let mut bytes = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece.map_err(|error| broken(&error))?;
        stream.flow_control().release_capacity(piece.len()).map_err(|error| broken(&error))?;
        bytes.extend_from_slice(&piece);
    }
    let text = |value: &HeaderValue| value.as_bytes().iter().map(|byte| char::from(*byte)).collect();
    let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
    Ok(Response {
        label: request.label(),
        status: parts.status.as_u16(),
        headers: headers.collect(),
        framing: Framing::Length(bytes.len() as u64),
        body: bytes,
        interim: Vec::new(),
        excess: 0,
    })
}

fn head(request: &Request) -> Result<http::Request<()>, WireError> {
    let bad = |what: String| WireError::Malformed(format!("cannot be said in HTTP/2: {what}"));
    let method = Method::from_bytes(request.method.as_bytes()).map_err(|error| bad(error.to_string()))?;
    let uri: Uri = request.url.to_string().parse().map_err(|error| bad(format!("{error}")))?;
    let mut head = http::Request::new(());
    (*head.method_mut(), *head.uri_mut(), *head.version_mut()) = (method, uri, http::Version::HTTP_2);
    for (name, value) in &request.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| bad(error.to_string()))?;
        let value = HeaderValue::from_str(value).map_err(|error| bad(error.to_string()))?;
        if !CONNECTION_HEADERS.contains(&name.as_str()) {
            head.headers_mut().append(name, value);
        }
    }
    Ok(head)
}

fn broken(error: &h2::Error) -> WireError {
    match error.get_io().map(io::Error::kind) {
        Some(kind) => WireError::Broken(kind),
        None => WireError::Malformed(format!("HTTP/2: {error}")),
    }
}
