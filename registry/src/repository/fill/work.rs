//! The task of a fill: attempts, each at every url, until the blob is there or the schedule has ended.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use super::speed::Speed;
use super::staged::{Staged, TakenIn};
use super::{FillStage, Progress, VERIFIED_FIRST_BYTES, Wait};
use crate::mutants;
use crate::oci::{Digest, RepositoryName};
use crate::repository::Error;
use crate::repository::attempts::{count_retry, next_wait};
use crate::repository::evict::Arrivals;
use crate::store::{RepositoryKey, Store};
use crate::telemetry::WithCauses;
use crate::upstream::error::{Phase, Wrong};
use crate::upstream::{self, Fault, RemoteBlob, Upstream, Worst};

/// Pieces of an upstream's body that are written together; each is at most one read of a socket.
const PIECES_AT_ONCE: usize = 16;

/// How a fill has ended whose blob the disk had no room for.
const PASSED_ON: &str = "passed_on";

pub(super) struct Work {
    pub(super) store: Store,
    /// The repository in which the blob is cached.
    pub(super) repository: RepositoryKey,
    pub(super) upstream: Arc<Upstream>,
    pub(super) name: RepositoryName,
    pub(super) digest: Digest,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) wanted: Arc<Notify>,
    /// When the blob was last asked for.
    pub(super) asked_at: Arc<Mutex<Instant>>,
    pub(super) waiting: Arc<Semaphore>,
    pub(super) closing: watch::Receiver<bool>,
    pub(super) arrivals: Arc<Arrivals>,
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
        self.take_up(&mut known).await;
        let outcome = match self.persist_while_open(&mut known).await {
            Some(Ok(())) => {
                self.progress.send_modify(|progress| progress.stage = FillStage::Verified);
                self.commit(&mut known).await
            }
            Some(Err(error)) => self.fail(error),
            None => {
                // As anything that is not to be had now, and will be in a moment.
                let upstream = Arc::clone(self.upstream.label());
                let closing = upstream::Error::Paused { upstream, retry_after: Duration::from_secs(1) };
                self.progress.send_modify(|progress| progress.stage = FillStage::Failed(Arc::new(closing)));
                "put_down"
            }
        };
        let received = known.staged.as_ref().map_or(0, Staged::len);
        if let Some(staged) = known.staged.take() {
            self.put_down(staged, known.announced, outcome).await;
        }
        tracing::info!(upstream.name = %self.upstream.name(), repo.name = %self.name, blob.digest = %self.digest,
            blob.bytes = received.max(self.progress.borrow().written), fill.outcome = outcome,
            duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX), "a fill has ended");
        metrics::counter!("wharfinger_fills_total",
            "upstream" => self.upstream.name().to_string(), "outcome" => outcome)
        .increment(1);
    }

    /// Goes on with what an earlier fill, perhaps of an earlier process, has left.
    async fn take_up(&self, known: &mut Known) {
        match Staged::take_up(&self.store, &self.repository, &self.digest).await {
            Ok(Some((staged, size))) => {
                metrics::counter!("wharfinger_fills_taken_up_total",
                    "upstream" => self.upstream.name().to_string())
                .increment(1);
                (known.staged, known.announced) = (Some(staged), size);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(blob.digest = %self.digest, error = %WithCauses(&error),
                "what was fetched before could not be read; it is fetched again");
            }
        }
    }

    /// Keeps what has arrived for the next fill of the blob, unless nothing of it can be of use.
    async fn put_down(&self, mut staged: Staged, size: Option<u64>, outcome: &'static str) {
        // All of it under a wrong length is as wrong as another body.
        let is_part = staged.len() > 0 && staged.digest() != self.digest;
        let is_of_use = is_part && !self.is_passing() && !matches!(outcome, "not_stored" | "storage_error");
        if is_part && mutants::is("MU68-what-was-broken-off-is-stored") {
            return staged.commit(&self.repository, &self.digest).await.unwrap_or_default();
        }
        if !is_of_use {
            return staged.discard().await;
        }
        self.arrivals.add(self.upstream.name(), staged.len());
        if let Err(error) = staged.park(size).await {
            tracing::warn!(blob.digest = %self.digest, error = %WithCauses(&error),
                "what was fetched so far could not be kept");
            staged.discard().await;
        }
    }

    /// Makes attempts while the process runs; `None` when it ends.
    async fn persist_while_open(&self, known: &mut Known) -> Option<Result<(), Error>> {
        let mut closing = self.closing.clone();
        tokio::select! {
            biased;
            _ = closing.wait_for(|is_closing| *is_closing) => None,
            outcome = self.persist(known) => Some(outcome),
        }
    }

    fn fail(&self, error: Error) -> &'static str {
        match error {
            Error::Upstream(error) => {
                let kind = error.kind();
                tracing::warn!(upstream.name = %self.upstream.name(), repo.name = %self.name,
                    blob.digest = %self.digest, error = %WithCauses(&error), "a blob could not be fetched");
                self.progress.send_modify(|progress| progress.stage = FillStage::Failed(Arc::new(error)));
                kind
            }
            error => {
                tracing::error!(repo.name = %self.name, blob.digest = %self.digest,
                    error = %WithCauses(&error), "a fetched blob could not be staged");
                self.progress.send_modify(|progress| progress.stage = FillStage::Broken);
                "storage_error"
            }
        }
    }

    async fn is_stored(&self) -> bool {
        let stored = self.store.open_blob(&self.repository, &self.digest).await;
        let Ok(Some(content)) = stored else { return false };
        self.progress.send_modify(|progress| {
            progress.size = Some(content.size());
            progress.written = content.size();
            progress.source = Some(content.source());
            progress.is_stored = true;
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
            if self.is_passing() {
                // Nothing to go on from is kept; who reads goes on alone.
                return Err(error.into());
            }
            failed += 1;
            let Some(wait) = next_wait(&error, failed, options) else { return Err(error.into()) };
            count_retry(self.upstream.name());
            if self.wait(known, error.clone(), wait).await? {
                return Ok(());
            }
            if self.upstream.is_retired() {
                return Err(error.into());
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
                biased;
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
                Err(Error::Upstream(error)) => {
                    if self.is_passing() && !self.is_unread() {
                        return Err(error.into());
                    }
                    if self.is_passing() {
                        known.lying.extend(is_wrong_bytes(&error).then_some(index));
                        self.progress.send_modify(|progress| progress.passing = None);
                        self.begin_anew(known).await;
                    }
                    worst.add(&self.upstream, error);
                }
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
                Err(error) if self.is_passing() || !is_wrong(&error) => return Err(error),
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
        if from > 0 {
            metrics::counter!("wharfinger_fills_resumed_total", "upstream" => self.upstream.name().to_string())
                .increment(1);
        }
        let (staged, size) = self.staged(known, index, remote.size).await?;
        let skip = staged.len() - remote.start;
        self.receive(RemoteBlob { size, ..remote }, skip, staged).await?;
        if self.is_passing() {
            return Ok(());
        }
        match size {
            Some(size) if staged.len() < size => Err(self.broken()),
            Some(size) if staged.len() > size => Err(self.wrong(Wrong::Length)),
            _ if mutants::is("MU02-what-is-fetched-is-not-hashed") => Ok(()),
            _ if from > 0 && mutants::is("MU48-only-the-tail-is-hashed") => Ok(()),
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
            None => Staged::begin(&self.store, &self.repository, &self.digest).await,
        };
        let is_other = known.announced.is_some()
            && size.is_some()
            && known.announced != size
            && !mutants::is("MU69-a-reader-is-told-two-sizes");
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
            progress.source = staged.reader();
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
                self.count(len);
                if staged.take_in(good.clone(), size).await? == TakenIn::NoRoom {
                    let rest = futures_util::stream::iter(good.into_iter().map(Ok))
                        .chain(futures_util::stream::iter(fault.map(Err)))
                        .chain(body.flat_map(futures_util::stream::iter));
                    return self.pass_on(rest.boxed(), staged, size).await;
                }
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

    fn is_passing(&self) -> bool {
        self.progress.borrow().passing.is_some()
    }

    /// Says whether nobody reads yet, because the blob is so small that it is verified first.
    fn is_unread(&self) -> bool {
        let progress = self.progress.borrow();
        progress.size.unwrap_or(progress.written) <= VERIFIED_FIRST_BYTES
    }

    fn count(&self, bytes: u64) {
        metrics::counter!("wharfinger_fills_bytes_total", "upstream" => self.upstream.name().to_string())
            .increment(bytes);
    }

    pub(super) fn wrong(&self, reason: Wrong) -> Error {
        upstream::Error::wrong(self.upstream.label(), reason).into()
    }

    pub(super) fn broken(&self) -> Error {
        let upstream = Arc::clone(self.upstream.label());
        upstream::Error::Unreachable { upstream, fault: Fault::Incomplete }.into()
    }

    pub(super) fn slow(&self) -> Error {
        upstream::Error::Timeout { upstream: Arc::clone(self.upstream.label()), phase: Phase::Body }.into()
    }

    /// Stores what was verified; readers have it all, so a failure costs another fetch.
    async fn commit(&self, known: &mut Known) -> &'static str {
        if self.is_passing() {
            return PASSED_ON;
        }
        let Some(staged) = known.staged.take() else { return "not_stored" };
        let len = staged.len();
        match staged.commit(&self.repository, &self.digest).await {
            Ok(()) => {
                self.arrivals.add(self.upstream.name(), len);
                self.progress.send_modify(|progress| progress.is_stored = true);
                "stored"
            }
            Err(error) => {
                tracing::error!(repo.name = %self.name, blob.digest = %self.digest,
                    error = %WithCauses(&error), "a fetched blob could not be stored");
                "not_stored"
            }
        }
    }
}

/// Says whether the bytes themselves were wrong, so that going on from them makes no sense.
fn is_wrong(error: &Error) -> bool {
    matches!(error, Error::Upstream(error) if is_wrong_bytes(error))
}

fn is_wrong_bytes(error: &upstream::Error) -> bool {
    matches!(error, upstream::Error::Wrong { reason: Wrong::Digest | Wrong::Length | Wrong::Range, .. })
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

#[cfg(test)]
mod tests {
    //! Goal: what was received is not received twice. Method: a table.

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
}
