//! Who works on a digest: pushes together, a delete alone.
//!
//! A manifest push claims what it refers to before it looks whether that is there, and a delete
//! claims what it deletes before it looks whether anything refers to it; so of the two one waits,
//! and then sees what the other did. A claim is a domain fact that outlives single steps of I/O,
//! not a lock that a reader could meet: readers claim nothing (P9).

use std::collections::HashMap;
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
    holders: Mutex<HashMap<Claim, Holders>>,
    released: Notify,
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

impl Claims {
    /// Claims things together with others who share them; waits while one is claimed alone.
    ///
    /// All or none are claimed at once, so that two callers never wait for each other.
    pub(super) async fn share(&self, mut claims: Vec<Claim>) -> Held {
        let mut seen = std::collections::HashSet::new();
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

impl Table {
    fn holders(&self) -> MutexGuard<'_, HashMap<Claim, Holders>> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_hold(&self, claims: &[Claim], next: impl Fn(Option<Holders>) -> Option<Holders>) -> bool {
        let mut table = self.holders();
        let changes: Option<Vec<Holders>> =
            claims.iter().map(|claim| next(table.get(claim).copied())).collect();
        let Some(changes) = changes else { return false };
        for (claim, holders) in claims.iter().zip(changes) {
            table.insert(claim.clone(), holders);
        }
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut table = self.table.holders();
        for claim in &self.claims {
            match table.get_mut(claim) {
                Some(Holders::Shared(count)) if *count > 1 => *count -= 1,
                _ => drop(table.remove(claim)),
            }
        }
        drop(table);
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
        assert!(claims.0.holders().is_empty(), "nothing is left behind");
    }
}
