//! What the methods of a repository share, and which side a name is on.

use std::sync::Arc;

use super::Error;
use super::fill::Fills;
use super::flight::Flights;
use super::freshness::CheckedAt;
use super::list::{List, Lists, Question};
use super::pull::Fetched;
use crate::clock::Clock;
use crate::oci::{Reference, RepositoryName};
use crate::store::{RepositoryKey, Space, Store};
use crate::upstream::{self, Routes, Upstream};

/// All repositories, hosted and cached. Clones share them.
#[derive(Debug, Clone)]
pub struct Repositories(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) routes: Routes,
    pub(super) fills: Fills,
    pub(super) flights: Flights<(Arc<str>, RepositoryName, Reference), Result<Fetched, upstream::Error>>,
    pub(super) list_flights: Flights<Question, Result<List, upstream::Error>>,
    pub(super) lists: Lists,
    pub(super) checked_at: CheckedAt,
    pub(super) clock: Clock,
}

impl Repositories {
    /// Makes the repositories of a store and the upstreams that its misses may ask.
    pub fn new(store: Store, routes: Routes, clock: Clock) -> Self {
        Self(Arc::new(Shared {
            fills: Fills::new(store.clone()),
            flights: Flights::default(),
            list_flights: Flights::default(),
            lists: Lists::default(),
            checked_at: CheckedAt::default(),
            store,
            routes,
            clock,
        }))
    }

    /// Says whether a miss of this name may ask an upstream.
    pub(super) fn has_upstreams(&self, name: &RepositoryName) -> bool {
        self.0.routes.of(name).any(|upstream| upstream.options().on_demand)
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
    /// A namespace that upstreams claim is looked for at these only, whatever is hosted under the
    /// name; any other means nothing, since clients send their mirror's own name as well.
    pub(super) async fn sides(&self, name: &RepositoryName, namespace: Option<&str>) -> Result<Sides, Error> {
        let may_ask = |upstream: &Arc<Upstream>| upstream.options().on_demand;
        if let Some(namespace) = namespace.filter(|namespace| self.is_claimed(namespace)) {
            let claimers = self.0.routes.claimers(namespace, name);
            return Ok(Sides { hosted: None, upstreams: claimers.into_iter().filter(may_ask).collect() });
        }
        let hosted = RepositoryKey::hosted(name.clone());
        let mut upstreams: Vec<Arc<Upstream>> =
            self.0.routes.of(name).filter(|each| may_ask(each)).cloned().collect();
        // What is hosted never mixes with an upstream's: nobody can slip in what was not pushed.
        if !upstreams.is_empty() && self.0.store.repository_exists(&hosted).await? {
            upstreams.clear();
        }
        Ok(Sides { hosted: Some(hosted), upstreams })
    }
}

/// Where a name is looked for, in order.
#[derive(Debug)]
pub(super) struct Sides {
    /// What was pushed, unless an upstream was asked for by name.
    pub(super) hosted: Option<RepositoryKey>,
    /// The upstreams that may be asked.
    pub(super) upstreams: Vec<Arc<Upstream>>,
}

/// Returns the repository in which an upstream's content of this name is cached.
pub(super) fn cached(upstream: &Upstream, name: &RepositoryName) -> RepositoryKey {
    RepositoryKey { space: Space::Upstream(Arc::clone(upstream.name())), name: name.clone() }
}
