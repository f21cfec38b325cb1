//! What the store can be told.

pub mod retention;

use std::path::PathBuf;
use std::time::Duration;

pub use crate::backend::object::options::BucketOptions;
use crate::clock::Timestamp;
use retention::Retention;

/// Settings of the store, resolved from the section `storage` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where the objects are.
    pub place: Place,
    /// Whether this process is the only one that writes to it (`storage.shared`).
    pub writers: Writers,
    /// Whether a GET of a whole blob is answered by a redirect to the bucket (`storage.redirectBlobURL`).
    pub redirect: bool,
    /// Whether answers wait for the disk (`storage.commit`); [`Commit::No`] gives up P2 after power loss.
    pub commit: Commit,
    /// How long an upload may stand still before it is removed (`storage.uploadExpiry`).
    pub upload_expiry: Duration,
    /// Upload sessions open at once; more are answered 429 (`storage.maxUploads`).
    pub uploads_max: usize,
    /// Bytes of manifests and small records kept in memory (`storage.memoryCacheBytes`).
    pub memory_cache_bytes_max: u64,
    /// What an image may refer to that is not here (`http.missingReferences.image`).
    pub missing_in_image: Missing,
    /// What an index may refer to that is not here (`http.missingReferences.index`).
    pub missing_in_index: Missing,
    /// Whether a GET hashes what it sends and cuts a body that is wrong (`storage.verifyOnRead`).
    pub verify_on_read: bool,
    /// Share of the disk, in percent, below which nothing more is cached (`storage.minFree`).
    pub free_min_percent: u64,
    /// When and how garbage is collected.
    pub gc: GcOptions,
    /// Which hosted tags and manifests are removed, and when; until
    /// [`Store::replace_retention`](super::Store::replace_retention).
    pub retention: Retention,
}

/// When and how garbage is collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcOptions {
    /// Whether a server collects it (`storage.gc`).
    pub enable: bool,
    /// How long what looks like garbage stays (`storage.gcDelay`): a client may be about to push the manifest
    /// that needs it.
    pub delay: Duration,
    /// How often a server looks for it (`storage.gcInterval`).
    pub interval: Duration,
    /// When a server may begin to (`storage.gcTimeWindow`); none is always.
    pub window: Option<Window>,
}

/// A part of every day, in UTC, which may go over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its first minute, counted from midnight.
    from: u64,
    /// The first minute after it.
    until: u64,
}

impl Window {
    /// Reads `HH:MM-HH:MM`; `None` when it is something else. Two equal times are a whole day.
    pub fn parse(text: &str) -> Option<Self> {
        let minute = |text: &str| {
            let (hours, minutes) = text.split_once(':')?;
            let two_digits = |text: &str| {
                let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
                is_number.then(|| text.parse::<u64>().ok()).flatten()
            };
            let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
            (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
        };
        let (from, until) = text.split_once('-')?;
        Some(Self { from: minute(from.trim())?, until: minute(until.trim())? })
    }

    /// Says whether a moment lies in it.
    pub const fn has(self, at: Timestamp) -> bool {
        let minute = at.minute_of_day();
        if self.from < self.until {
            self.from <= minute && minute < self.until
        } else {
            self.from <= minute || minute < self.until
        }
    }
}

/// Where the objects are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder of this host (`storage.rootDirectory`).
    Folder(PathBuf),
    /// A bucket (`storage.bucket`, or zot's `storage.storageDriver`).
    Bucket(Box<BucketPlace>),
    /// This process; lost when it ends (`serve --memory`).
    Memory,
}

/// A bucket, and the folder beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketPlace {
    /// Which bucket, and how to reach it.
    pub bucket: BucketOptions,
    /// The folder in which fills are staged (`extensions.sync.downloadDir`, or `rootDirectory`).
    pub spool: PathBuf,
}

/// How many processes write to a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writers {
    /// This one alone: what it remembers is what is there.
    One,
    /// Others too: what it remembers may be old, and is asked for again (P13).
    Several,
}

/// Whether answers wait until the disk has the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// Every 201 and 202 survives power loss.
    Yes,
    /// They survive the process, not the machine.
    No,
}

/// What happens to a manifest that refers to content that is not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It is answered 404 MANIFEST_BLOB_UNKNOWN, naming each.
    Refuse,
    /// It is stored.
    Accept,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            place: Place::Folder(PathBuf::from("wharfinger-data")),
            writers: Writers::One,
            redirect: false,
            commit: Commit::Yes,
            upload_expiry: Duration::from_secs(24 * 3600),
            uploads_max: 10_000,
            memory_cache_bytes_max: 32 * 1024 * 1024,
            missing_in_image: Missing::Refuse,
            missing_in_index: Missing::Refuse,
            verify_on_read: false,
            free_min_percent: 5,
            gc: GcOptions::default(),
            retention: Retention::default(),
        }
    }
}

impl Default for GcOptions {
    fn default() -> Self {
        let hour = Duration::from_secs(3600);
        Self { enable: true, delay: hour, interval: hour, window: None }
    }
}

#[cfg(test)]
mod tests {
    //! Goal: a window is what is written, over midnight too. Method: a table.

    use super::*;

    #[test]
    fn a_window_is_a_part_of_the_day() {
        let at = |hours: u64, minutes: u64| Timestamp::from_millis((hours * 60 + minutes) * 60_000);
        for (window, inside, outside) in [
            ("02:00-04:00", vec![at(2, 0), at(3, 59)], vec![at(1, 59), at(4, 0), at(23, 0)]),
            ("23:30 - 00:30", vec![at(23, 30), at(0, 0), at(0, 29)], vec![at(0, 30), at(23, 29)]),
            ("00:00-00:00", vec![at(0, 0), at(12, 0), at(23, 59)], vec![]),
        ] {
            let window = Window::parse(window).unwrap();
            assert!(inside.iter().all(|at| window.has(*at)), "{window:?}");
            assert!(!outside.iter().any(|at| window.has(*at)), "{window:?}");
        }
        for text in
            ["", "02:00", "2:00-3:00", "02:00-24:00", "02:60-03:00", "+2:00-03:00", "02:00-03:00-04:00"]
        {
            assert_eq!(Window::parse(text), None, "{text}");
        }
    }
}
