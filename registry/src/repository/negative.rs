//! What upstreams said they do not have, or not for us: remembered for a short while (`negativeTtl`), so that
//! a client that asks again and again does not cost an upstream's quota.
//!
//! Failures of an upstream are never remembered here: they say nothing of the content.

use tokio::time::Instant;

use super::Error;
use crate::mutants;
use crate::oci::{Digest, Reference, RepositoryName};
use crate::upstream::{self, Id, Upstream};

/// Answers remembered at once; the least used are forgotten first.
const ANSWERS_MAX: u64 = 100_000;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Object {
    Manifest(Reference),
    Blob(Digest),
}

type Key = (Id, RepositoryName, Object);

/// The answers. Derived: losing one costs a question.
#[derive(Debug)]
pub(super) struct Negative(moka::sync::Cache<Key, (upstream::Error, Instant)>);

impl Default for Negative {
    fn default() -> Self {
        Self(moka::sync::Cache::new(ANSWERS_MAX))
    }
}

impl Negative {
    /// Forgets what an upstream said of a repository.
    pub(super) fn forget(&self, upstream: Id, name: &RepositoryName) {
        let all: Vec<_> = self.0.iter().map(|(key, _)| key).collect();
        for key in all.iter().filter(|key| key.0 == upstream && key.1 == *name) {
            self.0.invalidate(key.as_ref());
        }
    }

    /// Fails with what the upstream said of a manifest a short while ago.
    pub(super) fn of_manifest(
        &self,
        upstream: &Upstream,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<(), Error> {
        self.find(&key(upstream, name, Object::Manifest(reference.clone())))
    }

    /// Fails with what the upstream said of a blob a short while ago.
    pub(super) fn of_blob(
        &self,
        upstream: &Upstream,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), Error> {
        self.find(&key(upstream, name, Object::Blob(*digest)))
    }

    /// Remembers what an upstream said of a manifest, if that is an answer.
    pub(super) fn keep_manifest(
        &self,
        upstream: &Upstream,
        name: &RepositoryName,
        reference: &Reference,
        error: &Error,
    ) {
        self.keep(upstream, key(upstream, name, Object::Manifest(reference.clone())), error);
    }

    /// Remembers what an upstream said of a blob, if that is an answer.
    pub(super) fn keep_blob(
        &self,
        upstream: &Upstream,
        name: &RepositoryName,
        digest: &Digest,
        error: &Error,
    ) {
        self.keep(upstream, key(upstream, name, Object::Blob(*digest)), error);
    }

    fn find(&self, key: &Key) -> Result<(), Error> {
        match self.0.get(key) {
            Some((error, until))
                if until > Instant::now() || mutants::is("MU47-what-was-not-there-never-is") =>
            {
                Err(Error::Upstream(error))
            }
            Some(_) => {
                self.0.invalidate(key);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn keep(&self, upstream: &Upstream, key: Key, error: &Error) {
        let ttl = upstream.options().negative_ttl;
        let Error::Upstream(error) = error else { return };
        let is_answer = matches!(
            error,
            upstream::Error::NotFound { .. }
                | upstream::Error::Denied { .. }
                | upstream::Error::Unsigned { .. }
        );
        if (is_answer || mutants::is("MU46-a-failure-is-remembered-as-an-answer")) && !ttl.is_zero() {
            self.0.insert(key, (error.clone(), Instant::now() + ttl));
        }
    }
}

fn key(upstream: &Upstream, name: &RepositoryName, object: Object) -> Key {
    (upstream.id(), name.clone(), object)
}
