//! Requests by hand: exactly the headers that a client sends.

use bytes::Bytes;
use futures_util::stream;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Body, Client, Method, StatusCode};
use serde_json::Value;

/// A connection pool to one server.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    client: Client,
    base: String,
}

/// An answer whose body was read.
#[derive(Debug)]
pub(crate) struct Answer {
    /// What was asked, for a failure's text.
    pub(crate) asked: String,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Wire {
    /// Makes one; nothing is followed, repeated or unpacked.
    pub(crate) fn to(base: &str) -> Self {
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .build()
            .unwrap();
        Self { client, base: base.to_owned() }
    }

    /// Begins a request; each header stands on a line of its own, also if its name repeats.
    pub(crate) fn begin(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> reqwest::RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        println!("> {method} {path} {headers:?}");
        self.client.request(method, format!("{}{path}", self.base)).headers(map)
    }

    /// Sends a request with a body of known length; an empty one has none.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut request = self.begin(method, path, headers);
        if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
            request = request.body(body.to_vec());
        }
        Answer::of(format!("{method} {path}"), request).await
    }

    /// Sends a request with a body in chunks, without a length.
    pub(crate) async fn send_chunked(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let pieces: Vec<Result<Bytes, std::io::Error>> =
            body.chunks(7001).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let request = self.begin(method, path, headers).body(Body::wrap_stream(stream::iter(pieces)));
        Answer::of(format!("{method} {path}"), request).await
    }

    /// Sends a GET.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"").await
    }

    /// Returns the digest that a manifest's HEAD says.
    pub(crate) async fn digest(&self, name: &str, reference: &str) -> String {
        let path = format!("/v2/{name}/manifests/{reference}");
        let answer = self.send("HEAD", &path, &[("accept", "*/*")], b"").await.expect(200);
        answer.header("docker-content-digest").to_owned()
    }
}

impl Answer {
    async fn of(asked: String, request: reqwest::RequestBuilder) -> Self {
        let answer = request.send().await.unwrap_or_else(|error| panic!("{asked}: {error:?}"));
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.bytes().await.unwrap_or_else(|error| panic!("{asked}: {error:?}"));
        println!("< {status} {headers:?}");
        Self { asked, status, headers, body }
    }

    /// Returns the answer, whose status must be this.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}: {self:#?}", self.asked);
        self
    }

    /// Returns a header's text, which must be there.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {self:#?}"));
        value.to_str().unwrap()
    }

    /// Returns the body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:#?}"))
    }

    /// Returns where the answer points, which must be a path: some clients follow no other host.
    #[track_caller]
    pub(crate) fn location(&self) -> &str {
        let location = self.header("location");
        assert!(location.starts_with("/v2/"), "an absolute Location breaks clients: {self:#?}");
        location
    }
}
