//! Connections that nobody uses: how long one may stay open while there is nothing to be done for its client.
//!
//! Each takes a slot, and one of HTTP/2 costs its client an answer to a ping now and then. A connection is in use
//! while an answer is made, and while one is taken in. What is not is told to go, by which no request is lost: one
//! that crosses it is answered, and the client makes another connection for the next. Who does not go is cut, such as
//! a reader of HTTP/2 that lets nothing more come: the socket takes its pings, so that `idle` does not see it.
//!
//! Of HTTP/1.1, hyper ends what is unused after the same time by itself (`header_read_timeout`).

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper_util::server::graceful::GracefulConnection;
use tokio::time::{Instant, Sleep, sleep};

use super::options::Options;

/// What is written, at most, to somebody who takes in no answer, in bytes: pings and their like.
const CHATTER_BYTES_MAX: u64 = 1024;

/// What zero means among the limits: longer than any connection lasts.
const FOR_EVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// What is done for the client of a connection. Clones are of the same.
#[derive(Debug, Clone)]
pub(super) struct Usage(Arc<Facts>);

#[derive(Debug)]
struct Facts {
    answers: Mutex<Answers>,
    written_bytes: AtomicU64,
}

/// The answers that are under way.
#[derive(Debug)]
struct Answers {
    /// Those that wait for the server.
    made: usize,
    /// Those that wait for the client.
    taken: usize,
    /// When something of one was made or asked for; before the first, when the connection began.
    last_moved: Instant,
}

/// An answer that is under way until this is dropped.
#[derive(Debug)]
pub(super) struct UnderWay {
    usage: Usage,
    phase: Phase,
}

/// Who an answer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Made,
    Taken,
}

/// The body of an answer.
pub(super) struct Sending {
    body: Body,
    under_way: UnderWay,
}

/// How long nothing may have to be done for a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    unused: Duration,
    /// The same while there is an answer that the client does not take in.
    unread: Duration,
}

/// A connection that ends when it is unused for too long.
pub(super) struct Bounded<C> {
    /// In a box, so that it can be polled from here without unsafe code.
    connection: Pin<Box<C>>,
    usage: Usage,
    limits: Limits,
    timer: Pin<Box<Sleep>>,
    /// Done when connections are to end as soon as nothing is under way.
    stop: Option<Stop>,
    /// How much had been written when it was told to go, or last found unused after that.
    told: Option<u64>,
}

type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Why a connection ended.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Usage {
    pub(super) fn new() -> Self {
        let answers = Mutex::new(Answers { made: 0, taken: 0, last_moved: Instant::now() });
        Self(Arc::new(Facts { answers, written_bytes: AtomicU64::new(0) }))
    }

    /// Says that an answer is being made.
    pub(super) fn begin(&self) -> UnderWay {
        self.answers().made += 1;
        UnderWay { usage: self.clone(), phase: Phase::Made }
    }

    /// Notes that so many bytes were written.
    pub(super) fn wrote(&self, count: usize) {
        self.0.written_bytes.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Returns how long it may go on as it does, and how long it might if something had just been done.
    fn left(&self, limits: Limits, now: Instant) -> (Duration, Duration) {
        let answers = self.answers();
        let limit = if answers.taken > 0 { limits.unread } else { limits.unused };
        let unused = now.saturating_duration_since(answers.last_moved);
        (if answers.made > 0 { limit } else { limit.saturating_sub(unused) }, limit)
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.0.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay {
    /// Goes on as the body of the answer that was made.
    pub(super) fn sending(self, body: Body) -> Sending {
        Sending { body, under_way: self }
    }

    fn turn(&mut self, phase: Phase) {
        let mut answers = self.usage.answers();
        answers.end(self.phase);
        *answers.count(phase) += 1;
        self.phase = phase;
    }
}

impl Answers {
    const fn count(&mut self, phase: Phase) -> &mut usize {
        match phase {
            Phase::Made => &mut self.made,
            Phase::Taken => &mut self.taken,
        }
    }

    fn end(&mut self, phase: Phase) {
        *self.count(phase) -= 1;
        self.last_moved = Instant::now();
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.usage.answers().end(self.phase);
    }
}

impl Limits {
    /// Takes them from the options: who waits for an answer of ours is not held to how long we wait for his.
    pub(super) fn new(options: &Options) -> Self {
        let unread = match options.write_idle_timeout {
            Duration::ZERO => FOR_EVER,
            limit => limit.max(options.header_timeout),
        };
        Self { unused: options.header_timeout, unread }
    }
}

impl<C: GracefulConnection<Error = BoxError>> Bounded<C> {
    /// Bounds how long a connection may be unused, and lets it end when `stop` is done.
    pub(super) fn new(
        connection: C,
        usage: Usage,
        limits: Limits,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self {
            connection: Box::pin(connection),
            usage,
            limits,
            timer: Box::pin(sleep(limits.unused)),
            stop: Some(Box::pin(stop)),
            told: None,
        }
    }

    /// Does what is due now that the timer has run out, and sets it anew.
    ///
    /// *Errors:* the client was told to go, and does not.
    fn look(&mut self, now: Instant) -> io::Result<()> {
        let (left, limit) = self.usage.left(self.limits, now);
        if !left.is_zero() {
            self.timer.as_mut().reset(now + left);
            return Ok(());
        }
        let written = self.usage.0.written_bytes.load(Ordering::Relaxed);
        match self.told {
            None => self.connection.as_mut().graceful_shutdown(),
            // What a body has given is in the buffers of HTTP/2, from where it reaches a slow reader later.
            Some(before) if written - before > CHATTER_BYTES_MAX => {}
            Some(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
        self.told = Some(written);
        self.timer.as_mut().reset(now + limit);
        Ok(())
    }
}

impl<C: GracefulConnection<Error = BoxError>> Future for Bounded<C> {
    type Output = Result<(), BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            if let Poll::Ready(ended) = this.connection.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            if this.stop.as_mut().is_some_and(|stop| stop.as_mut().poll(cx).is_ready()) {
                this.stop = None;
                this.connection.as_mut().graceful_shutdown();
                continue;
            }
            ready!(this.timer.as_mut().poll(cx));
            this.look(Instant::now())?;
        }
    }
}

// === impl Sending ===

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        this.under_way.turn(if frame.is_pending() { Phase::Made } else { Phase::Taken });
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
