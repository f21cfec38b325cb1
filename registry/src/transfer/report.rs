//! What was done, what could not be, and who hears of it meanwhile.

use super::Error;
use crate::oci::Digest;

/// Hears how far the work is.
pub trait Progress: Send + Sync {
    /// So many bytes more will be read.
    fn expect(&self, bytes: u64);
    /// So many bytes more were read.
    fn advance(&self, bytes: u64);
    /// An image was begun.
    fn begin(&self, what: &str);
    /// An image is done.
    fn end(&self, what: &str, digest: &Digest, outcome: Outcome);
    /// Something could not be done; the rest goes on.
    fn fail(&self, failure: &Failure);
    /// Something is left out, and that is no fault.
    fn note(&self, text: &str);
}

/// What became of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was copied, at least in part.
    Copied,
    /// It was there, whole.
    Here,
}

/// Something that could not be done.
#[derive(Debug)]
pub struct Failure {
    /// What it is about: a repository, or an image of one.
    pub what: String,
    /// Why.
    pub error: Error,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Report {
    /// Repositories that were looked at.
    pub repositories: u64,
    /// Manifests that were written.
    pub manifests: u64,
    /// Manifests that were there, with all their tags.
    pub manifests_here: u64,
    /// Blobs whose bytes were written.
    pub blobs: u64,
    /// Blobs that were there.
    pub blobs_here: u64,
    /// Bytes that were written, of blobs and manifests.
    pub bytes: u64,
    /// Tags that were set.
    pub tags: u64,
    /// How many things could not be done.
    pub failed: u64,
    /// The first [`FAILURES_MAX`] of them.
    pub failures: Vec<Failure>,
}

/// How many failures are kept; all of them are shown when they happen.
pub const FAILURES_MAX: usize = 1_000;

impl Report {
    /// Takes in what could not be done.
    pub(super) fn fail(&mut self, failure: Failure) {
        self.failed += 1;
        if self.failures.len() < FAILURES_MAX {
            self.failures.push(failure);
        }
    }
}
