//! The upstream: far away, on a link of limited rate for each connection.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sim::fault::{Fault, Guard, Selector};
use sim::origin::{ImageSpec, Origin, Running, SeededImage};

/// One round trip.
pub(super) const ROUND_TRIP_MS: u64 = 20;
/// The rate of each connection.
pub(super) const BYTES_PER_SECOND: u64 = 100_000_000;
pub(super) const TAG: &str = "v1";
/// How long the count of what has left may lag behind its readers.
const COUNT_PATIENCE: Duration = Duration::from_secs(5);

const MIB: usize = 1024 * 1024;
/// 100 MiB in all, the largest first.
const LAYERS: [usize; 5] = [40 * MIB, 30 * MIB, 20 * MIB, 8 * MIB, 2 * MIB];

/// A listening upstream with two images.
#[derive(Debug)]
pub(super) struct Upstream {
    running: Running,
    /// What is measured.
    pub(super) image: SeededImage,
    /// A small one, which opens connections.
    pub(super) other: SeededImage,
    _link: [Guard; 2],
}

impl Upstream {
    /// Listens on a free port.
    pub(super) async fn start() -> Result<Self> {
        let origin = Origin::new();
        let spec =
            |layers: &[usize], seed| ImageSpec { layers: layers.to_vec(), seed, ..ImageSpec::default() };
        let image = origin.seed_image("bench/app", TAG, &spec(&LAYERS, 1));
        let other = origin.seed_image("bench/other", TAG, &spec(&[1000], 2));
        let link = [
            Selector::any("*").suffer(Fault::Latency { ms: ROUND_TRIP_MS }),
            Selector::any("*").suffer(Fault::Pace { bytes_per_second: BYTES_PER_SECOND }),
        ]
        .map(|rule| origin.install(rule));
        let running = origin.serve("127.0.0.1:0").await?;
        Ok(Self { running, image, other, _link: link })
    }

    pub(super) fn url(&self) -> String {
        self.running.url()
    }

    /// Returns a mark that separates what has arrived from what will.
    pub(super) fn mark(&self) -> u64 {
        self.running.origin().journal().mark()
    }

    /// Returns the bytes of the image's blobs.
    pub(super) fn image_bytes(&self) -> u64 {
        self.image.blobs().map(|blob| blob.size).sum()
    }

    /// Returns how many bytes of blobs left since the mark.
    pub(super) fn blob_bytes_since(&self, mark: u64) -> u64 {
        let entries = self.running.origin().journal().entries_since(mark);
        entries.iter().filter(|entry| entry.path.contains("/blobs/")).map(|entry| entry.bytes_sent).sum()
    }

    /// Fails unless each blob of the image left once since the mark; returns the ratio, which is 1.
    pub(super) async fn expect_fetched_once(&self, mark: u64) -> Result<f64> {
        let (deadline, size) = (Instant::now() + COUNT_PATIENCE, self.image_bytes());
        let mut sent = self.blob_bytes_since(mark);
        // A piece is counted once it has left, which its reader may know before this.
        while sent < size && Instant::now() < deadline {
            tokio::task::yield_now().await;
            sent = self.blob_bytes_since(mark);
        }
        ensure!(sent == size, "{sent} bytes of blobs were fetched, not {size}");
        Ok(sent as f64 / size as f64)
    }
}
