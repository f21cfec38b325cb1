//! Claims that other processes see, where several write to one store.
//!
//! A claim is a small object. Who wants one writes it, and then looks for those that contradict it; so of
//! two that contradict each other at least one sees the other. Who shares steps back before who is alone; of
//! two that would be alone, the one whose name sorts later. There is no lock server and no leader, and
//! nobody's clock is believed: a claim whose holder has died counts for nothing once this process has
//! looked at it, unchanged, for [`ABANDONED_AFTER`]. A holder ends what it does long before that, and one
//! that does not know what became of a request lets its claim stand until then.
//!
//! *Design:* `docs/adr/0014-replicas-announce.md`.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::claims::Claim;
use super::{Error, Store, layout, record};
use crate::backend::{Error as BackendError, Key, Outcome, When};
use crate::oci::{Algorithm, Hasher};
use crate::telemetry::WithCauses;

/// How long a claim stands that nobody takes back.
pub(super) const ABANDONED_AFTER: Duration = Duration::from_secs(5 * 60);
/// How long a holder may take: a request that it has begun by then is over before the claim is abandoned.
pub(super) const HOLD_MAX: Duration = Duration::from_secs(2 * 60);
/// How long a claim is waited for.
const WAIT_MAX: Duration = Duration::from_secs(30);
const WAIT_FIRST: Duration = Duration::from_millis(10);
const WAIT_STEP_MAX: Duration = Duration::from_millis(500);

/// What other processes are doing, as far as this one has seen it.
#[derive(Debug, Default)]
pub(super) struct Replicas {
    seen: Mutex<HashMap<Key, Instant>>,
    /// Uploads without a record, and since when they were seen so.
    unrecorded: Mutex<HashMap<String, Instant>>,
}

impl Replicas {
    /// Says whether an upload has stood without a record under this process's eyes for longer than one that is
    /// being opened.
    pub(super) fn is_unrecorded_for_long(&self, upload: &str) -> bool {
        let mut seen = self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner);
        seen.entry(upload.to_owned()).or_insert_with(Instant::now).elapsed() >= ABANDONED_AFTER
    }

    /// Forgets those that are gone, or have a record by now.
    pub(super) fn forget_recorded(&self, unrecorded: &HashSet<String>) {
        let mut seen = self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|upload, _| unrecorded.contains(upload));
    }
}

/// Whether others may have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Shared,
    Alone,
}

/// What a claim's object says.
#[derive(Debug, Serialize, Deserialize)]
struct Announced {
    /// What is claimed, each as the hash of its name.
    claims: Vec<String>,
}

/// A claim that other processes see; it stands until [`Announcement::take_back`].
#[derive(Debug)]
pub(super) struct Announcement {
    store: Store,
    key: Key,
    /// Before it was written, so that no process can have seen it for longer.
    since: Instant,
}

impl Announcement {
    /// Takes it back.
    pub(super) async fn take_back(self) {
        if let Err(error) = self.store.0.backend.sweep(&self.key).await {
            // It is abandoned in a while.
            tracing::debug!(key = %self.key, error = %WithCauses(&error), "a claim stays");
        }
    }
}

/// Claims of one repository are looked at together.
fn scope(claim: &Claim) -> String {
    let text = match claim {
        Claim::Object(repository, _) | Claim::Name(repository) | Claim::Mark(repository) => {
            format!("{repository:?}")
        }
        Claim::Content(_) => return "content".to_owned(),
    };
    Hasher::digest(Algorithm::Sha256, text.as_bytes()).hex()[..32].to_owned()
}

fn hashed(claim: &Claim) -> String {
    Hasher::digest(Algorithm::Sha256, format!("{claim:?}").as_bytes()).hex()[..32].to_owned()
}

impl Mode {
    /// The first letter of a claim's name, so that who shares need not read what others share.
    const fn letter(self) -> char {
        match self {
            Self::Shared => 's',
            Self::Alone => 'x',
        }
    }
}

impl Store {
    /// Does work under a claim that nobody else has, in this process and before others.
    ///
    /// *Errors:* those of the work, and of [`settle`].
    pub(super) async fn alone<T>(
        &self,
        claim: Claim,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let announcement = self.announce_alone(&claim).await?;
        // On the heap: work under a claim may claim more, and each would take the room of all within it.
        let claimed = Box::pin(async {
            let _held = self.0.claims.exclude(claim).await;
            work.await
        });
        settle(announcement, claimed).await
    }

    /// Claims things of one repository together with others who share them.
    pub(super) async fn announce_shared(&self, claims: &[Claim]) -> Result<Option<Announcement>, Error> {
        self.announce(claims, Mode::Shared).await
    }

    /// Claims a thing alone.
    pub(super) async fn announce_alone(&self, claim: &Claim) -> Result<Option<Announcement>, Error> {
        self.announce(std::slice::from_ref(claim), Mode::Alone).await
    }

