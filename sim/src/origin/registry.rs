//! The origin itself: content, installed faults and the journal, shared by its connections.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::{
    dispatch::{self, Call},
    journal::{Journal, LiveExchange},
    lie::Lie,
    query::Query,
    refusal::Refusal,
    store::Store,
    uploads::BLOB_BYTES_MAX,
    variant::Variant,
};
use crate::{
    digest::Digest,
    fault::{Faults, Guard, Hit, Rule, answer_instead, spoil, wait_before},
    locked,
};

/// An honest registry in memory, which suffers the faults that are installed in it.
///
/// Clones share everything. Content is lost with the last clone.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// use sim::{fault::{At, Fault, Selector}, origin::{ImageSpec, Origin}};
///
/// let origin = Origin::new();
/// let spec = ImageSpec { layers: vec![100_000], seed: 7, ..ImageSpec::default() };
/// let image = origin.seed_image("library/app", "v1", &spec);
/// let running = origin.serve("127.0.0.1:0").await?;
/// let layer = &image.layers[0].digest;
///
/// // The first GET of every blob breaks in the middle; a proxy under test would have this address as
/// // its upstream.
/// let guard = origin.install(
///     Selector::get("/v2/*/blobs/*").nth(1).suffer(Fault::Truncate { at: At::Percent(50) }),
/// );
/// let url = format!("{}/v2/library/app/blobs/{layer}", running.url());
/// let client = reqwest::Client::new();
/// assert!(client.get(&url).send().await?.bytes().await.is_err());
/// assert!(layer.names(&client.get(&url).send().await?.bytes().await?));
/// assert_eq!((guard.fired(), origin.journal().blob_gets(layer)), (1, 2));
/// # Ok(()) }) }
/// ```
#[derive(Debug, Clone)]
pub struct Origin {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Mutex<Store>,
    journal: Journal,
    faults: Arc<Faults>,
    nature: Nature,
}

/// In which way, if any, an origin departs from the honest one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Nature {
    /// What it does that the specification forbids.
    pub(super) lie: Option<Lie>,
    /// What it does in another way that the specification allows.
    pub(super) variant: Option<Variant>,
}

impl Default for Origin {
    fn default() -> Self {
        Self::new()
    }
}

impl Origin {
    /// Makes an empty registry that listens nowhere yet.
    #[must_use]
    pub fn new() -> Self {
        Self::of(Nature::default())
    }

    /// Makes an empty registry that tells one lie, for the proof that a test suite finds it.
    #[must_use]
    pub fn lying(lie: Lie) -> Self {
        Self::of(Nature { lie: Some(lie), ..Nature::default() })
    }

    /// Makes an empty registry that takes one of the liberties of the specification.
    #[must_use]
    pub fn varied(variant: Variant) -> Self {
        Self::of(Nature { variant: Some(variant), ..Nature::default() })
    }

    fn of(nature: Nature) -> Self {
        let (store, journal, faults) = (Mutex::default(), Journal::default(), Faults::new());
        Self { inner: Arc::new(Inner { store, journal, faults, nature }) }
    }

    /// Returns the record of what was asked and sent.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.inner.journal
    }

    /// Installs a fault until the guard is dropped; probabilities are drawn from seed 0.
    pub fn install(&self, rule: Rule) -> Guard {
        self.install_seeded(rule, 0)
    }

    /// Installs a fault until the guard is dropped; probabilities are drawn from `seed`.
    pub fn install_seeded(&self, rule: Rule, seed: u64) -> Guard {
        self.inner.faults.install(rule, seed)
    }

    /// Deletes a blob from a repository, as an upstream's garbage collection would; says whether it was there.
    pub fn remove_blob(&self, repository: &str, digest: &Digest) -> bool {
        let mut store = locked(&self.inner.store);
        store.repository_mut(repository).is_ok_and(|it| it.blobs.remove(digest).is_some())
    }

    /// Returns the content that a digest names, a blob or a manifest, from whatever repository holds it.
    #[must_use]
    pub fn content(&self, digest: &Digest) -> Option<Bytes> {
        locked(&self.inner.store).content(digest)
    }

    pub(super) fn store(&self) -> &Mutex<Store> {
        &self.inner.store
    }

    pub(super) fn faults(&self) -> &Arc<Faults> {
        &self.inner.faults
    }

    /// Records a request and chooses the faults that its response shall suffer.
    pub(super) fn begin<B>(&self, request: &Request<B>) -> (Arc<LiveExchange>, Vec<Hit>) {
        let method = request.method().as_str();
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        let range = request.headers().get(http::header::RANGE).and_then(|it| it.to_str().ok());
        let exchange = self.inner.journal.begin(method, path, query, range.map(str::to_owned));
        let hits = self.inner.faults.choose(method, path, &exchange);
        (exchange, hits)
    }

    /// Answers a request, with the faults of the response's head that were chosen for it.
    ///
    /// *Cancellation*: nothing is stored before the whole request body has been read.
    pub(super) async fn respond<B>(&self, request: Request<B>, hits: &[Hit]) -> Response<Bytes>
    where
        B: hyper::body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        wait_before(hits).await;
        if let Some(instead) = answer_instead(hits) {
            return instead;
        }
        let ns = request.uri().query().map(Query::parse).and_then(|it| it.first("ns").map(str::to_owned));
        let mut response = self.honest(request).await;
        if let Some(ns) = ns.and_then(|it| HeaderValue::from_str(&it).ok()) {
            response.headers_mut().insert(HeaderName::from_static("oci-namespace"), ns);
        }
        spoil(hits, &mut response);
        response
    }

    async fn honest<B>(&self, request: Request<B>) -> Response<Bytes>
    where
        B: hyper::body::Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let body = match Limited::new(body, BLOB_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return Refusal::TooLarge.response(),
            Err(_) => return Refusal::UploadInvalid.response(),
        };
        let call = Call {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: Query::parse(parts.uri.query().unwrap_or_default()),
            headers: parts.headers,
            body,
        };
        dispatch::answer(&mut locked(&self.inner.store), call, self.inner.nature)
    }
}
