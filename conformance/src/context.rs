//! What a running check holds: the target, its own content and names, and the record of what it did.
//!
//! Every request of a check goes through here, so that credentials are added, exchanges recorded and
//! pushed content noted for the clean-up in one place.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use crate::check::{Control, Feature, Stop, Verdict};
use crate::content::{Blob, Image, Manifest, Rng, sha256};
use crate::control::Controls;
use crate::features::Features;
use crate::wire::{Body, Connection, Exchange, Request, Response, Url, WireError};

/// Redirects that [`Context::follow`] goes along with.
const REDIRECTS_MAX: usize = 5;
/// How long an answer to `Expect: 100-continue` may take: nobody transfers anything meanwhile.
const EXPECT_DEADLINE: Duration = Duration::from_secs(5);
/// Exchanges that one check records; heavy checks make more.
const EXCHANGES_MAX: usize = 400;

/// What all checks of a run share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Scheme, host and port of the target.
    pub target: Url,
    /// The value of the Authorization header, when credentials were given.
    pub authorization: Option<String>,
    /// The seed of the content.
    pub seed: u64,
    /// What sets the names of this run apart from those of any other.
    pub stamp: String,
    /// How long one request may take.
    pub request_deadline: Duration,
    /// The controls that were given.
    pub controls: Controls,
    /// What the target offers.
    pub features: Features,
}

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

#[derive(Debug, Default)]
struct Record {
    exchanges: Vec<Exchange>,
    observations: Vec<String>,
    left: Vec<Left>,
}

/// The surroundings of one running check.
#[derive(Debug)]
pub struct Context {
    shared: Arc<Shared>,
    id: &'static str,
    rng: Mutex<Rng>,
    names: AtomicU32,
    record: Mutex<Record>,
}

impl Context {
    /// Makes the surroundings of the check with this id.
    pub fn new(shared: Arc<Shared>, id: &'static str) -> Self {
        let rng = Mutex::new(Rng::new(shared.seed, id));
        Self { shared, id, rng, names: AtomicU32::new(0), record: Mutex::default() }
    }

    // === content ===

    /// Returns the name of a repository that nobody has used yet.
    pub fn repo(&self) -> String {
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        let check = self.id.to_ascii_lowercase().replace('-', "");
        format!("conf/{:x}-{}-{check}-{number}", self.shared.seed, self.shared.stamp)
    }

    /// Returns a blob of that many fresh bytes.
    pub fn blob(&self, size: usize) -> Blob {
        Blob::new(lock(&self.rng).bytes(size))
    }

    /// Returns a fresh OCI image.
    pub fn image(&self) -> Image {
        Image::oci(&mut lock(&self.rng))
    }

    /// Returns a fresh OCI image whose manifest has more members.
    pub fn image_with(&self, extra: Value) -> Image {
        Image::with(&mut lock(&self.rng), extra)
    }

    /// Returns a fresh Docker schema 2 image.
    pub fn docker_image(&self) -> Image {
        Image::docker(&mut lock(&self.rng))
    }

    /// Says whether the target offers a feature, as far as the run's beginning could tell.
    pub fn offers(&self, feature: Feature) -> bool {
        self.shared.features.missing(feature).is_none()
    }

    /// Records something worth knowing that is neither right nor wrong.
    pub fn observe(&self, text: impl Into<String>) {
        lock(&self.record).observations.push(text.into());
    }

    /// Runs a control and waits until the target answers again.
    ///
    /// *Errors*: [`Stop::Error`] when the command fails or the target stays away.
    pub async fn control(&self, control: Control) -> Verdict {
        self.shared.controls.run(control, &self.shared.target).await.map_err(|e| Stop::Error(e.to_string()))
    }

    // === requests ===

    /// Builds a request to a path of the target, with credentials.
    pub fn request(&self, method: &str, path: &str) -> Request {
        self.request_to(method, self.shared.target.at(path))
    }

    /// Builds a request to an address; credentials go only to the target itself.
    pub fn request_to(&self, method: &str, url: Url) -> Request {
        let own = url.same_origin(&self.shared.target);
        let request = Request::new(method, url);
        match &self.shared.authorization {
            Some(value) if own => request.header("Authorization", value.clone()),
            _ => request,
        }
    }

    /// Sends a request; whatever keeps the response away is a failure of the target.
    ///
    /// *Errors*: [`Stop::Fail`]; [`Stop::Error`] when there is no connection at all.
    pub async fn send(&self, request: Request) -> Result<Response, Stop> {
        let label = request.label();
        self.attempt(request).await.map_err(|error| stop(&label, &error))
    }

    /// Sends a request whose response may legally stay away.
    ///
    /// *Errors*: every variant of [`WireError`].
    pub async fn attempt(&self, request: Request) -> Result<Response, WireError> {
        let result = self
            .within(async {
                let mut connection = Connection::open(&request.url).await?;
                connection.exchange(&request).await
            })
            .await;
        self.recorded(&request, result)
    }

    /// Sends the head of a request with `Expect: 100-continue` and its body when asked for it.
    ///
    /// *Errors*: as [`Context::send`].
    pub async fn send_expecting(&self, request: Request) -> Result<Response, Stop> {
        let work = async {
            let mut connection = Connection::open(&request.url).await?;
            connection.exchange_expecting(&request).await
        };
        let result = timeout(EXPECT_DEADLINE, work).await;
        let result = result.unwrap_or(Err(WireError::Timeout(EXPECT_DEADLINE)));
        self.recorded(&request, result).map_err(|error| stop(&request.label(), &error))
    }

