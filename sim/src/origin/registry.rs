//! The origin itself: content, installed faults and the journal, shared by its connections.

use std::{
    sync::{Arc, Mutex},
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::{
    access::{Access, Caller, Gate, Moment},
    blob_host::{BlobHost, Redirects},
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
    gate: Option<Gate>,
    redirects: Redirects,
    nature: Nature,
}

/// What kind of registry an origin is; by default an honest one, open to everybody.
#[derive(Debug, Clone, Default)]
pub struct Nature {
    /// What it does that the specification forbids.
    pub lie: Option<Lie>,
    /// What it does in another way that the specification allows.
    pub variant: Option<Variant>,
    /// Who may do what; without it everybody may do everything.
    pub access: Option<Access>,
    /// Where blobs are redirected to; without it the registry serves them itself.
    pub blob_host: Option<BlobHost>,
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

    /// Makes an empty registry that asks who is calling.
    #[must_use]
    pub fn guarded(access: Access) -> Self {
        Self::of(Nature { access: Some(access), ..Nature::default() })
    }

    /// Makes an empty registry of a kind.
    #[must_use]
    pub fn of(nature: Nature) -> Self {
        let (store, journal, faults) = (Mutex::default(), Journal::default(), Faults::new());
        let gate = nature.access.clone().map(Gate::new);
        let by_variant = (nature.variant == Some(Variant::RedirectedBlobs)).then_some(BlobHost::SameAddress);
        let redirects = Redirects::new(nature.blob_host.clone().or(by_variant));
        Self { inner: Arc::new(Inner { store, journal, faults, gate, redirects, nature }) }
    }

    /// Redirects the GETs of blobs from now on, or no longer.
    ///
    /// For a host of its own, serve this origin on a second port and give that address here.
    pub fn redirect_blobs(&self, host: Option<BlobHost>) {
        self.inner.redirects.set(host);
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

    /// Takes away a tag of a repository; its manifest stays. Returns whether it was there.
    pub fn remove_tag(&self, repository: &str, tag: &str) -> bool {
        let mut store = locked(self.store());
        store.repository_or_new(repository).tags.remove(tag).is_some()
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

    /// Says whether responses have no `Content-Length`.
    pub(super) fn is_unsized(&self) -> bool {
        self.inner.nature.variant == Some(Variant::UnsizedBodies)
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
        let authorized = request.headers().contains_key(http::header::AUTHORIZATION);
        let exchange = self.inner.journal.begin(method, path, query, range.map(str::to_owned), authorized);
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
            caller: Caller::default(),
        };
        self.answer(call, Moment { instant: Instant::now(), wall: SystemTime::now() })
    }

    /// Answers a request that was read: tokens and signed addresses before the gate, all else behind it.
    fn answer(&self, mut call: Call, now: Moment) -> Response<Bytes> {
        let Inner { store, gate, redirects, nature, .. } = &*self.inner;
        if let Some(issued) = gate.as_ref().and_then(|gate| gate.issue(&call, now)) {
            return issued;
        }
        let mut store = locked(store);
        if let Some(blob) = redirects.serve(&store, &call, now.wall) {
            return blob;
        }
        match gate.as_ref().map(|gate| gate.admit(&call, now.instant)) {
            Some(Ok(caller)) => call.caller = caller,
            Some(Err(refusal)) => return dispatch::finished(Err(refusal)),
            None => {}
        }
        let redirect = redirects.redirect(&store, &call, now.wall);
        redirect.unwrap_or_else(|| dispatch::answer(&mut store, call, nature))
    }
}
