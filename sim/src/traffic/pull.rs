//! Who pulls what, when: the pulls of a scenario's steps.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::sync::watch;

use super::{
    client::{Circumstances, Client},
    exchange::{Exchange, Kind, Outcome, Upstream, Wanted},
};
use crate::origin::SeededImage;

/// How long a patient client waits before it asks again.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// Carries out the pulls of one scenario and keeps the record.
#[derive(Debug)]
pub struct Traffic<'a> {
    client: &'a Client,
    images: &'a [SeededImage],
    /// Everything that was asked so far, in the order of completion.
    pub exchanges: Vec<Exchange>,
}

/// The circumstances of a step.
#[derive(Debug, Clone, Copy)]
struct Step {
    number: usize,
    upstream: Upstream,
    patience: Duration,
}

impl<'a> Traffic<'a> {
    /// Begins a record.
    #[must_use]
    pub fn new(client: &'a Client, images: &'a [SeededImage]) -> Self {
        Self { client, images, exchanges: Vec::new() }
    }

    /// Lets `clients` clients pull every image at the same time. Each asks again, until `patience` is over,
    /// for what it did not get.
    pub async fn pull(&mut self, number: usize, upstream: Upstream, clients: usize, patience: Duration) {
        let step = Step { number, upstream, patience };
        let before = self.pulled();
        let pulls = (0..clients).map(|client| self.pull_one(step, client, &before));
        let exchanges = join_all(pulls).await.concat();
        self.exchanges.extend(exchanges);
    }

    /// Lets one client leave within the largest layer of the first image, while `clients` others, who begin
    /// when it has its first byte, pull everything.
    pub async fn leave(&mut self, number: usize, percent: u8, clients: usize) {
        let step = Step { number, upstream: Upstream::Up, patience: Duration::ZERO };
        let before = self.pulled();
        let Some((image, layer)) =
            self.images.first().and_then(|it| Some((it, it.layers.iter().max_by_key(|layer| layer.size)?)))
        else {
            return;
        };
        let wanted = Wanted {
            kind: Kind::Blob,
            repository: image.repository.clone(),
            reference: layer.digest.to_string(),
            content: layer.clone(),
        };
        let (begun, begins) = watch::channel(false);
        let leaver = async {
            let now = Circumstances {
                step: number,
                client: clients,
                attempt: 1,
                upstream: step.upstream,
                pulled_before: before.contains(&wanted.path()),
                leave_after: Some((layer.size.saturating_mul(u64::from(percent)) / 100).max(1)),
            };
            let exchange = self.client.get(&wanted, now, || _ = begun.send(true)).await;
            // A leaver that got nothing must not keep the others waiting.
            begun.send_replace(true);
            vec![exchange]
        };
        let others = (0..clients).map(|client| {
            let (mut begins, before) = (begins.clone(), &before);
            let this = &*self;
            async move {
                let _ = begins.wait_for(|begun| *begun).await;
                this.pull_one(step, client, before).await
            }
        });
        let (left, others) = tokio::join!(leaver, join_all(others));
        self.exchanges.extend(left);
        self.exchanges.extend(others.concat());
    }

    /// Pulls every image like a client does: manifest, then configuration and layers side by side. What the
    /// origin holds is known, so the blobs are asked for even if the manifest did not come.
    async fn pull_one(&self, step: Step, client: usize, before: &HashSet<String>) -> Vec<Exchange> {
        let mut exchanges = Vec::new();
        for image in self.images {
            let reference = image.tag.clone().unwrap_or_else(|| image.manifest.digest.to_string());
            let want = |kind, reference, content| Wanted {
                kind,
                repository: image.repository.clone(),
                reference,
                content,
            };
            let manifest = want(Kind::Manifest, reference, image.manifest.clone());
            exchanges.extend(self.insist(step, client, &manifest, before).await);
            let by_digest = want(Kind::Manifest, image.manifest.digest.to_string(), image.manifest.clone());
            exchanges.extend(self.insist(step, client, &by_digest, before).await);
            let blobs: Vec<Wanted> =
                image.blobs().map(|it| want(Kind::Blob, it.digest.to_string(), it.clone())).collect();
            let pulls = blobs.iter().map(|wanted| self.insist(step, client, wanted, before));
            exchanges.extend(join_all(pulls).await.concat());
        }
        exchanges
    }

    async fn insist(
        &self,
        step: Step,
        client: usize,
        wanted: &Wanted,
        before: &HashSet<String>,
    ) -> Vec<Exchange> {
        let start = Instant::now();
        let mut exchanges = Vec::new();
        for attempt in 1.. {
            let now = Circumstances {
                step: step.number,
                client,
                attempt,
                upstream: step.upstream,
                pulled_before: before.contains(&wanted.path()),
                leave_after: None,
            };
            let exchange = self.client.get(wanted, now, || {}).await;
            let over = exchange.succeeded() || start.elapsed() + AGAIN_AFTER > step.patience;
            exchanges.push(exchange);
            if over {
                break;
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        exchanges
    }

    /// Returns the paths that some client got whole so far.
    fn pulled(&self) -> HashSet<String> {
        let whole = |it: &&Exchange| it.succeeded() && it.outcome == Outcome::Complete;
        self.exchanges.iter().filter(whole).map(|it| it.wanted.path()).collect()
    }
}