    /// Sends several requests over one connection.
    ///
    /// *Errors*: as [`Context::send`], at the first request without a response.
    pub async fn send_on_one(&self, requests: Vec<Request>) -> Result<Vec<Response>, Stop> {
        let mut responses = Vec::with_capacity(requests.len());
        let mut connection = self.open().await?;
        for request in requests {
            let result = self.within(connection.exchange(&request)).await;
            let label = request.label();
            responses.push(self.recorded(&request, result).map_err(|error| stop(&label, &error))?);
        }
        Ok(responses)
    }

    /// Sends raw bytes, which need not be HTTP.
    ///
    /// *Errors*: every variant of [`WireError`].
    pub async fn send_raw(&self, bytes: &[u8], label: &str) -> Result<Response, WireError> {
        let result = self
            .within(async {
                let mut connection = Connection::open(&self.shared.target).await?;
                connection.exchange_bytes(bytes, "GET", label, false).await
            })
            .await;
        self.push_exchange(Exchange::raw(bytes, &result));
        result
    }

    /// Opens a connection to the target.
    ///
    /// *Errors*: [`Stop::Error`].
    pub async fn open(&self) -> Result<Connection, Stop> {
        let opened = self.within(Connection::open(&self.shared.target)).await;
        opened.map_err(|error| Stop::Error(error.to_string()))
    }

    /// Sends a request and follows redirects, without credentials to another host.
    ///
    /// *Errors*: as [`Context::send`]; [`Stop::Error`] for a redirect that cannot be followed.
    pub async fn follow(&self, request: Request) -> Result<Response, Stop> {
        let mut request = request;
        for _ in 0..REDIRECTS_MAX {
            let response = self.send(request.clone()).await?;
            let Some(location) = response.header("location").filter(|_| response.is_redirect()) else {
                return Ok(response);
            };
            let url = request
                .url
                .join(location)
                .map_err(|error| Stop::Error(format!("{}: redirect to {error}", request.label())))?;
            self.observe(format!("{} is answered by a redirect ({})", request.method, response.status));
            let keeps = url.same_origin(&request.url);
            let headers = request.headers.into_iter();
            let headers = headers.filter(|(name, _)| keeps || !name.eq_ignore_ascii_case("authorization"));
            request = Request { url, headers: headers.collect(), ..request };
        }
        Err(Stop::Fail(format!("{}: more than {REDIRECTS_MAX} redirects", request.label())))
    }

    async fn within<T>(&self, work: impl Future<Output = Result<T, WireError>>) -> Result<T, WireError> {
        let limit = self.shared.request_deadline;
        timeout(limit, work).await.unwrap_or(Err(WireError::Timeout(limit)))
    }

    fn recorded(
        &self,
        request: &Request,
        result: Result<Response, WireError>,
    ) -> Result<Response, WireError> {
        self.push_exchange(Exchange::new(request, &result));
        if let Ok(response) = &result {
            self.note_left(request, response);
        }
        result
    }

    fn push_exchange(&self, exchange: Exchange) {
        let mut record = lock(&self.record);
        if record.exchanges.len() < EXCHANGES_MAX {
            record.exchanges.push(exchange);
        }
    }

    /// Notes what a successful push left at the target.
    fn note_left(&self, request: &Request, response: &Response) {
        let location = response.header("location").and_then(|text| request.url.join(text).ok());
        let path = request.url.target.split('?').next().unwrap_or_default();
        let left = match (request.method.as_str(), response.status) {
            ("PUT", 201) if path.contains("/manifests/") => {
                let (Body::Sized(bytes) | Body::Chunked(bytes)) = &request.body else {
                    return;
                };
                let folder = path.rsplit_once('/').map_or(path, |(folder, _)| folder);
                let digest = request.url.target.split('/').next_back().filter(|last| last.contains(':'));
                let digest = digest.and_then(|last| last.split('?').next());
                let digest = digest.map_or_else(|| sha256(bytes), str::to_owned);
                Some(Left::Manifest(request.url.at(&format!("{folder}/{digest}"))))
            }
            ("PUT" | "POST", 201) => location.map(Left::Blob),
            ("POST", 202) => location.map(Left::Session),
            _ => None,
        };
        let mut record = lock(&self.record);
        if request.method == "PUT" && response.status == 201 {
            record.left.retain(|old| !matches!(old, Left::Session(url) if url.target.starts_with(path)));
        }
        record.left.extend(left.filter(|left| {
            let (Left::Manifest(url) | Left::Blob(url) | Left::Session(url)) = left;
            url.same_origin(&self.shared.target)
        }));
    }

    // === what came of it ===

    /// Returns and forgets the exchanges recorded so far.
    pub fn take_exchanges(&self) -> Vec<Exchange> {
        std::mem::take(&mut lock(&self.record).exchanges)
    }

    /// Returns and forgets the observations recorded so far.
    pub fn take_observations(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.record).observations)
    }

    /// Returns and forgets what was left at the target.
    pub fn take_left(&self) -> Vec<Left> {
        std::mem::take(&mut lock(&self.record).left)
    }

    /// Returns what the checks of the run share, apart from the running context.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl Manifest {
    /// Returns the Accept header that asks for every manifest type.
    pub fn accept_all() -> String {
        use crate::content::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
        [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST, "*/*"].join(", ")
    }
}

fn stop(label: &str, error: &WireError) -> Stop {
    match error {
        WireError::Connect { .. } => Stop::Error(format!("{label}: {error}")),
        _ => Stop::Fail(format!("{label}: {error}")),
    }
}

/// Locks, also after a panic elsewhere: the data are plain lists that no panic leaves half-written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
