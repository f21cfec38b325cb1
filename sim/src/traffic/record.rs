//! The record of a scenario's traffic, and how one client asks for one thing.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use super::{
    client::{Circumstances, Client},
    exchange::{Ask, Exchange, Kind, Upstream, Wanted},
};
use crate::{digest::Digest, origin::SeededImage};

/// How long a patient client waits before it asks again.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// Carries out the traffic of one scenario and keeps the record.
#[derive(Debug)]
pub struct Traffic<'a> {
    pub(super) client: &'a Client,
    /// What the origin holds now.
    pub(super) images: Vec<SeededImage>,
    /// What the tags of a repository named before.
    pub(super) former: HashMap<String, Vec<Digest>>,
    /// Everything that the origin ever held.
    pub seeded: Vec<SeededImage>,
    /// Everything that was asked so far, in the order of completion.
    pub exchanges: Vec<Exchange>,
}

/// The circumstances of a step.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The step's place in the scenario, from 0.
    pub number: usize,
    /// Whether the origin accepts connections.
    pub upstream: Upstream,
    /// Whether a fault is installed, or the origin away.
    pub troubled: bool,
    /// For how long a client asks again for what it did not get.
    pub patience: Duration,
    /// Only images whose repository begins so.
    pub only: &'a str,
}

impl Default for Scene<'_> {
    fn default() -> Self {
        Self { number: 0, upstream: Upstream::Up, troubled: false, patience: Duration::ZERO, only: "" }
    }
}

impl<'a> Traffic<'a> {
    /// Begins a record.
    #[must_use]
    pub fn new(client: &'a Client, images: &[SeededImage]) -> Self {
        Self {
            client,
            images: images.to_vec(),
            former: HashMap::new(),
            seeded: images.to_vec(),
            exchanges: Vec::new(),
        }
    }

    /// Returns the images that a step is about.
    pub(super) fn images_of(&self, scene: Scene<'_>) -> impl Iterator<Item = &SeededImage> {
        self.images.iter().filter(move |it| it.repository.starts_with(scene.only))
    }

    /// Asks for an image's manifest by its tag.
    pub(super) fn tagged(&self, image: &SeededImage) -> Wanted {
        let by_digest = Wanted::manifest(&image.repository, &image.manifest);
        let Some(tag) = &image.tag else { return by_digest };
        let former = self.former.get(&image.repository).cloned().unwrap_or_default();
        Wanted { reference: tag.clone(), former, ..by_digest }
    }

    /// Lets one client ask for one thing, again until `patience` is over or it came.
    pub(super) async fn insist(
        &self,
        scene: Scene<'_>,
        client: usize,
        wanted: &Wanted,
        before: &HashSet<String>,
    ) -> Vec<Exchange> {
        let start = Instant::now();
        let mut exchanges = Vec::new();
        for attempt in 1.. {
            let now = Circumstances { attempt, ..Circumstances::of(scene, client, wanted, before) };
            let exchange = self.client.get(wanted, now, |_| {}).await;
            let over = exchange.succeeded() || start.elapsed() + AGAIN_AFTER > scene.patience;
            exchanges.push(exchange);
            if over {
                break;
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        exchanges
    }

    /// Returns the paths that some client got whole so far.
    pub(super) fn pulled(&self) -> HashSet<String> {
        let whole = |it: &&Exchange| it.succeeded() && it.wanted.ask == Ask::Whole;
        self.exchanges.iter().filter(whole).map(|it| it.wanted.path()).collect()
    }
}

impl Circumstances {
    /// Describes a first attempt.
    pub(super) fn of(scene: Scene<'_>, client: usize, wanted: &Wanted, before: &HashSet<String>) -> Self {
        Self {
            step: scene.number,
            client,
            attempt: 1,
            upstream: scene.upstream,
            troubled: scene.troubled,
            pulled_before: before.contains(&wanted.path()),
            leave_after: None,
        }
    }
}

/// Returns every blob of an image, as a client asks for it.
pub(super) fn blobs(image: &SeededImage) -> Vec<Wanted> {
    image.blobs().map(|it| Wanted::blob(&image.repository, it)).collect()
}

/// Returns an image's largest layer, as a client asks for it.
pub(super) fn largest_layer(image: &SeededImage) -> Option<Wanted> {
    let layer = image.layers.iter().max_by_key(|layer| layer.size)?;
    Some(Wanted { kind: Kind::Blob, ..Wanted::blob(&image.repository, layer) })
}
