//! Answering a `Range`: one as it is, several as `multipart/byteranges`.
//!
//! *Spec:* RFC 9110 §14, §15.3.7.

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, IF_RANGE, RANGE};
use http::{Response, StatusCode};

use super::error::Error;
use super::{body, headers};
use crate::oci::range::RangeSpec;
use crate::oci::{ByteRange, RangeHeader};
use crate::repository::Content;

/// What a request wants of a blob.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// One part.
    Part(ByteRange),
    /// Several parts.
    Parts(Vec<ByteRange>),
}

/// The type of one part and of the whole blob.
pub(super) const OCTET_STREAM: &str = "application/octet-stream";

/// Reads what a GET wants of a blob of `size` bytes.
///
/// A malformed or outdated `Range` is ignored; so is one with more than `max` ranges, which would
/// cost more than the whole blob.
///
/// *Errors:* [`Error::Range`] when nothing that was asked for is there.
pub(super) fn wanted(request: &HeaderMap, size: u64, etag: &str, max: usize) -> Result<Wanted, Error> {
    let Some(header) = headers::text(request, RANGE).and_then(RangeHeader::parse) else {
        return Ok(Wanted::Whole);
    };
    let is_current = request.get(IF_RANGE).is_none_or(|tag| tag.as_bytes() == etag.as_bytes());
    if !is_current || header.count() > max {
        return Ok(Wanted::Whole);
    }
    let mut ranges = header.resolve(size);
    match (ranges.pop(), ranges.is_empty()) {
        (None, _) => Err(Error::Range { size }),
        (Some(only), true) => Ok(Wanted::Part(only)),
        (Some(last), false) => {
            ranges.push(last);
            // Overlapping parts would send more than there is.
            let total: u64 = ranges.iter().map(|range| range.len()).sum();
            Ok(if total > size { Wanted::Whole } else { Wanted::Parts(ranges) })
        }
    }
}

/// Returns the one range that a GET wants, before the blob's size is known.
pub(super) fn part_wanted(request: &HeaderMap, etag: &str) -> Option<RangeSpec> {
    let header = headers::text(request, RANGE).and_then(RangeHeader::parse)?;
    let is_current = request.get(IF_RANGE).is_none_or(|tag| tag.as_bytes() == etag.as_bytes());
    header.only().filter(|_| is_current)
}

/// Sets the headers of one part.
pub(super) fn part<B>(response: &mut Response<B>, range: ByteRange, size: Option<u64>) {
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let size = size.map_or_else(|| "*".to_owned(), |size| size.to_string());
    let content_range = headers::value(format_args!("bytes {}-{}/{size}", range.start, range.last));
    let map = response.headers_mut();
    map.insert(CONTENT_RANGE, content_range);
    map.insert(CONTENT_LENGTH, headers::value(range.len()));
}

/// Sets the headers and body of several parts.
pub(super) fn parts(response: &mut Response<Body>, content: &Content, ranges: &[ByteRange]) {
    let boundary = uuid::Uuid::new_v4().simple().to_string();
    let size = content.size();
    let head = |range: &ByteRange| {
        let (start, last) = (range.start, range.last);
        Bytes::from(format!(
            "\r\n--{boundary}\r\nContent-Type: {OCTET_STREAM}\r\nContent-Range: bytes {start}-{last}/{size}\r\n\r\n"
        ))
    };
    let tail = Bytes::from(format!("\r\n--{boundary}--\r\n"));
    let heads: Vec<(Bytes, ByteRange)> = ranges.iter().map(|range| (head(range), *range)).collect();
    let length: u64 = heads.iter().map(|(head, range)| head.len() as u64 + range.len()).sum();
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let map = response.headers_mut();
    map.insert(CONTENT_TYPE, headers::value(format_args!("multipart/byteranges; boundary={boundary}")));
    map.insert(CONTENT_LENGTH, headers::value(length + tail.len() as u64));
    let content = content.clone();
    let parts = stream::iter(heads).flat_map(move |(head, range)| {
        stream::iter([Ok(head)]).chain(content.stream(range.start, range.last + 1))
    });
    let length = length + tail.len() as u64;
    *response.body_mut() = body::outgoing(parts.chain(stream::iter([Ok(tail)])), Some(length));
}

#[cfg(test)]
mod tests {
    //! Goal: what RFC 9110 lets a server ignore is ignored, and no request makes it send more than
    //! the blob. Method: a table.

    use super::*;

    fn check(range: &str, if_range: Option<&str>, expect: Option<&Wanted>) {
        let mut request = HeaderMap::new();
        request.insert(RANGE, range.parse().unwrap());
        if let Some(tag) = if_range {
            request.insert(IF_RANGE, tag.parse().unwrap());
        }
        assert_eq!(wanted(&request, 10, "\"d\"", 3).ok().as_ref(), expect, "{range} {if_range:?}");
    }

    #[test]
    fn ranges() {
        let part = |start, last| ByteRange { start, last };
        check("bytes=0-0", None, Some(&Wanted::Part(part(0, 0))));
        check("bytes=0-0", Some("\"d\""), Some(&Wanted::Part(part(0, 0))));
        check("bytes=0-0", Some("\"x\""), Some(&Wanted::Whole));
        check("bytes=0-0", Some("W/\"d\""), Some(&Wanted::Whole));
        check("bytes=0-1,8-", None, Some(&Wanted::Parts(vec![part(0, 1), part(8, 9)])));
        check("bytes=0-1,99-", None, Some(&Wanted::Part(part(0, 1))));
        check("bytes=0-,0-", None, Some(&Wanted::Whole));
        check("bytes=0-0,1-1,2-2,3-3", None, Some(&Wanted::Whole));
        check("items=0-1", None, Some(&Wanted::Whole));
        check("bytes=10-", None, None);
    }
}
