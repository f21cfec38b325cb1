//! What is sent: a request whose every byte the check decides.
//!
//! Nothing is added but `Host`, a `User-Agent` and the framing headers that the body asks for, so that
//! a check may leave out, double or corrupt any header.

use crate::wire::{Bulk, Url};

/// Names the suite to the operators of a registry.
const USER_AGENT: &str = concat!("conformance/", env!("CARGO_PKG_VERSION"));

/// Bytes of one chunk of a chunked body: small enough that a body has several.
const CHUNK_BYTES: usize = 8 * 1024;

/// Characters of a target that a message shows: a path with two digests, but no signed state.
const LABEL_CHARS_MAX: usize = 180;

/// The protocol version of the request line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `HTTP/1.0`: no chunks, the connection closes.
    Http10,
    /// `HTTP/1.1`.
    Http11,
}

/// How the body is framed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// No body; methods that usually carry one send `Content-Length: 0`.
    Empty,
    /// A body with its true Content-Length.
    Sized(Vec<u8>),
    /// A body in chunks, without Content-Length.
    Chunked(Vec<u8>),
    /// A large body with its true Content-Length, made while it is sent.
    Bulk(Bulk),
    /// A body that promises `declared` bytes, sends fewer, and half-closes the connection.
    Short {
        /// The Content-Length that is promised.
        declared: u64,
        /// The bytes that are really sent.
        sent: Vec<u8>,
    },
}

/// One request to one address.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method, also one that does not exist.
    pub method: String,
    /// Where it goes.
    pub url: Url,
    /// The version in the request line.
    pub version: Version,
    /// Headers in the order in which they are sent.
    pub headers: Vec<(String, String)>,
    /// The body and its framing.
    pub body: Body,
}

impl Request {
    /// Builds a request without headers and without a body.
    pub fn new(method: &str, url: Url) -> Self {
        Self {
            method: method.to_owned(),
            url,
            version: Version::Http11,
            headers: Vec::new(),
            body: Body::Empty,
        }
    }

    /// Adds a header; an earlier one of that name stays.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the body, with its true Content-Length.
    #[must_use]
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = Body::Sized(bytes.into());
        self
    }

    /// Sets the body, sent in chunks without a Content-Length.
    #[must_use]
    pub fn chunked(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = Body::Chunked(bytes.into());
        self
    }

    /// Sets a large body, with its true Content-Length.
    #[must_use]
    pub fn bulk(mut self, bulk: Bulk) -> Self {
        self.body = Body::Bulk(bulk);
        self
    }

    /// Promises `declared` bytes but sends only `sent`, then half-closes.
    #[must_use]
    pub fn short(mut self, declared: u64, sent: impl Into<Vec<u8>>) -> Self {
        self.body = Body::Short { declared, sent: sent.into() };
        self
    }

    /// Sets the version in the request line.
    #[must_use]
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Adds one query parameter, whose value must be URL-safe already.
    #[must_use]
    pub fn query(mut self, key: &str, value: &str) -> Self {
        self.url = self.url.with_query(key, value);
        self
    }

    /// Asks the server to close the connection, and the client to look for bytes after the body.
    #[must_use]
    pub fn close(self) -> Self {
        self.header("Connection", "close")
    }

    /// Says whether the request asks for the connection to be closed.
    pub fn closes(&self) -> bool {
        self.version == Version::Http10
            || self.headers.iter().any(|(name, value)| {
                name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close")
            })
    }

    /// Returns method and path, cut to a readable length, as failure messages name the request.
    pub fn label(&self) -> String {
        let target = &self.url.target;
        let mut shown: String = target.chars().take(LABEL_CHARS_MAX).collect();
        if shown.len() < target.len() {
            shown.push('…');
        }
        format!("{} {shown}", self.method)
    }

    /// Returns request line and headers, with the empty line that ends them.
    pub fn head(&self) -> String {
        let version = match self.version {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        };
        let mut head = format!("{} {} {version}\r\n", self.method, self.url.target);
        for (name, value) in self.framed_headers() {
            head.push_str(&name);
            head.push_str(": ");
            head.push_str(&value);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        head
    }

    /// Returns the body as it goes over the wire; nothing of one that is made while it is sent.
    pub fn payload(&self) -> Vec<u8> {
        match &self.body {
            Body::Empty | Body::Bulk(_) => Vec::new(),
            Body::Sized(bytes) | Body::Short { sent: bytes, .. } => bytes.clone(),
            Body::Chunked(bytes) => {
                let mut wire = Vec::with_capacity(bytes.len() + 64);
                for chunk in bytes.chunks(CHUNK_BYTES) {
                    wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    wire.extend_from_slice(chunk);
                    wire.extend_from_slice(b"\r\n");
                }
                wire.extend_from_slice(b"0\r\n\r\n");
                wire
            }
        }
    }

    /// Returns every header as sent, framing headers included.
    pub fn framed_headers(&self) -> Vec<(String, String)> {
        let has = |wanted: &str| self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
        let mut headers = Vec::with_capacity(self.headers.len() + 3);
        if !has("host") {
            headers.push(("Host".to_owned(), self.url.authority()));
        }
        if !has("user-agent") {
            headers.push(("User-Agent".to_owned(), USER_AGENT.to_owned()));
        }
        headers.extend(self.headers.iter().cloned());
        let framing = match &self.body {
            Body::Empty if matches!(self.method.as_str(), "POST" | "PUT" | "PATCH") => {
                Some(("Content-Length", "0".to_owned()))
            }
            Body::Empty => None,
            Body::Sized(bytes) => Some(("Content-Length", bytes.len().to_string())),
            Body::Bulk(bulk) => Some(("Content-Length", bulk.length().to_string())),
            Body::Chunked(_) => Some(("Transfer-Encoding", "chunked".to_owned())),
            Body::Short { declared, .. } => Some(("Content-Length", declared.to_string())),
        };
        if let Some((name, value)) = framing.filter(|(name, _)| !has(name)) {
            headers.push((name.to_owned(), value));
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str) -> Request {
        Request::new(method, Url::parse("http://h:5000/v2/").unwrap())
    }

    #[test]
    fn frames_bodies_as_told() {
        let check = |request: Request, header: &str, payload: &[u8]| {
            assert!(request.head().contains(header), "{}", request.head());
            assert_eq!(request.payload(), payload);
        };
        check(request("PUT"), "Content-Length: 0\r\n", b"");
        check(request("PUT").body(*b"abc"), "Content-Length: 3\r\n", b"abc");
        check(request("PUT").chunked(*b"abc"), "Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n");
        check(request("PUT").short(9, *b"abc"), "Content-Length: 9\r\n", b"abc");
        assert!(!request("GET").head().contains("Content-Length"));
        assert!(!request("GET").header("Host", "x").head().contains("h:5000"));
    }

    #[test]
    fn knows_when_the_connection_closes() {
        assert!(!request("GET").closes());
        assert!(request("GET").close().closes());
        assert!(request("GET").version(Version::Http10).closes());
    }
}
