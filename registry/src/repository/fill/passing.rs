//! A fetch that the disk has no room for: what arrives is passed on from memory, and not kept.
//!
//! Readers near its head share it; the fastest of them sets its pace. Who is left behind goes on with slices
//! of his own (`slice`). Each reader of the whole hashes what he is sent after the file, since no stored blob
//! will vouch for it (P1).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::speed::Speed;
use super::staged::Staged;
use super::work::Work;
use crate::oci::Hasher;
use crate::repository::Error;
use crate::upstream::client::BlobBody;
use crate::upstream::error::Wrong;

/// Bytes that are kept in memory of one fetch.
const WINDOW_BYTES_MAX: u64 = 1024 * 1024;

/// What is passed on of one fetch.
#[derive(Debug)]
pub(super) struct Passing {
    /// How many bytes are in the file; what is passed on comes after them.
    pub(super) kept: u64,
    /// The hash of those.
    pub(super) hasher: Hasher,
    window: Mutex<Window>,
    /// Told when a reader has gone on.
    moved: Notify,
}

#[derive(Debug)]
struct Window {
    /// Where in the blob its first byte is.
    start: u64,
    pieces: VecDeque<Bytes>,
    len: u64,
    /// How far the fastest reader is.
    furthest: u64,
}

impl Passing {
    /// Begins after the bytes that are in the file.
    pub(super) fn new(kept: u64, hasher: Hasher) -> Self {
        let window = Window { start: kept, pieces: VecDeque::new(), len: 0, furthest: kept };
        Self { kept, hasher, window: Mutex::new(window), moved: Notify::new() }
    }

    /// Takes in what has arrived, and forgets what is too long ago; never what the fastest reader has not had:
    /// that much nobody is sent before he has gone on.
    pub(super) fn push(&self, piece: Bytes) {
        let mut window = self.window();
        window.len += piece.len() as u64;
        window.pieces.push_back(piece);
        while window.len > WINDOW_BYTES_MAX
            && let Some(oldest) = window.pieces.front().map(|piece| piece.len() as u64)
            && window.start + oldest <= window.furthest
        {
            window.pieces.pop_front();
            window.len -= oldest;
            window.start += oldest;
        }
    }

    /// Says whether the first of what was passed on is forgotten.
    pub(super) fn has_slid(&self) -> bool {
        self.window().start > self.kept
    }

    /// Waits until a reader has use for more; says whether that took no longer than `patience`.
    pub(super) async fn is_read_on(&self, patience: Duration) -> bool {
        let wait = async {
            loop {
                let moved = self.moved.notified();
                tokio::pin!(moved);
                // Registered before the look, so that a move between look and wait is not missed.
                moved.as_mut().enable();
                if self.ahead() <= WINDOW_BYTES_MAX / 2 {
                    return;
                }
                moved.await;
            }
        };
        tokio::time::timeout(patience, wait).await.is_ok()
    }

    /// Returns bytes from an offset that has arrived, at most `len`; `None` when they are forgotten.
    pub(super) fn read(&self, at: u64, len: usize) -> Option<Bytes> {
        let mut window = self.window();
        let mut start = window.start;
        if at < start {
            return None;
        }
        let found = window.pieces.iter().find_map(|piece| {
            let (from, end) = (start, start + piece.len() as u64);
            start = end;
            (from <= at && at < end).then(|| piece.slice(usize::try_from(at - from).unwrap_or(usize::MAX)..))
        })?;
        let bytes = found.slice(..len.min(found.len()));
        window.furthest = window.furthest.max(at + bytes.len() as u64);
        drop(window);
        self.moved.notify_waiters();
        Some(bytes)
    }

    fn ahead(&self) -> u64 {
        let window = self.window();
        (window.start + window.len).saturating_sub(window.furthest)
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    /// Passes on what the disk has no room for, from the end of the file.
    pub(super) async fn pass_on(
        &self,
        mut body: BlobBody,
        staged: &Staged,
        size: Option<u64>,
    ) -> Result<(), Error> {
        // Why there is no file at all has been told.
        if staged.reader().is_some() {
            tracing::warn!(upstream.name = %self.upstream.name(), blob.digest = %self.digest,
                "the disk takes no more of a blob; it is passed on, and not kept");
        }
        let (mut hasher, mut written) = (staged.hasher(), staged.len());
        let passing = Arc::new(Passing::new(written, hasher.clone()));
        self.progress.send_modify(|progress| progress.passing = Some(Arc::clone(&passing)));
        let options = self.upstream.options();
        let mut speed = Speed::new(options.throughput_min);
        let is_whole = |written: u64, hasher: &Hasher| match size {
            Some(size) => written >= size,
            None => hasher.clone().finish() == self.digest,
        };
        loop {
            let piece = match speed.watch(body.next()).await.map_err(|()| self.slow())? {
                Some(Ok(piece)) => piece,
                Some(Err(error)) if !is_whole(written, &hasher) => return Err(error.into()),
                Some(Err(_)) | None => break,
            };
            let len = piece.len() as u64;
            speed.count(len);
            hasher.update(&piece);
            written += len;
            passing.push(piece);
            self.progress.send_modify(|progress| {
                progress.written = written;
                progress.written_at = Instant::now();
            });
            let full_at = Instant::now();
            if !passing.is_read_on(options.response_timeout).await {
                // Nobody reads it, or too slowly for an upstream's connection to be held for him.
                return Err(self.slow());
            }
            speed.leave_out(full_at.elapsed());
        }
        match size {
            Some(size) if written < size => Err(self.broken()),
            Some(size) if written > size => Err(self.wrong(Wrong::Length)),
            _ if hasher.finish() != self.digest => Err(self.wrong(Wrong::Digest)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    //! Goal: the memory is bounded, and nobody is sent a byte that is not his. Method: a table of offsets.

    use super::*;
    use crate::oci::Algorithm;

    #[tokio::test(start_paused = true)]
    async fn p6_what_is_too_long_ago_is_forgotten_and_the_fastest_sets_the_pace() {
        let passing = Passing::new(100, Hasher::new(Algorithm::Sha256));
        let piece = |byte: u8| Bytes::from(vec![byte; 256 * 1024]);
        let size = 256 * 1024;
        for byte in 0..5 {
            passing.push(piece(byte));
        }
        assert_eq!(passing.window().len, 5 * size, "nobody has had any of it");
        assert_eq!(passing.read(100, 256 * 1024).map(|it| it.len()), Some(256 * 1024));
        passing.push(Bytes::new());
        assert_eq!(passing.window().len, 4 * size);
        assert_eq!(passing.read(100, 10), None, "the first piece is gone");
        assert_eq!(passing.read(99 + size, 10), None);
        assert!(!passing.is_read_on(Duration::from_secs(1)).await, "nobody reads");
        assert_eq!(passing.read(100 + size, 2).as_deref(), Some(&[1, 1][..]));
        assert_eq!(passing.read(99 + 2 * size, 9).as_deref(), Some(&[1][..]), "to the end of a piece");
        assert_eq!(passing.read(100 + 3 * size, 1).as_deref(), Some(&[3][..]));
        assert!(passing.is_read_on(Duration::from_secs(1)).await);
        assert_eq!(passing.read(100 + 5 * size, 1), None, "that has not arrived");
    }
}
