//! Pulls of whole images: many at the same time, some that join late, one that leaves early.

use std::collections::HashSet;

use futures_util::future::join_all;
use tokio::sync::watch;

use super::{
    client::Circumstances,
    exchange::{Exchange, Wanted},
    record::{Scene, Traffic, blobs, largest_layer},
};

/// What becomes of the client that begins alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    Stays,
    Leaves,
}

impl Traffic<'_> {
    /// Lets `clients` clients pull every image at the same time. Each asks again, until the scene's
    /// patience is over, for what it did not get.
    pub async fn pull(&mut self, scene: Scene<'_>, clients: usize) {
        let before = self.pulled();
        let pulls = (0..clients).map(|client| self.pull_one(scene, client, &before));
        let exchanges = join_all(pulls).await.concat();
        self.exchanges.extend(exchanges);
    }

    /// Lets one client leave within the largest layer of the first image, while `clients` others, who begin
    /// when it has its first byte, pull everything.
    pub async fn leave(&mut self, scene: Scene<'_>, percent: u8, clients: usize) {
        self.begin_alone(scene, percent, clients, First::Leaves).await;
    }

    /// Lets one client begin with the largest layer of the first image, and `clients` others, who begin when
    /// it has so many percent of it, pull everything.
    pub async fn join(&mut self, scene: Scene<'_>, percent: u8, clients: usize) {
        self.begin_alone(scene, percent, clients, First::Stays).await;
    }

    async fn begin_alone(&mut self, scene: Scene<'_>, percent: u8, clients: usize, first: First) {
        let before = self.pulled();
        let Some(wanted) = self.images.first().and_then(largest_layer) else { return };
        let share = (wanted.content.size.saturating_mul(u64::from(percent)) / 100).max(1);
        let (leave_after, join_after) = match first {
            First::Leaves => (Some(share), 1),
            First::Stays => (None, share),
        };
        let (begun, begins) = watch::channel(false);
        let alone = async {
            let now = Circumstances { leave_after, ..Circumstances::of(scene, clients, &wanted, &before) };
            let told = |bytes| {
                if bytes >= join_after {
                    begun.send_replace(true);
                }
            };
            let exchange = self.client.get(&wanted, now, told).await;
            // One that got nothing must not keep the others waiting.
            begun.send_replace(true);
            vec![exchange]
        };
        let others = (0..clients).map(|client| {
            let (mut begins, before) = (begins.clone(), &before);
            let this = &*self;
            async move {
                let _ = begins.wait_for(|begun| *begun).await;
                this.pull_one(scene, client, before).await
            }
        });
        let (alone, others) = tokio::join!(alone, join_all(others));
        self.exchanges.extend(alone);
        self.exchanges.extend(others.concat());
    }

    /// Pulls every image like a client does: manifest, then configuration and layers side by side. What the
    /// origin holds is known, so the blobs are asked for even if the manifest did not come.
    pub(super) async fn pull_one(
        &self,
        scene: Scene<'_>,
        client: usize,
        before: &HashSet<String>,
    ) -> Vec<Exchange> {
        let mut exchanges = Vec::new();
        for image in self.images_of(scene) {
            exchanges.extend(self.insist(scene, client, &self.tagged(image), before).await);
            let by_digest = Wanted::manifest(&image.repository, &image.manifest);
            exchanges.extend(self.insist(scene, client, &by_digest, before).await);
            let blobs = blobs(image);
            let pulls = blobs.iter().map(|wanted| self.insist(scene, client, wanted, before));
            exchanges.extend(join_all(pulls).await.concat());
        }
        exchanges
    }
}
