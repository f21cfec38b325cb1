//! What the methods of a repository share, and which side a name is on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Error;
use super::attempts::{Backlog, ManifestKey};
use super::evict::Arrivals;
use super::fill::Fills;
use super::freshness::Times;
use super::list::{List, Lists, Question};
use super::negative::Negative;
use super::options::{Options, UnknownNamespace};
use super::pull::Fetched;
use super::stores::Stores;
use crate::auth::{Grant, Pull, Right};
use crate::clock::Clock;
use crate::oci::{Digest, RepositoryName, Tag};
use crate::store::{RepositoryKey, Space, Store};
use crate::upstream::flight::Flights;
use crate::upstream::options::{FallThrough, Fetch};
use crate::upstream::{self, Asking, Candidate, Id, Routes, Upstream};

/// How far what is on the disk of checks may lag behind: a restart makes a tag that much older.
const CHECK_PERSIST_INTERVAL: Duration = Duration::from_secs(60);
/// The same of pulls.
const PULL_PERSIST_INTERVAL: Duration = Duration::from_secs(600);

/// All repositories, hosted and cached. Clones share them; one that is pinned keeps the upstreams that there were.
#[derive(Debug, Clone)]
pub struct Repositories(pub(super) Arc<Shared>, Option<Arc<Routes>>);

/// A question for a manifest, and the upstream's answer, for all who wait for it.
type ManifestFlights = Flights<ManifestKey, Result<Fetched, upstream::Error>>;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) stores: Stores,
    /// Which upstreams there are, and what each answers for; replaced as a whole.
    routes: watch::Sender<Arc<Routes>>,
    pub(super) options: Options,
    pub(super) fills: Fills,
    /// Manifests that are not cached.
    pub(super) flights: ManifestFlights,
    /// Cached tags.
    pub(super) checks: ManifestFlights,
    pub(super) backlog: Backlog<ManifestKey>,
    pub(super) size_flights: Flights<(Id, RepositoryName, Digest), Result<u64, upstream::Error>>,
    pub(super) negative: Negative,
    pub(super) list_flights: Flights<Question, Result<List, upstream::Error>>,
    pub(super) lists: Lists,
    pub(super) checked_at: Times<(Arc<str>, RepositoryName, Tag)>,
    /// When cached manifests were pulled, of upstreams whose cache is bounded.
    pub(super) pulls: Times<(Arc<str>, RepositoryName, Digest)>,
    pub(super) arrivals: Arc<Arrivals>,
    pub(super) clock: Clock,
}

impl Repositories {
    /// Makes the repositories of a store and the upstreams that its misses may ask.
    pub fn new(stores: impl Into<Stores>, routes: Routes, options: Options, clock: Clock) -> Self {
        let (stores, arrivals) = (stores.into(), Arc::<Arrivals>::default());
        let shared = Arc::new(Shared {
            fills: Fills::new(stores.clone(), Arc::clone(&arrivals), options.background_fills_max),
            flights: Flights::default(),
            checks: Flights::default(),
            size_flights: Flights::default(),
            backlog: Backlog::new(options.background_fills_max),
            negative: Negative::default(),
            list_flights: Flights::default(),
            lists: Lists::default(),
            checked_at: Times::new(CHECK_PERSIST_INTERVAL),
            pulls: Times::new(PULL_PERSIST_INTERVAL),
            arrivals,
            stores,
            routes: watch::Sender::new(Arc::new(routes)),
            options,
            clock,
        });
        Self(shared, None)
    }

    /// Returns them with the upstreams that there are now, so that all that is done for a request asks the same.
    #[must_use]
    pub fn pinned(&self) -> Self {
        Self(Arc::clone(&self.0), Some(Arc::clone(&self.0.routes.borrow())))
    }

    /// Returns the upstreams: those of now, or those that it is pinned to.
    pub(super) fn routes(&self) -> Arc<Routes> {
        Arc::clone(self.1.as_ref().unwrap_or(&self.0.routes.borrow()))
    }

    /// Returns the upstreams as they are now, and says when they change.
    pub(super) fn watch_routes(&self) -> watch::Receiver<Arc<Routes>> {
        self.0.routes.subscribe()
    }

    /// Asks other upstreams from now on.
    ///
    /// An [`Upstream`] that is in both goes on as it is, with what it has said. What is cached of one that is
    /// gone stays, and is served again when there is one of its name. Bodies that are arriving from one that is
    /// gone are taken to their end; it is not asked anew, and moves no tags.
    pub fn replace_routes(&self, routes: Routes) {
        for upstream in routes.all() {
            upstream.reinstate();
        }
        let new = Arc::new(routes);
        let old = self.0.routes.send_replace(Arc::clone(&new));
        for upstream in old.all().filter(|it| !new.has(it)) {
            upstream.retire();
        }
    }

    /// Returns the upstreams that a name may be looked for at: those that stand for its first component, if
    /// any does; and of them those of which the holder may read the repository by its canonical name too.
    pub(super) fn candidates<R: Right>(&self, grant: &Grant<R>) -> Vec<Candidate> {
        readable(grant, routed(&self.routes(), grant.name()))
    }

    /// Forgets what an upstream has said of a repository: lists, and that it lacks something.
    pub(super) fn forget_answers(&self, upstream: &Upstream, name: &RepositoryName) {
        self.0.lists.forget(upstream.id(), name);
        self.0.negative.forget(upstream.id(), name);
        self.0.checked_at.forget(|(whose, what, _)| whose == upstream.name() && what == name);
    }

    /// Returns the upstream with this name, if there is one.
    pub(super) fn upstream(&self, name: &str) -> Option<Arc<Upstream>> {
        self.routes().all().find(|it| it.name().as_ref() == name).map(Arc::clone)
    }

