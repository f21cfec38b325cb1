//! Parts of a blob by bounded Ranges of the upstream, apart from its fill.
//!
//! Nothing of them is stored: no digest can check a part. They are for who asks for what a fill is far from,
//! and for who was left behind by one that the disk has no room for.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Key;
use super::speed::Speed;
use crate::mutants;
use crate::oci::{Digest, RepositoryName};
use crate::upstream::error::{Phase, Wrong};
use crate::upstream::{self, Fault, Upstream, Worst};

/// Slices of one blob under way at once; more wait for their turn, as long as for an answer.
const SLICES_MAX: usize = 4;

/// The turns at slices, for each blob that has any under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<Mutex<HashMap<Key, Weak<Semaphore>>>>);

impl Turns {
    pub(super) fn of(&self, key: &Key) -> Arc<Semaphore> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = table.get(key).and_then(Weak::upgrade) {
            return turns;
        }
        table.retain(|_, turns| turns.strong_count() > 0);
        let turns = Arc::new(Semaphore::new(SLICES_MAX));
        table.insert(key.clone(), Arc::downgrade(&turns));
        turns
    }
}

/// Where the slices of a blob come from.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) upstream: Arc<Upstream>,
    pub(super) name: RepositoryName,
    pub(super) digest: Digest,
    pub(super) turns: Arc<Semaphore>,
}

/// A slice that is arriving.
pub(super) struct Slice {
    /// The blob's size.
    pub(super) size: u64,
    /// Where its next byte is in the blob.
    pub(super) at: u64,
    end: u64,
    body: BoxStream<'static, Result<Bytes, upstream::Error>>,
    speed: Speed,
    label: Arc<str>,
    _turn: OwnedSemaphorePermit,
}

impl Source {
    /// Asks each url once for the bytes from `start` on: as many as one slice may have, and none from `end`
    /// on.
    ///
    /// *Errors:* those of the upstream; [`Wrong::Range`] when it sends another range, or all.
    pub(super) async fn slice(&self, start: u64, end: Option<u64>) -> Result<Slice, upstream::Error> {
        let (upstream, options) = (&self.upstream, self.upstream.options());
        let turn = tokio::time::timeout(options.response_timeout, Arc::clone(&self.turns).acquire_owned());
        let late =
            |_| upstream::Error::Timeout { upstream: Arc::clone(upstream.label()), phase: Phase::Turn };
        let turn = turn.await.map_err(late)?.expect("the turns are never closed");
        let longest = match options.range_fetch_max.max(1) {
            _ if mutants::is("MU72-a-slice-has-no-limit") => u64::MAX,
            most => start.saturating_add(most),
        };
        let end = end.map_or(longest, |end| end.min(longest));
        let mut worst = Worst::default();
        for url in upstream.urls() {
            match upstream.blob_part(url, &self.name, &self.digest, start, end - 1).await {
                Ok((size, body)) => {
                    let speed = Speed::new(options.throughput_min);
                    let (end, label) = (end.min(size), Arc::clone(upstream.label()));
                    return Ok(Slice { size, at: start, end, body, speed, label, _turn: turn });
                }
                Err(error) => worst.add(upstream, error),
            }
        }
        Err(upstream.failed(worst))
    }

    pub(super) fn count(&self, bytes: &Bytes) {
        metrics::counter!("wharfinger_cold_range_bytes_total", "upstream" => self.upstream.name().to_string())
            .increment(bytes.len() as u64);
    }
}

impl Slice {
    /// Returns its next bytes; `None` when it has come to its end.
    ///
    /// *Errors:* those of the upstream; also when it sends fewer bytes than it said, or more.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, upstream::Error>> {
        if self.at >= self.end {
            return None;
        }
        let upstream = Arc::clone(&self.label);
        let piece = match self.speed.watch(self.body.next()).await {
            Ok(Some(Ok(piece))) => piece,
            Ok(Some(Err(error))) => return Some(Err(error)),
            Ok(None) => {
                return Some(Err(upstream::Error::Unreachable { upstream, fault: Fault::Incomplete }));
            }
            Err(()) => return Some(Err(upstream::Error::Timeout { upstream, phase: Phase::Body })),
        };
        self.speed.count(piece.len() as u64);
        self.at += piece.len() as u64;
        if self.at > self.end {
            return Some(Err(upstream::Error::wrong(&upstream, Wrong::Length)));
        }
        Some(Ok(piece))
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slice({}..{} of {})", self.at, self.end, self.size)
    }
}
