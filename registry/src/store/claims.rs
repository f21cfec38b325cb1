//! Who works on a digest: pushes together, a delete alone.
//!
//! A manifest push claims what it refers to before it looks whether that is there, and a delete
//! claims what it deletes before it looks whether anything refers to it; so of the two one waits,
//! and then sees what the other did. A claim is a domain fact that outlives single steps of I/O,
//! not a lock that a reader could meet: readers claim nothing (P9).
//!
//! Who judges many things of a repository before it removes some watches the repository meanwhile: what
//! others have claimed since the watch began is not as it was judged.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::RepositoryKey;
use crate::oci::Digest;

/// What is claimed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Claim {
    /// A blob or manifest of a repository.
    Object(RepositoryKey, Digest),
    /// Whether a repository holds something at all.
    Name(RepositoryKey),
    /// The mark that it does, which stands a little before its first manifest and after its last: shared by whoever
    /// may leave it to be taken away in the end.
    Mark(RepositoryKey),
    /// Content, whoever links it.
    Content(Digest),
}

/// All claims of the process.
#[derive(Debug, Default)]
pub(super) struct Claims(Arc<Table>);

#[derive(Debug, Default)]
struct Table {
    state: Mutex<State>,
    released: Notify,
}

#[derive(Debug, Default)]
struct State {
    holders: HashMap<Claim, Holders>,
    watched: Option<Watched>,
}

/// What was claimed of a repository by who shares it, since a watch began.
#[derive(Debug)]
struct Watched {
    repository: RepositoryKey,
    met: HashSet<Digest>,
}

#[derive(Debug, Clone, Copy)]
enum Holders {
    Shared(usize),
    Exclusive,
}

/// Holds claims until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    table: Arc<Table>,
    claims: Vec<Claim>,
}

/// Sees who shares claims on the blobs and manifests of a repository, until it is dropped; there is one at a
/// time.
#[derive(Debug)]
pub(super) struct Watch(Arc<Table>);

impl Claims {
    /// Begins a watch; what is claimed now counts as claimed since.
    pub(super) fn watch(&self, repository: &RepositoryKey) -> Arc<Watch> {
        let mut state = self.0.state();
        let mut watched = Watched { repository: repository.clone(), met: HashSet::new() };
        state.holders.keys().for_each(|claim| watched.see(claim));
        state.watched = Some(watched);
        drop(state);
        Arc::new(Watch(Arc::clone(&self.0)))
    }

    /// Claims things together with others who share them; waits while one is claimed alone.
    ///
    /// All or none are claimed at once, so that two callers never wait for each other.
    pub(super) async fn share(&self, mut claims: Vec<Claim>) -> Held {
        let mut seen = HashSet::new();
        claims.retain(|claim| seen.insert(claim.clone()));
        self.hold(claims, |holders| match holders {
            None => Some(Holders::Shared(1)),
            Some(Holders::Shared(count)) => Some(Holders::Shared(count + 1)),
            Some(Holders::Exclusive) => None,
        })
        .await
    }

    /// Claims a thing alone; waits while anybody else claims it.
    pub(super) async fn exclude(&self, claim: Claim) -> Held {
        self.hold(vec![claim], |holders| holders.is_none().then_some(Holders::Exclusive)).await
    }

    async fn hold(&self, claims: Vec<Claim>, next: impl Fn(Option<Holders>) -> Option<Holders>) -> Held {
        loop {
            let released = self.0.released.notified();
            tokio::pin!(released);
            // Registered before the look, so that a release between look and wait is not missed.
            released.as_mut().enable();
            if self.0.try_hold(&claims, &next) {
                return Held { table: Arc::clone(&self.0), claims };
            }
            released.await;
        }
    }
}

impl Watch {
    /// Says whether anybody has shared a claim on it since the watch began; the caller claims it alone, so that
    /// nobody does before it is done.
    pub(super) fn has_met(&self, digest: &Digest) -> bool {
        self.0.state().watched.as_ref().is_none_or(|watched| watched.met.contains(digest))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.state().watched = None;
    }
}

impl Watched {
    fn see(&mut self, claim: &Claim) {
        if let Claim::Object(repository, digest) = claim
            && *repository == self.repository
        {
            self.met.insert(*digest);
        }
    }
}

impl Table {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_hold(&self, claims: &[Claim], next: impl Fn(Option<Holders>) -> Option<Holders>) -> bool {
        let mut state = self.state();
        let changes: Option<Vec<Holders>> =
            claims.iter().map(|claim| next(state.holders.get(claim).copied())).collect();
        let Some(changes) = changes else { return false };
        for (claim, holders) in claims.iter().zip(changes) {
            if let (Holders::Shared(_), Some(watched)) = (holders, &mut state.watched) {
                watched.see(claim);
            }
            state.holders.insert(claim.clone(), holders);
        }
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.table.state();
        for claim in &self.claims {
            match state.holders.get_mut(claim) {
                Some(Holders::Shared(count)) if *count > 1 => *count -= 1,
                _ => drop(state.holders.remove(claim)),
            }
        }
        drop(state);
        self.table.released.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    //! Goal: sharers together, excluders alone, nobody waits for ever. Method: futures polled by hand.

    use futures_util::FutureExt;

    use super::*;
    use crate::oci::{Algorithm, Hasher, RepositoryName};

    fn claim(text: &str) -> Claim {
        let repository = RepositoryKey::hosted(RepositoryName::parse("a").unwrap());
        Claim::Object(repository, Hasher::digest(Algorithm::Sha256, text.as_bytes()))
    }

    #[tokio::test]
    async fn sharers_hold_together_and_an_excluder_waits_for_all() {
        let claims = Claims::default();
        let first = claims.share(vec![claim("x"), claim("x"), claim("y")]).await;
        let second = claims.share(vec![claim("x")]).await;
        let mut alone = Box::pin(claims.exclude(claim("x")));
        assert!((&mut alone).now_or_never().is_none());
        drop(first);
        assert!((&mut alone).now_or_never().is_none());
        drop(second);
        let alone = alone.await;
        assert!(claims.share(vec![claim("y"), claim("x")]).now_or_never().is_none(), "all or none");
        assert!(claims.exclude(claim("y")).now_or_never().is_some(), "none was kept");
        drop(alone);
        assert!(claims.0.state().holders.is_empty(), "nothing is left behind");
    }

    #[tokio::test]
    async fn a_watch_sees_who_shares_and_nobody_else() {
        let digest = |text: &str| Hasher::digest(Algorithm::Sha256, text.as_bytes());
        let repository = RepositoryKey::hosted(RepositoryName::parse("a").unwrap());
        let other = RepositoryKey::hosted(RepositoryName::parse("b").unwrap());
        let claims = Claims::default();
        let before = claims.share(vec![claim("before")]).await;
        let watch = claims.watch(&repository);
        drop(before);
        drop(claims.share(vec![claim("since"), Claim::Object(other, digest("elsewhere"))]).await);
        let _alone = claims.exclude(claim("alone")).await;
        let met = ["before", "since", "elsewhere", "alone"].map(|text| watch.has_met(&digest(text)));
        assert_eq!(met, [true, true, false, false]);
    }
}
