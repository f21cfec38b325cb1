//! The task of a fill: attempts, each at every url, until the blob is there or the schedule has ended.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use super::staged::Staged;
use super::{FillStage, Progress, Wait};
use crate::oci::{Digest, RepositoryName};
use crate::repository::Error;
use crate::repository::attempts::{count_retry, next_wait};
use crate::repository::service::cached;
use crate::store::Store;
use crate::upstream::error::{Phase, Wrong};
use crate::upstream::{self, Fault, RemoteBlob, Upstream, Worst};

/// Pieces of an upstream's body that are written together; each is at most one read of a socket.
const PIECES_AT_ONCE: usize = 16;
/// Over which time a body's speed is measured: a drip never trips the limit for a single piece.
const THROUGHPUT_WINDOW: Duration = Duration::from_secs(30);

pub(super) struct Work {
    pub(super) store: Store,
    pub(super) upstream: Arc<Upstream>,
    pub(super) name: RepositoryName,
    pub(super) digest: Digest,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) wanted: Arc<Notify>,
    /// When the blob was last asked for.
    pub(super) asked_at: Arc<Mutex<Instant>>,
    pub(super) waiting: Arc<Semaphore>,
}

/// What is known between two attempts.
#[derive(Default)]
struct Known {
    staged: Option<Staged>,
    /// Urls that sent wrong bytes, by their place in the configuration: not asked again for this blob.
    lying: BTreeSet<usize>,
    /// How often the file was begun.
    generation: u32,
    /// The size that readers of this start were told.
    announced: Option<u64>,
}

