//! What a check did and left behind.

use crate::content::sha256;
use crate::wire::{Body, Exchange, Request, Response, Url};

/// Exchanges that one check records; heavy checks make more.
const EXCHANGES_MAX: usize = 400;

/// Something that a check left at the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// A manifest, by the path that deletes it.
    Manifest(Url),
    /// A blob, by its pull address.
    Blob(Url),
    /// An upload session, by its address.
    Session(Url),
}

impl Left {
    /// Returns the address that a DELETE goes to.
    pub fn url(&self) -> &Url {
        let (Self::Manifest(url) | Self::Blob(url) | Self::Session(url)) = self;
        url
    }
}

#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) exchanges: Vec<Exchange>,
    pub(super) observations: Vec<String>,
    pub(super) left: Vec<Left>,
}

impl Record {
    pub(super) fn push(&mut self, exchange: Exchange) {
        if self.exchanges.len() < EXCHANGES_MAX {
            self.exchanges.push(exchange);
        }
    }

    /// Notes what a successful push to this target left there.
    pub(super) fn note_left(&mut self, target: &Url, request: &Request, response: &Response) {
        let location = response.header("location").and_then(|text| request.url.join(text).ok());
        let path = request.url.target.split('?').next().unwrap_or_default();
        let left = match (request.method.as_str(), response.status) {
            ("PUT", 201) if path.contains("/manifests/") => pushed_manifest(request, path),
            ("PUT" | "POST", 201) => location.map(Left::Blob),
            ("POST", 202) => location.map(Left::Session),
            _ => None,
        };
        if request.method == "PUT" && response.status == 201 {
            self.left.retain(|old| !matches!(old, Left::Session(url) if url.target.starts_with(path)));
        }
        self.left.extend(left.filter(|left| left.url().same_origin(target)));
    }
}

fn pushed_manifest(request: &Request, path: &str) -> Option<Left> {
    let (Body::Sized(bytes) | Body::Chunked(bytes)) = &request.body else {
        return None;
    };
    let (folder, last) = path.rsplit_once('/')?;
    let digest = if last.contains(':') { last.to_owned() } else { sha256(bytes) };
    Some(Left::Manifest(request.url.at(&format!("{folder}/{digest}"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Framing;

    fn response(status: u16, location: &str) -> Response {
        Response {
            label: String::new(),
            status,
            headers: vec![("Location".into(), location.into())],
            body: vec![],
            framing: Framing::None,
            interim: vec![],
            excess: 0,
        }
    }

    #[test]
    fn what_pushes_leave_is_noted_once() {
        let target = Url::parse("http://h:1").unwrap();
        let mut record = Record::default();
        let mut note = |method: &str, path: &str, status, location: &str| {
            let request = Request::new(method, target.at(path)).body("{}");
            record.note_left(&target, &request, &response(status, location));
            record.left.iter().map(|left| left.url().target.clone()).collect::<Vec<_>>()
        };
        assert_eq!(
            note("POST", "/v2/a/blobs/uploads/", 202, "/v2/a/blobs/uploads/1"),
            ["/v2/a/blobs/uploads/1"]
        );
        assert_eq!(note("PUT", "/v2/a/blobs/uploads/1?digest=d", 201, "/v2/a/blobs/d"), ["/v2/a/blobs/d"]);
        assert_eq!(note("PUT", "/v2/a/blobs/uploads/2", 400, "/x"), ["/v2/a/blobs/d"]);
        assert_eq!(
            note("POST", "/v2/a/blobs/uploads/", 202, "http://other/x").len(),
            1,
            "not ours to delete"
        );
        let digest = sha256(b"{}");
        assert_eq!(note("PUT", "/v2/a/manifests/t", 201, "")[1], format!("/v2/a/manifests/{digest}"));
        assert_eq!(note("PUT", "/v2/a/manifests/sha512:0?tag=t", 201, "")[2], "/v2/a/manifests/sha512:0");
    }
}
