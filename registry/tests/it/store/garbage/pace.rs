//! A backend whose calls take virtual time, as a seed decides: so several tasks on one store interleave at each
//! of their calls, and a seed replays. Or one whose calls stand still for good from one of them on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use wharfinger::backend::{
    Backend, Content, Error, Key, Outcome, ReadAt, Reclaimed, Sentence, Space, Stage, When,
};
use wharfinger::clock::Clock;

/// The backend. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Pace(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    below: Arc<dyn Backend>,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    random: u64,
    started: Instant,
    /// How far the clock was moved.
    moved: Duration,
    calls: u64,
    /// The call from which on all but readers' stand still; none does without it.
    stands_from: Option<u64>,
}

/// The longest that one end of a call takes.
const CALL_MILLIS_MAX: u64 = 3;

tokio::task_local! {
    /// Set for who only reads.
    pub(super) static READER: ();
}

impl Pace {
    pub(super) fn new(below: Arc<dyn Backend>, clock: Clock, seed: u64) -> Self {
        let random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let state =
            State { random, started: Instant::now(), moved: Duration::ZERO, calls: 0, stands_from: None };
        Self(Arc::new(Shared { below, clock, state: Mutex::new(state) }))
    }

    /// Lets the calls of all but readers stand still from the nth on, counted from now.
    pub(super) fn stand_from(&self, call: u64) {
        let mut state = self.state();
        (state.calls, state.stands_from) = (0, Some(call));
    }

    /// Returns how many calls of others than readers there were.
    pub(super) fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Lets the store's clock catch up with the virtual time.
    pub(super) fn tick(&self) {
        let mut state = self.state();
        let passed = state.started.elapsed();
        self.0.clock.advance(passed - state.moved);
        // A manual clock knows milliseconds.
        state.moved = Duration::from_millis(u64::try_from(passed.as_millis()).unwrap());
    }

    /// Returns a number below another, as the seed has it.
    pub(super) fn roll(&self, below: u64) -> u64 {
        let mut state = self.state();
        state.random ^= state.random << 13;
        state.random ^= state.random >> 7;
        state.random ^= state.random << 17;
        (state.random >> 16) % below
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn take<T>(&self, call: impl Future<Output = T> + Send) -> T {
        if READER.try_with(|()| ()).is_err() {
            let stands = {
                let mut state = self.state();
                state.calls += 1;
                state.stands_from.is_some_and(|from| state.calls >= from)
            };
            if stands {
                std::future::pending::<()>().await;
            }
        }
        tokio::time::sleep(Duration::from_millis(self.roll(CALL_MILLIS_MAX + 1))).await;
        self.tick();
        let answer = call.await;
        tokio::time::sleep(Duration::from_millis(self.roll(CALL_MILLIS_MAX + 1))).await;
        self.tick();
        answer
    }
}

#[async_trait::async_trait]
impl Backend for Pace {
    async fn read(&self, key: &Key) -> Result<Option<Bytes>, Error> {
        self.take(self.0.below.read(key)).await
    }

    async fn write(&self, key: &Key, record: Bytes, when: When) -> Result<Outcome, Error> {
        self.take(self.0.below.write(key, record, when)).await
    }

    async fn write_unsynced(&self, key: &Key, record: Bytes) -> Result<(), Error> {
        self.take(self.0.below.write_unsynced(key, record)).await
    }

    async fn delete(&self, key: &Key, when: When) -> Result<Outcome, Error> {
        self.take(self.0.below.delete(key, when)).await
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, Error> {
        self.take(self.0.below.size(key)).await
    }

    async fn settle(&self, keys: &[Key]) -> Result<(), Error> {
        self.take(self.0.below.settle(keys)).await
    }

    async fn list(&self, key: &Key) -> Result<Vec<String>, Error> {
        self.take(self.0.below.list(key)).await
    }

    async fn open(&self, key: &Key) -> Result<Option<Content>, Error> {
        self.take(self.0.below.open(key)).await
    }

    async fn stage(&self, key: &Key) -> Result<Box<dyn Stage>, Error> {
        let stage = self.take(self.0.below.stage(key)).await?;
        Ok(Box::new(PacedStage { below: stage, pace: self.clone() }))
    }

    async fn resume(&self, key: &Key, len: u64) -> Result<Option<Box<dyn Stage>>, Error> {
        let stage = self.take(self.0.below.resume(key, len)).await?;
        Ok(stage.map(|below| Box::new(PacedStage { below, pace: self.clone() }) as Box<dyn Stage>))
    }

    async fn sweep(&self, key: &Key) -> Result<(), Error> {
        self.take(self.0.below.sweep(key)).await
    }

    async fn condemn(&self, key: &Key) -> Result<Option<Sentence>, Error> {
        self.take(self.0.below.condemn(key)).await
    }

    async fn execute(&self, key: &Key, sentence: &Sentence) -> Result<Outcome, Error> {
        self.take(self.0.below.execute(key, sentence)).await
    }

    async fn spare(&self, key: &Key) -> Result<bool, Error> {
        self.take(self.0.below.spare(key)).await
    }

    async fn reclaim(&self, idle: Duration) -> Result<Reclaimed, Error> {
        self.take(self.0.below.reclaim(idle)).await
    }

    async fn space(&self) -> Result<Option<Space>, Error> {
        self.0.below.space().await
    }
}

#[derive(Debug)]
struct PacedStage {
    below: Box<dyn Stage>,
    pace: Pace,
}

#[async_trait::async_trait]
impl Stage for PacedStage {
    fn len(&self) -> u64 {
        self.below.len()
    }

    async fn append(&mut self, bytes: Vec<Bytes>) -> Result<(), Error> {
        self.below.append(bytes).await
    }

    async fn sync(&mut self) -> Result<(), Error> {
        self.below.sync().await
    }

    fn reader(&self) -> Arc<dyn ReadAt> {
        self.below.reader()
    }

    async fn publish(self: Box<Self>, to: &Key) -> Result<Outcome, Error> {
        let Self { below, pace } = *self;
        pace.take(below.publish(to)).await
    }

    async fn discard(self: Box<Self>) -> Result<(), Error> {
        self.below.discard().await
    }
}