impl Work {
    pub(super) async fn run(self) {
        // An earlier fill may have ended between the look into the store and the join (P4).
        if self.is_stored().await {
            return;
        }
        let (mut known, begun) = (Known::default(), Instant::now());
        let outcome = match self.persist(&mut known).await {
            Ok(()) => {
                self.progress.send_modify(|progress| progress.stage = FillStage::Verified);
                self.commit(&mut known).await
            }
            Err(error) => self.fail(error),
        };
        let received = known.staged.as_ref().map_or(0, Staged::len);
        if let Some(staged) = known.staged.take() {
            staged.discard().await;
        }
        tracing::info!(upstream.name = %self.upstream.name(), repo.name = %self.name, blob.digest = %self.digest,
            blob.bytes = received.max(self.progress.borrow().written), fill.outcome = outcome,
            duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX), "a fill has ended");
        metrics::counter!("wharfinger_fills_total",
            "upstream" => self.upstream.name().to_string(), "outcome" => outcome)
        .increment(1);
    }

    fn fail(&self, error: Error) -> &'static str {
        match error {
            Error::Upstream(error) => {
                let kind = error.kind();
                tracing::warn!(upstream.name = %self.upstream.name(), repo.name = %self.name,
                    blob.digest = %self.digest, error = %error, "a blob could not be fetched");
                self.progress.send_modify(|progress| progress.stage = FillStage::Failed(Arc::new(error)));
                kind
            }
            error => {
                tracing::error!(repo.name = %self.name, blob.digest = %self.digest,
                    error = &error as &dyn std::error::Error, "a fetched blob could not be staged");
                self.progress.send_modify(|progress| progress.stage = FillStage::Broken);
                "storage_error"
            }
        }
    }

    async fn is_stored(&self) -> bool {
        let stored = self.store.open_blob(&cached(&self.upstream, &self.name), &self.digest).await;
        let Ok(Some(content)) = stored else { return false };
        self.progress.send_modify(|progress| {
            progress.size = Some(content.size());
            progress.written = content.size();
            progress.source = Some(content.source());
            progress.stage = FillStage::Verified;
        });
        true
    }

    /// Makes attempts until the whole blob is staged and right, or the schedule has ended.
    async fn persist(&self, known: &mut Known) -> Result<(), Error> {
        let options = self.upstream.options();
        let mut failed = 0;
        loop {
            let error = match self.attempt(known).await {
                Ok(()) => return Ok(()),
                Err(Error::Upstream(error)) => error,
                Err(error) => return Err(error),
            };
            failed += 1;
            let Some(wait) = next_wait(&error, failed, options) else { return Err(error.into()) };
            count_retry(self.upstream.name());
            if self.wait(known, error, wait).await? {
                return Ok(());
            }
        }
    }

    /// Waits for the next attempt. Whoever comes meanwhile and would wait too long has one of its own, which
    /// changes nothing of the schedule unless it succeeds: then this says so.
    async fn wait(&self, known: &mut Known, error: upstream::Error, wait: Duration) -> Result<bool, Error> {
        let due = Instant::now() + wait;
        let asked_at = *self.asked_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_background = due > asked_at + self.upstream.options().on_demand_timeout;
        let Some(_place) = self.place(is_background) else { return Err(error.into()) };
        let mut error = error;
        loop {
            // A wish that the attempt before has seen to; a new one can only be made while this says it waits.
            let _seen_to = self.wanted.notified().now_or_never();
            let waiting = FillStage::Waiting(Wait { error: Arc::new(error), due, is_background });
            self.progress.send_modify(|progress| {
                progress.stage = waiting;
                progress.failed = progress.failed.saturating_add(1);
            });
            tokio::select! {
                () = tokio::time::sleep_until(due) => return Ok(false),
                () = self.wanted.notified() => {}
            }
            error = match self.attempt(known).await {
                Ok(()) => return Ok(true),
                Err(Error::Upstream(error)) => error,
                Err(error) => return Err(error),
            };
            if Instant::now() >= due {
                return Ok(false);
            }
        }
    }

    /// Returns a place to wait in; in the background they are bounded.
    fn place(&self, is_background: bool) -> Option<Option<OwnedSemaphorePermit>> {
        if !is_background {
            return Some(None);
        }
        Arc::clone(&self.waiting).try_acquire_owned().ok().map(Some)
    }

    /// Asks every url once that has not lied, each from where the one before it stopped.
    async fn attempt(&self, known: &mut Known) -> Result<(), Error> {
        // Who comes now waits for this one.
        self.progress.send_modify(|progress| progress.stage = FillStage::Asking);
        let mut worst = Worst::default();
        for index in 0..self.upstream.urls().len() {
            if known.lying.contains(&index) {
                continue;
            }
            match self.ask_url(index, known).await {
                Ok(()) => return Ok(()),
                Err(Error::Upstream(error)) => worst.add(&self.upstream, error),
                Err(error) => return Err(error),
            }
        }
        if known.lying.len() == self.upstream.urls().len() {
            worst.add(&self.upstream, upstream::Error::wrong(self.upstream.label(), Wrong::Digest));
        }
        Err(self.upstream.failed(worst).into())
    }

    /// Fetches what is missing from one url. After wrong bytes that came from several, the whole once more
    /// from this one, since nobody knows which of them was wrong.
    async fn ask_url(&self, index: usize, known: &mut Known) -> Result<(), Error> {
        loop {
            match self.receive_from(index, known).await {
                Ok(()) => return Ok(()),
                Err(error) if !is_wrong(&error) => return Err(error),
                Err(error) => {
                    let was_alone = known.staged.as_ref().is_none_or(|staged| staged.sources.len() <= 1);
                    self.begin_anew(known).await;
                    if was_alone {
                        metrics::counter!("wharfinger_fills_mismatched_total",
                            "upstream" => self.upstream.name().to_string())
                        .increment(1);
                        known.lying.insert(index);
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Forgets what has arrived. Readers of it are cut when there is something new to read, or nothing.
    async fn begin_anew(&self, known: &mut Known) {
        known.generation += 1;
        known.announced = None;
        if let Some(staged) = known.staged.take() {
            staged.discard().await;
        }
    }

    async fn receive_from(&self, index: usize, known: &mut Known) -> Result<(), Error> {
        let url = &self.upstream.urls()[index];
        let from = known.staged.as_ref().map_or(0, Staged::len);
        let asked = self.upstream.blob(url, &self.name, &self.digest, from).await;
        let remote = match asked.map_err(|error| self.refused_range(error, from)) {
            Ok(remote) => remote,
            Err(error) => {
                if let Some(staged) = known.staged.as_mut().filter(|_| is_wrong(&error)) {
                    staged.sources.insert(index);
                }
                return Err(error);
            }
        };
        let (staged, size) = self.staged(known, index, remote.size).await?;
        let skip = staged.len() - remote.start;
        self.receive(RemoteBlob { size, ..remote }, skip, staged).await?;
        match size {
            Some(size) if staged.len() < size => Err(self.broken()),
            Some(size) if staged.len() > size => Err(self.wrong(Wrong::Length)),
            _ if staged.digest() != self.digest => Err(self.wrong(Wrong::Digest)),
            _ => Ok(()),
        }
    }

    /// Returns the staged file, which readers may follow from now on, and the size that they are told: one
    /// and no other from the start of a file to its end, since a client has it in its `Content-Length`.
    async fn staged<'k>(
        &self,
        known: &'k mut Known,
        index: usize,
        size: Option<u64>,
    ) -> Result<(&'k mut Staged, Option<u64>), Error> {
        let staged = match known.staged.take() {
            Some(staged) => staged,
            None => Staged::open(&self.store, self.digest.algorithm()).await?,
        };
        debug_assert_eq!(staged.algorithm(), self.digest.algorithm(), "the hash is that of the digest");
        let is_other = known.announced.is_some() && size.is_some() && known.announced != size;
        let staged = known.staged.insert(staged);
        staged.sources.insert(index);
        if is_other && staged.len() > 0 {
            return Err(self.wrong(Wrong::Length));
        }
        if is_other {
            // Nobody has a byte yet, but readers have the size: they are cut.
            known.generation += 1;
            known.announced = None;
        }
        let size = size.or(known.announced);
        known.announced = size;
        self.progress.send_modify(|progress| {
            progress.stage = FillStage::Receiving;
            progress.generation = known.generation;
            progress.written = staged.len();
            progress.size = size;
            progress.source = Some(staged.stage().reader());
        });
        Ok((staged, size))
    }

    /// Reads a refusal of the rest of a blob: for this url what is here is more than there is.
    fn refused_range(&self, error: upstream::Error, from: u64) -> Error {
        match error {
            upstream::Error::Status { status: 416, .. } if from > 0 => self.wrong(Wrong::Range),
            error => error.into(),
        }
    }

    async fn receive(&self, remote: RemoteBlob, skip: u64, staged: &mut Staged) -> Result<(), Error> {
        let (size, mut skip) = (remote.size, skip);
        let mut body = remote.body.ready_chunks(PIECES_AT_ONCE);
        let mut speed = Speed::new(self.upstream.options().throughput_min);
        while let Some(pieces) = speed.watch(body.next()).await.map_err(|()| self.slow())? {
            // What came before a break is kept: it is what the next attempt goes on from.
            let broken = pieces.iter().position(Result::is_err);
            let (mut good, mut fault) = (Vec::with_capacity(pieces.len()), None);
            for piece in pieces {
                match piece {
                    Ok(piece) => good.push(piece),
                    Err(error) => fault = Some(error),
                }
            }
            debug_assert_eq!(broken.is_some(), fault.is_some(), "a broken body has ended");
            speed.count(good.iter().map(|piece| piece.len() as u64).sum());
            let good = skipped(good, &mut skip);
            let len: u64 = good.iter().map(|piece| piece.len() as u64).sum();
            if size.is_some_and(|size| staged.len() + len > size) {
                return Err(self.wrong(Wrong::Length));
            }
            if len > 0 {
                staged.take_in(good).await?;
                metrics::counter!("wharfinger_fills_bytes_total",
                    "upstream" => self.upstream.name().to_string())
                .increment(len);
                self.progress.send_modify(|progress| {
                    progress.written = staged.len();
                    progress.written_at = Instant::now();
                });
            }
            match fault {
                // All of it is here: how the connection ended afterwards says nothing.
                Some(_) if size == Some(staged.len()) => return Ok(()),
                Some(_) if size.is_none() && staged.digest() == self.digest => return Ok(()),
                Some(error) => return Err(error.into()),
                None => {}
            }
        }
        Ok(())
    }

    fn wrong(&self, reason: Wrong) -> Error {
        upstream::Error::wrong(self.upstream.label(), reason).into()
    }

    fn broken(&self) -> Error {
        let upstream = Arc::clone(self.upstream.label());
        upstream::Error::Unreachable { upstream, fault: Fault::Incomplete }.into()
    }

    fn slow(&self) -> Error {
        upstream::Error::Timeout { upstream: Arc::clone(self.upstream.label()), phase: Phase::Body }.into()
    }

    /// Stores what was verified; readers have it all, so a failure costs another fetch.
    async fn commit(&self, known: &mut Known) -> &'static str {
        let Some(staged) = known.staged.take() else { return "not_stored" };
        let repository = cached(&self.upstream, &self.name);
        match self.store.commit_blob(staged.into_stage(), &repository, &self.digest).await {
            Ok(()) => "stored",
            Err(error) => {
                tracing::error!(repo.name = %self.name, blob.digest = %self.digest,
                    error = &error as &dyn std::error::Error, "a fetched blob could not be stored");
                "not_stored"
            }
        }
    }
}

/// Says whether the bytes themselves were wrong, so that going on from them makes no sense.
fn is_wrong(error: &Error) -> bool {
    matches!(
        error,
        Error::Upstream(upstream::Error::Wrong { reason: Wrong::Digest | Wrong::Length | Wrong::Range, .. })
    )
}

/// Leaves out the first bytes, which are here already.
fn skipped(pieces: Vec<Bytes>, skip: &mut u64) -> Vec<Bytes> {
    let mut rest = Vec::with_capacity(pieces.len());
    for mut piece in pieces {
        let cut = usize::try_from(*skip).unwrap_or(usize::MAX).min(piece.len());
        *skip -= cut as u64;
        let rest_of_it = piece.split_off(cut);
        if !rest_of_it.is_empty() {
            rest.push(rest_of_it);
        }
    }
    rest
}

/// Watches that a body does not drip.
struct Speed {
    least: u64,
    seen: u64,
    until: Instant,
}

impl Speed {
    fn new(bytes_a_second: u64) -> Self {
        let least = bytes_a_second.saturating_mul(THROUGHPUT_WINDOW.as_secs());
        Self { least, seen: 0, until: Instant::now() + THROUGHPUT_WINDOW }
    }

    fn count(&mut self, bytes: u64) {
        self.seen = self.seen.saturating_add(bytes);
    }

    /// Waits for something, while the body is fast enough.
    ///
    /// *Errors:* too little came in a whole window.
    async fn watch<T>(&mut self, something: impl Future<Output = T>) -> Result<T, ()> {
        tokio::pin!(something);
        loop {
            match tokio::time::timeout_at(self.until, &mut something).await {
                Ok(something) => return Ok(something),
                Err(_) if self.seen < self.least => return Err(()),
                Err(_) => (self.seen, self.until) = (0, Instant::now() + THROUGHPUT_WINDOW),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    //! Goal: what was received is not received twice, and a drip is a failure. Method: tables, paused time.

    use super::*;

    #[test]
    fn what_is_here_is_left_out() {
        for (skip, expect, left) in
            [(0, "abcdef", 0), (1, "bcdef", 0), (3, "def", 0), (4, "ef", 0), (9, "", 3)]
        {
            let pieces = vec![Bytes::from_static(b"abc"), Bytes::from_static(b"def")];
            let mut remaining = skip;
            let rest = skipped(pieces, &mut remaining).concat();
            assert_eq!((String::from_utf8(rest).unwrap().as_str(), remaining), (expect, left), "{skip}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_drip_is_too_slow_and_a_pause_is_not() {
        let drip = async |bytes: u64, every: u64, pieces: u32| {
            let mut speed = Speed::new(1024);
            for _ in 0..pieces {
                speed.watch(tokio::time::sleep(Duration::from_secs(every))).await?;
                speed.count(bytes);
            }
            Ok::<(), ()>(())
        };
        assert_eq!(drip(1, 10, 10).await, Err(()));
        assert_eq!(drip(40 * 1024, 29, 10).await, Ok(()));
        assert_eq!(drip(1024, 1, 100).await, Ok(()));
    }
}
