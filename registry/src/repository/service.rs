//! What the methods of a repository share, and which side a name is on.

use std::sync::Arc;

use super::Error;
use super::attempts::{Backlog, ManifestKey};
use super::fill::Fills;
use super::freshness::CheckedAt;
use super::list::{List, Lists, Question};
use super::negative::Negative;
use super::options::{Options, UnknownNamespace};
use super::pull::Fetched;
use crate::clock::Clock;
use crate::oci::{Digest, RepositoryName};
use crate::store::{RepositoryKey, Space, Store};
use crate::upstream::flight::Flights;
use crate::upstream::options::FallThrough;
use crate::upstream::{self, Candidate, Routes, Upstream};

/// All repositories, hosted and cached. Clones share them.
#[derive(Debug, Clone)]
pub struct Repositories(pub(super) Arc<Shared>);

/// A question for a manifest, and the upstream's answer, for all who wait for it.
type ManifestFlights = Flights<ManifestKey, Result<Fetched, upstream::Error>>;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) routes: Routes,
    pub(super) options: Options,
    pub(super) fills: Fills,
    /// Manifests that are not cached.
    pub(super) flights: ManifestFlights,
    /// Cached tags.
    pub(super) checks: ManifestFlights,
    pub(super) backlog: Backlog<ManifestKey>,
    pub(super) size_flights: Flights<(Arc<str>, RepositoryName, Digest), Result<u64, upstream::Error>>,
    pub(super) negative: Negative,
    pub(super) list_flights: Flights<Question, Result<List, upstream::Error>>,
    pub(super) lists: Lists,
    pub(super) checked_at: CheckedAt,
    pub(super) clock: Clock,
}

impl Repositories {
    /// Makes the repositories of a store and the upstreams that its misses may ask.
    pub fn new(store: Store, routes: Routes, options: Options, clock: Clock) -> Self {
        Self(Arc::new(Shared {
            fills: Fills::new(store.clone(), options.background_fills_max),
            flights: Flights::default(),
            checks: Flights::default(),
            size_flights: Flights::default(),
            backlog: Backlog::new(options.background_fills_max),
            negative: Negative::default(),
            list_flights: Flights::default(),
            lists: Lists::default(),
            checked_at: CheckedAt::default(),
            store,
            routes,
            options,
            clock,
        }))
    }

    /// Says whether a miss of this name may ask an upstream.
    pub(super) fn has_upstreams(&self, name: &RepositoryName) -> bool {
        !self.candidates(name).is_empty()
    }

    /// Returns the upstreams that a miss of this name may ask: those that stand for its first component, if any
    /// does.
    pub(super) fn candidates(&self, name: &RepositoryName) -> Vec<Candidate> {
        match self.0.routes.namespace_of(name) {
            Some((namespace, rest)) => {
                self.0.routes.claimers(namespace, &rest).into_iter().filter(may_ask).collect()
            }
            None => self.0.routes.of(name).filter(may_ask).collect(),
        }
    }

    /// Says whether stored bytes are hashed while they are sent.
    pub fn verifies_on_read(&self) -> bool {
        self.0.store.verifies_on_read()
    }

    /// Says whether an upstream stands for a registry, as a client's `ns` names it.
    ///
    /// *Spec:* `spec.md#proxying`.
    pub fn is_claimed(&self, namespace: &str) -> bool {
        self.0.routes.all().any(|upstream| upstream.claims(namespace))
    }

    /// Returns where a name is to be looked for.
    ///
    /// A namespace that upstreams claim, in `ns` or as the name's first component, is looked for at these
    /// only. Any other means nothing, since clients send their mirror's own name as well, but an upstream
    /// that says which namespaces it stands for is not asked about another.
    pub(super) async fn sides(&self, name: &RepositoryName, namespace: Option<&str>) -> Result<Sides, Error> {
        if let Some(namespace) = namespace.filter(|namespace| self.is_claimed(namespace)) {
            let claimers = self.0.routes.claimers(namespace, name);
            return Ok(Sides { hosted: None, upstreams: claimers.into_iter().filter(may_ask).collect() });
        }
        let mut upstreams = self.candidates(name);
        if namespace.is_some() {
            let is_asked = self.0.options.unknown_namespace == UnknownNamespace::Route;
            upstreams.retain(|it| is_asked && it.upstream.options().namespaces.is_none());
        }
        let hosted = RepositoryKey::hosted(name.clone());
        // What is hosted never mixes with an upstream's: nobody can slip in what was not pushed.
        if !upstreams.is_empty() && self.0.store.repository_exists(&hosted).await? {
            upstreams.clear();
        }
        Ok(Sides { hosted: Some(hosted), upstreams })
    }
}

fn may_ask(candidate: &Candidate) -> bool {
    candidate.upstream.options().on_demand
}

/// Where a name is looked for, in order.
#[derive(Debug)]
pub(super) struct Sides {
    /// What was pushed, unless an upstream was asked for by name.
    pub(super) hosted: Option<RepositoryKey>,
    /// The upstreams that may be asked.
    pub(super) upstreams: Vec<Candidate>,
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
