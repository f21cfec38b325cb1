//! What was asked of the origin and what it really sent.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{digest::Digest, fault::Place, locked};

/// The most exchanges that a journal remembers; older ones are forgotten first.
const EXCHANGES_MAX: usize = 200_000;

/// Records every request of an origin, in the order of arrival.
#[derive(Debug)]
pub struct Journal {
    exchanges: Mutex<VecDeque<Arc<LiveExchange>>>,
    began: AtomicU64,
    start: Instant,
}

/// One exchange as it was when the journal was read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Position in the order of arrival, from 0.
    pub sequence: u64,
    /// Request method.
    pub method: String,
    /// Request path, as sent.
    pub path: String,
    /// Request query, as sent, without the question mark.
    pub query: String,
    /// The `Range` header of the request.
    pub range: Option<String>,
    /// Whether the request carried `Authorization`; what it said is nobody's business.
    pub authorized: bool,
    /// Whether the request carried what clients show to the target, which is not the upstream's business.
    pub client_secret: bool,
    /// Which address of the origin it was sent to.
    pub place: Place,
    /// Response status; `None` while the request is not answered, or when it never is.
    pub status: Option<u16>,
    /// Body bytes that left the origin so far.
    pub bytes_sent: u64,
    /// Whether the whole response left the origin.
    pub complete: bool,
    /// Names of the faults that happened to this exchange.
    pub faults: Vec<&'static str>,
    /// Time of arrival, since the origin was made.
    pub at: Duration,
}

/// A request as it arrives.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) range: Option<String>,
    pub(crate) authorized: bool,
    pub(crate) client_secret: bool,
    pub(crate) place: Place,
}

/// An exchange that may still be under way.
#[derive(Debug)]
pub(crate) struct LiveExchange {
    sequence: u64,
    method: String,
    path: String,
    query: String,
    range: Option<String>,
    authorized: bool,
    client_secret: bool,
    place: Place,
    status: AtomicU16,
    bytes_sent: AtomicU64,
    complete: AtomicBool,
    faults: Mutex<Vec<&'static str>>,
    at: Duration,
}

impl Default for Journal {
    fn default() -> Self {
        Self { exchanges: Mutex::default(), began: AtomicU64::new(0), start: Instant::now() }
    }
}

impl Journal {
    /// Returns every exchange that is remembered.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.entries_since(0)
    }

    /// Returns the exchanges that arrived at or after `mark`, which [`Journal::mark`] gave.
    #[must_use]
    pub fn entries_since(&self, mark: u64) -> Vec<Entry> {
        locked(&self.exchanges).iter().filter(|it| it.sequence >= mark).map(|it| it.entry()).collect()
    }

    /// Returns a mark that separates what has arrived from what will.
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.began.load(Ordering::SeqCst)
    }

    /// Returns how many requests arrived so far, and how many body bytes left.
    #[must_use]
    pub fn passed(&self) -> (u64, u64) {
        let sent = locked(&self.exchanges).iter().map(|it| it.bytes_sent.load(Ordering::Relaxed)).sum();
        (self.mark(), sent)
    }

    /// Returns how many requests with this method asked for this path.
    #[must_use]
    pub fn count(&self, method: &str, path: &str) -> usize {
        locked(&self.exchanges).iter().filter(|it| it.method == method && it.path == path).count()
    }

    /// Returns how many GET requests asked for this blob, in whatever repository.
    #[must_use]
    pub fn blob_gets(&self, digest: &Digest) -> usize {
        let end = blob_path_end(digest);
        locked(&self.exchanges).iter().filter(|it| it.method == "GET" && it.path.ends_with(&end)).count()
    }

    /// Returns how many body bytes left the origin for this blob so far.
    #[must_use]
    pub fn blob_bytes_sent(&self, digest: &Digest) -> u64 {
        let end = blob_path_end(digest);
        let exchanges = locked(&self.exchanges);
        let gets = exchanges.iter().filter(|it| it.method == "GET" && it.path.ends_with(&end));
        gets.map(|it| it.bytes_sent.load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn begin(&self, arrival: Arrival) -> Arc<LiveExchange> {
        let Arrival { method, path, query, range, authorized, client_secret, place } = arrival;
        let mut exchanges = locked(&self.exchanges);
        let exchange = Arc::new(LiveExchange {
            sequence: self.began.fetch_add(1, Ordering::SeqCst),
            method,
            path,
            query,
            range,
            authorized,
            client_secret,
            place,
            status: AtomicU16::new(0),
            bytes_sent: AtomicU64::new(0),
            complete: AtomicBool::new(false),
            faults: Mutex::default(),
            at: self.start.elapsed(),
        });
        if exchanges.len() == EXCHANGES_MAX {
            exchanges.pop_front();
        }
        exchanges.push_back(Arc::clone(&exchange));
        exchange
    }
}

impl Arrival {
    /// Describes a request without anything special.
    pub(crate) fn of(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: String::new(),
            range: None,
            authorized: false,
            client_secret: false,
            place: Place::First,
        }
    }
}

impl Entry {
    /// Says whether this is a GET of the blob.
    #[must_use]
    pub fn is_blob_get(&self, digest: &Digest) -> bool {
        self.method == "GET" && self.path.ends_with(&blob_path_end(digest))
    }

    /// Returns the tag or digest that the request named, the last part of its path.
    #[must_use]
    pub fn reference(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Says whether the request named this tag or digest, as a blob or as a manifest.
    #[must_use]
    pub fn names(&self, reference: &str) -> bool {
        self.reference() == reference
    }
}

impl LiveExchange {
    pub(crate) fn answered(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// Records that the answer never left.
    pub(crate) fn unanswered(&self) {
        self.status.store(0, Ordering::Relaxed);
    }

    pub(crate) fn sent(&self, bytes: u64) {
        self.bytes_sent.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn note(&self, fault: &'static str) {
        locked(&self.faults).push(fault);
    }

    /// Records that the response is over, and whether it was sent whole.
    pub(crate) fn end(&self, complete: bool) {
        self.complete.store(complete, Ordering::Relaxed);
    }

    fn entry(&self) -> Entry {
        let status = self.status.load(Ordering::Relaxed);
        Entry {
            sequence: self.sequence,
            method: self.method.clone(),
            path: self.path.clone(),
            query: self.query.clone(),
            range: self.range.clone(),
            authorized: self.authorized,
            client_secret: self.client_secret,
            place: self.place,
            status: (status != 0).then_some(status),
            bytes_sent: self.bytes_sent.load(Ordering::Relaxed),
            complete: self.complete.load(Ordering::Relaxed),
            faults: locked(&self.faults).clone(),
            at: self.at,
        }
    }
}

fn blob_path_end(digest: &Digest) -> String {
    format!("/blobs/{digest}")
}