    /// Ends all fetches, and makes durable what has arrived; waits no longer than `patience`.
    pub async fn close(&self, patience: Duration) {
        self.0.fills.close(patience).await;
    }

    /// Returns the store that a repository is in.
    pub(super) fn at(&self, repository: &RepositoryKey) -> &Store {
        self.0.stores.of(repository)
    }

    /// Says whether an upstream stands for a registry, as a client's `ns` names it.
    ///
    /// *Spec:* `spec.md#proxying`.
    pub fn is_claimed(&self, namespace: &str) -> bool {
        self.routes().is_claimed(namespace)
    }

    /// Returns where a name is to be looked for.
    ///
    /// A namespace that upstreams claim, in `ns` or as the name's first component, is looked for at these
    /// only. Any other means nothing, since clients send their mirror's own name as well, but an upstream
    /// that says which namespaces it stands for is not asked about another.
    pub(super) async fn sides(&self, grant: &Grant<Pull>, namespace: Option<&str>) -> Result<Sides, Error> {
        let (name, routes) = (grant.name(), self.routes());
        if let Some(namespace) = namespace.filter(|namespace| routes.is_claimed(namespace)) {
            let upstreams = readable(grant, routes.claimers(namespace, name));
            return Ok(Sides { hosted: None, upstreams, is_overlaid: false });
        }
        let mut upstreams = readable(grant, routed(&routes, name));
        if namespace.is_some() {
            let is_asked = self.0.options.unknown_namespace == UnknownNamespace::Route;
            upstreams.retain(|it| is_asked && it.upstream.options().namespaces.is_none());
        }
        let hosted = RepositoryKey::hosted(name.clone());
        // What is hosted never mixes with an upstream's, unless the operator wants it: nobody can slip in what was
        // not pushed.
        let mut is_overlaid = false;
        if !upstreams.is_empty() && self.at(&hosted).repository_exists(&hosted).await? {
            upstreams.retain(|it| it.upstream.options().overlay);
            is_overlaid = !upstreams.is_empty();
        }
        Ok(Sides { hosted: Some(hosted), upstreams, is_overlaid })
    }
}

/// Returns the upstreams that answer for a name, whoever asks.
pub(super) fn routed(routes: &Routes, name: &RepositoryName) -> Vec<Candidate> {
    match routes.namespace_of(name) {
        Some((namespace, rest)) => routes.claimers(namespace, &rest),
        None => routes.of(name).collect(),
    }
}

/// Returns those of which the holder may read the repository by its canonical name, and whether he may have
/// them asked; none after one that he may not: the name may be that one's, and no other answers for it (P10).
fn readable<R: Right>(grant: &Grant<R>, candidates: Vec<Candidate>) -> Vec<Candidate> {
    let reading = |it: &Candidate| grant.reading(&it.upstream.canonical_name(&it.name));
    let goes_on = |it: &Candidate| it.upstream.options().fall_through == FallThrough::Any;
    let allowed = candidates.into_iter().take_while(|it| goes_on(it) || reading(it).is_some());
    let look = |mut candidate: Candidate| {
        let reading = reading(&candidate)?;
        let is_explicit = candidate.upstream.options().fetch == Fetch::Explicit;
        if is_explicit && candidate.asking == Asking::Allowed && !reading.may_fetch() {
            candidate.asking = Asking::Refused;
        }
        Some(candidate)
    };
    allowed.filter_map(look).collect()
}

/// Fails when an upstream may not be asked for what is not here.
pub(super) fn check_asking<R: Right>(grant: &Grant<R>, candidate: &Candidate) -> Result<(), Error> {
    match candidate.asking {
        Asking::Allowed => Ok(()),
        Asking::Never => {
            let upstream = Arc::clone(candidate.upstream.label());
            Err(upstream::Error::NotFound { upstream }.into())
        }
        Asking::Refused => Err(Error::Refused { refusal: grant.fetch_refusal() }),
    }
}

/// Where a name is looked for, in order.
#[derive(Debug)]
pub(super) struct Sides {
    /// What was pushed, unless an upstream was asked for by name.
    pub(super) hosted: Option<RepositoryKey>,
    /// The upstreams that may be asked.
    pub(super) upstreams: Vec<Candidate>,
    /// Whether the name is hosted, and they may be asked all the same.
    pub(super) is_overlaid: bool,
}

/// What the upstreams of a name have said so far, none of which had it.
#[derive(Debug, Default)]
pub(super) struct Said(Option<upstream::Error>);

impl Said {
    /// Adds what one said, and says whether the next one may be asked.
    ///
    /// *Errors:* what this one said, when no other may answer in its place (P10).
    pub(super) fn add(&mut self, candidate: &Candidate, error: Error) -> Result<bool, Error> {
        let Error::Upstream(error) = error else { return Err(error) };
        let goes_on = match candidate.upstream.options().fall_through {
            FallThrough::NotFound => error.is_not_found(),
            FallThrough::Never => false,
            FallThrough::Any => true,
        };
        if !goes_on && !error.is_not_found() {
            return Err(error.into());
        }
        self.0 = Some(match self.0.take() {
            Some(worst) => worst.or_worse(error),
            None => error,
        });
        Ok(goes_on)
    }

    /// Fails unless all of them said that there is no such thing.
    pub(super) fn verdict(self) -> Result<(), Error> {
        match self.0 {
            Some(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// Returns the repository in which an upstream's content is cached, by the upstream's own name for it.
pub(super) fn cached(upstream: &Upstream, name: &RepositoryName) -> RepositoryKey {
    RepositoryKey { space: Space::Upstream(Arc::clone(upstream.name())), name: name.clone() }
}