    async fn announce(&self, claims: &[Claim], mode: Mode) -> Result<Option<Announcement>, Error> {
        let (true, Some(first)) = (self.is_shared(), claims.first()) else { return Ok(None) };
        let folder = layout::claims().child(&scope(first));
        let mut hashes: Vec<String> = claims.iter().map(hashed).collect();
        hashes.sort_unstable();
        let announced = record::encode(&Announced { claims: hashes.clone() });
        let (begun, mut wait) = (Instant::now(), WAIT_FIRST);
        loop {
            let name = format!("{}-{}", mode.letter(), uuid::Uuid::new_v4().simple());
            let key = folder.child(&name);
            let since = Instant::now();
            self.write_claim(&key, announced.clone()).await?;
            let own = Announcement { store: self.clone(), key: key.clone(), since };
            loop {
                match self.opposed(&folder, &name, &hashes, mode).await {
                    Ok(Opposed::No) => return Ok(Some(own)),
                    Ok(Opposed::Wait) if begun.elapsed() < WAIT_MAX => {}
                    Ok(Opposed::StepBack) if begun.elapsed() < WAIT_MAX => break,
                    Ok(_) => {
                        own.take_back().await;
                        return Err(BackendError::Contended { key }.into());
                    }
                    Err(error) => {
                        own.take_back().await;
                        return Err(error);
                    }
                }
                pause(&mut wait).await;
            }
            own.take_back().await;
            pause(&mut wait).await;
        }
    }

    async fn write_claim(&self, key: &Key, announced: Bytes) -> Result<(), Error> {
        match self.0.backend.write(key, announced, When::Absent).await? {
            Outcome::Done => Ok(()),
            Outcome::Refused => Err(BackendError::Contended { key: key.clone() }.into()),
        }
    }

    /// Looks for claims that contradict an own one.
    async fn opposed(
        &self,
        folder: &Key,
        own: &str,
        hashes: &[String],
        mode: Mode,
    ) -> Result<Opposed, Error> {
        let mut opposed = Opposed::No;
        for name in self.0.backend.list(folder).await? {
            let is_alone = name.starts_with(Mode::Alone.letter());
            if name == own || (mode == Mode::Shared && !is_alone) {
                continue;
            }
            let key = folder.child(&name);
            if self.is_abandoned(&key) {
                self.0.backend.sweep(&key).await?;
                continue;
            }
            let Some(bytes) = self.0.backend.read(&key).await? else { continue };
            let other: Announced = record::decode(&key, &bytes)?;
            if !other.claims.iter().any(|claim| hashes.binary_search(claim).is_ok()) {
                continue;
            }
            match mode {
                Mode::Shared => return Ok(Opposed::StepBack),
                Mode::Alone if is_alone && name.as_str() < own => return Ok(Opposed::StepBack),
                Mode::Alone => opposed = Opposed::Wait,
            }
        }
        Ok(opposed)
    }

    /// Says whether a claim has stood for too long under this process's eyes.
    fn is_abandoned(&self, key: &Key) -> bool {
        let mut seen = self.0.replicas.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.entry(key.clone()).or_insert_with(Instant::now).elapsed() >= ABANDONED_AFTER
    }

    /// Looks at all claims, so that one whose holder died is known for long before it is in somebody's way,
    /// and forgets those that are gone.
    pub async fn look_at_claims(&self) -> Result<(), Error> {
        if !self.is_shared() {
            return Ok(());
        }
        let mut standing: HashSet<Key> = HashSet::new();
        for scope in self.0.backend.list(&layout::claims()).await? {
            let folder = layout::claims().child(&scope);
            for name in self.0.backend.list(&folder).await? {
                let key = folder.child(&name);
                if self.is_abandoned(&key) {
                    self.0.backend.sweep(&key).await?;
                } else {
                    standing.insert(key);
                }
            }
        }
        let mut seen = self.0.replicas.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|key, _| standing.contains(key));
        Ok(())
    }
}

enum Opposed {
    No,
    /// Who is in the way steps back, or ends.
    Wait,
    StepBack,
}

async fn pause(wait: &mut Duration) {
    // Two that met do not meet again at once.
    let random = uuid::Uuid::new_v4().as_u64_pair().0 % 1_000;
    tokio::time::sleep(wait.mul_f64(0.5 + f64::from(u32::try_from(random).unwrap_or_default()) / 1_000.0))
        .await;
    *wait = (*wait * 2).min(WAIT_STEP_MAX);
}

/// What a claim is for: work that ends in time, and whose outcome says whether the claim may go.
///
/// *Errors:* those of the work; [`BackendError::Contended`] when it took too long.
pub(super) async fn settle<T>(
    announcement: Option<Announcement>,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let Some(announcement) = announcement else { return work.await };
    // From its announcement on, not from now: what came between counts for others too.
    let deadline = announcement.since + HOLD_MAX;
    let mut sleep = std::pin::pin!(tokio::time::sleep_until(deadline));
    // The clock is looked at before each step, so that a process that was stopped begins no other one.
    let overdue = std::future::poll_fn(|context| {
        if Instant::now() >= deadline { Poll::Ready(()) } else { sleep.as_mut().poll(context) }
    });
    let result = tokio::select! {
        biased;
        () = overdue => Err(BackendError::Contended { key: announcement.key.clone() }.into()),
        result = work => result,
    };
    // A request whose answer is lost may be carried out yet: the claim stands for as long as that can be.
    if !matches!(result, Err(Error::Backend(_))) {
        announcement.take_back().await;
    }
    result
}
