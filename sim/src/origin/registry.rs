//! The origin itself: content, installed faults and the journal, shared by its connections.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Request, Response, StatusCode, Version, header, request::Parts, uri::Authority,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::{
    access::{Access, Caller, Gate, Moment},
    blob_host::{BlobHost, Redirects},
    dispatch::{self, Call},
    journal::{Arrival, Journal, LiveExchange},
    lie::{Asked, Lie, Wire},
    query::Query,
    refusal::Refusal,
    store::Store,
    uploads::BLOB_BYTES_MAX,
    variant::Variant,
};
use crate::{
    digest::Digest,
    fault::{Faults, Guard, Hit, Place, Rule, Surroundings, answer_instead, spoil, wait_before},
    locked,
};

/// The name that clients show to the target.
pub const CLIENT_NAME: &str = "deckhand";
/// The password that they show: it must never reach an upstream.
pub const CLIENT_PASSWORD: &str = "bilge-pump-key";
/// Both as a header has them.
const CLIENT_HEADER: &str = "Basic ZGVja2hhbmQ6YmlsZ2UtcHVtcC1rZXk=";
/// Stands for another host while there is none: nobody listens there.
const NOBODY: &str = "127.0.0.2:1";

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
    gate: Mutex<Option<Arc<Gate>>>,
    /// Whether there ever was a gate: a registry that opens does not take its token service away.
    had_gate: AtomicBool,
    places: Mutex<Places>,
    redirects: Redirects,
    nature: Nature,
}

/// The addresses, `host:port`, at which an origin listens beside its first one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// Another url of the same upstream.
    pub mirror: Option<String>,
    /// Another host, which gives content and tokens to everybody.
    pub stranger: Option<String>,
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
        let gate = Mutex::new(nature.access.clone().map(|it| Arc::new(Gate::new(it))));
        let by_variant = (nature.variant == Some(Variant::RedirectedBlobs)).then_some(BlobHost::SameAddress);
        let redirects = Redirects::new(nature.blob_host.clone().or(by_variant));
        let (places, had_gate) = (Mutex::default(), AtomicBool::new(nature.access.is_some()));
        Self { inner: Arc::new(Inner { store, journal, faults, gate, had_gate, places, redirects, nature }) }
    }

    /// Redirects the GETs of blobs from now on, or no longer.
    ///
    /// For a host of its own, serve this origin on a second port and give that address here.
    pub fn redirect_blobs(&self, host: Option<BlobHost>) {
        self.inner.redirects.set(host);
    }

    /// Asks who is calling from now on, or no longer. Tokens that were issued before are no good.
    pub fn guard(&self, access: Option<Access>) {
        if access.is_some() {
            self.inner.had_gate.store(true, Ordering::Relaxed);
        }
        *locked(&self.inner.gate) = access.map(|it| Arc::new(Gate::new(it)));
    }

    /// Says at which addresses this origin is served beside its first one.
    pub fn reside(&self, places: Places) {
        *locked(&self.inner.places) = places;
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

    /// Makes it say with every answer how many more there will be, as Docker Hub does; or no more so.
    pub fn announce_quota(&self, remaining: Option<u64>) {
        locked(self.store()).quota = remaining;
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

    /// Says whether it reads this of a request carelessly.
    pub(super) fn is_careless_of(&self, wire: Wire) -> bool {
        self.inner.nature.lie.and_then(Lie::on_the_wire) == Some(wire)
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
        let authorization = request.headers().get(header::AUTHORIZATION);
        let place = self.place(request);
        let arrival = Arrival {
            query: query.to_owned(),
            range: range.map(str::to_owned),
            authorized: authorization.is_some(),
            client_secret: authorization.is_some_and(|it| it == CLIENT_HEADER),
            place,
            ..Arrival::of(method, path)
        };
        let exchange = self.inner.journal.begin(arrival);
        let hits = self.inner.faults.choose(method, path, place, &exchange);
        (exchange, hits)
    }

    /// Returns the address that a request was sent to.
    fn place<B>(&self, request: &Request<B>) -> Place {
        let host = host(request);
        let places = locked(&self.inner.places);
        if places.stranger.as_deref() == Some(host) {
            Place::Stranger
        } else if places.mirror.as_deref() == Some(host) {
            Place::Mirror
        } else {
            Place::First
        }
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
        let stranger = locked(&self.inner.places).stranger.clone();
        let stranger = stranger.as_deref().unwrap_or(NOBODY);
        let around = Surroundings { path: request.uri().path(), host: host(&request), stranger };
        if let Some(instead) = answer_instead(hits, around) {
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
        let place = self.place(&request);
        let (parts, body) = request.into_parts();
        if !self.is_careless_of(Wire::Hosts) && !names_one_host(&parts) {
            return Refusal::ParameterInvalid("Host").response();
        }
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
        self.answer(call, place, Moment { instant: Instant::now(), wall: SystemTime::now() })
    }

    /// Answers a request that was read: tokens and signed addresses before the gate, all else behind it.
    fn answer(&self, mut call: Call, place: Place, now: Moment) -> Response<Bytes> {
        let Inner { store, redirects, nature, faults, had_gate, .. } = &*self.inner;
        let gate = locked(&self.inner.gate).clone().filter(|_| place != Place::Stranger);
        if let (Some(tell), Some(gate)) = (nature.lie.and_then(Lie::at_the_gate), &gate) {
            return tell(Asked { gate, store: &mut locked(store), call, now });
        }
        if let Some(issued) = gate.as_ref().and_then(|gate| gate.issue(&call, now)) {
            return issued;
        }
        let gives_tokens =
            place == Place::Stranger || faults.challenged() || had_gate.load(Ordering::Relaxed);
        if call.path == "/token" && gate.is_none() && gives_tokens {
            let body = r#"{"token": "of-no-use", "access_token": "of-no-use", "expires_in": 300}"#;
            return dispatch::finished(Ok(dispatch::json(StatusCode::OK, body)));
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

/// Says whether a request names one host, and one that is one. Spec: RFC 9112 section 3.2.
fn names_one_host(parts: &Parts) -> bool {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            let authority = Authority::try_from(host.as_bytes());
            authority.is_ok_and(|authority| !authority.as_str().contains('@'))
        }
        (None, None) => parts.version != Version::HTTP_11,
        _ => false,
    }
}

/// Returns `host:port` as the client wrote it.
fn host<B>(request: &Request<B>) -> &str {
    request.headers().get(header::HOST).and_then(|it| it.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_of_clients_is_recognized() {
        let request = reqwest::Client::new()
            .get("http://127.0.0.1:1/v2/")
            .basic_auth(CLIENT_NAME, Some(CLIENT_PASSWORD))
            .build()
            .unwrap();
        assert_eq!(request.headers()[header::AUTHORIZATION], CLIENT_HEADER);
    }
}
