//! Parts of a blob by bounded Ranges of the upstream, apart from its fill.
//!
//! Nothing of them is stored: no digest can check a part. They are for who asks for what a fill is far from,
//! and for who was left behind by one that the disk has no room for.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use super::Key;
use super::speed::Speed;
use crate::mutants;
use crate::oci::{Digest, RepositoryName};
use crate::upstream::client::BlobBody;
use crate::upstream::error::{Phase, Wrong};
use crate::upstream::{self, Fault, Upstream, Worst};

/// Slices of one blob under way at once; more wait for their turn, as long as for an answer.
const SLICES_MAX: usize = 4;

/// Pieces that a slice is ahead of its reader; each is at most one read of a socket.
const PIECES_AHEAD: usize = 4;

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

/// A slice that is arriving. It goes on by itself, a few pieces ahead of its reader; a reader that takes none
/// for as long as an answer may take is left behind, so that he does not hold a place at the upstream.
pub(super) struct Slice {
    /// The blob's size.
    pub(super) size: u64,
    /// Where its next byte is in the blob.
    pub(super) at: u64,
    end: u64,
    pieces: mpsc::Receiver<Result<Bytes, upstream::Error>>,
}

/// What comes next of a slice.
pub(super) enum Next {
    /// Bytes.
    Piece(Bytes),
    /// Nothing: it has come to its end.
    End,
    /// Nothing: its reader was left behind.
    LeftBehind,
    /// The upstream broke off, or sent fewer bytes than it said, or more.
    Failed,
}

/// What the upstream sends of a slice.
struct Arriving {
    /// Bytes that are still to come.
    left: u64,
    body: BlobBody,
    speed: Speed,
    label: Arc<str>,
    patience: Duration,
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
        if end <= start {
            // No blob is so large.
            let upstream = Arc::clone(upstream.label());
            return Err(upstream::Error::Status { upstream, status: 416, retry_after: None });
        }
        let mut worst = Worst::default();
        for url in upstream.urls() {
            match upstream.blob_part(url, &self.name, &self.digest, start, end - 1).await {
                Ok((size, body)) => {
                    let end = end.min(size);
                    let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
                    let arriving = Arriving {
                        left: end.saturating_sub(start),
                        body,
                        speed: Speed::new(options.throughput_min),
                        label: Arc::clone(upstream.label()),
                        patience: options.response_timeout,
                        _turn: turn,
                    };
                    tokio::spawn(arriving.go_on(sender));
                    return Ok(Slice { size, at: start, end, pieces });
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
    /// Returns what comes next.
    pub(super) async fn next(&mut self) -> Next {
        if self.at >= self.end {
            return Next::End;
        }
        match self.pieces.recv().await {
            Some(Ok(piece)) => {
                self.at += piece.len() as u64;
                Next::Piece(piece)
            }
            Some(Err(_)) => Next::Failed,
            None => Next::LeftBehind,
        }
    }
}

impl Arriving {
    async fn go_on(mut self, reader: mpsc::Sender<Result<Bytes, upstream::Error>>) {
        while self.left > 0 {
            let piece = tokio::select! {
                biased;
                () = reader.closed() => return,
                piece = self.piece() => piece,
            };
            let is_over = piece.is_err();
            // Not sent in time, its reader is left behind; it hears of that by the end of the channel.
            let begun = Instant::now();
            let sent = tokio::time::timeout(self.patience, reader.send(piece)).await;
            if is_over || !matches!(sent, Ok(Ok(()))) {
                return;
            }
            self.speed.leave_out(begun.elapsed());
        }
    }

    async fn piece(&mut self) -> Result<Bytes, upstream::Error> {
        let upstream = Arc::clone(&self.label);
        let piece = match self.speed.watch(self.body.next()).await {
            Ok(Some(piece)) => piece?,
            Ok(None) => return Err(upstream::Error::Unreachable { upstream, fault: Fault::Incomplete }),
            Err(()) => return Err(upstream::Error::Timeout { upstream, phase: Phase::Body }),
        };
        self.speed.count(piece.len() as u64);
        let left = self.left.checked_sub(piece.len() as u64);
        self.left = left.ok_or_else(|| upstream::Error::wrong(&upstream, Wrong::Length))?;
        Ok(piece)
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slice({}..{} of {})", self.at, self.end, self.size)
    }
}
