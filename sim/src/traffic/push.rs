//! What clients do beside pulling: they push under a name of their own, and they try what is none of their
//! business. And what the origin does meanwhile: it moves a tag.

use std::time::Instant;

use futures_util::future::join_all;

use super::{
    client::Circumstances,
    exchange::{Ask, Exchange, Outcome, Wanted},
    record::{Scene, Traffic, blobs},
};
use crate::{
    digest::Digest,
    origin::{ImageSpec, Origin, SeededBlob, SeededImage},
};

impl Traffic<'_> {
    /// Gives the tag of the first image to another one.
    pub fn move_tag(&mut self, origin: &Origin, spec: &ImageSpec) {
        let Some(image) = self.images.first_mut() else { return };
        let Some(tag) = image.tag.clone() else { return };
        let moved = origin.seed_image(&image.repository, &tag, spec);
        self.former.entry(image.repository.clone()).or_default().push(image.manifest.digest.clone());
        *image = moved.clone();
        self.seeded.push(moved);
    }

    /// Lets one client push an image while `clients` others pull everything; then all of them pull what was
    /// pushed. The origin has another image under the pushed name, which must not show.
    pub async fn push(&mut self, scene: Scene<'_>, clients: usize, pushed: &SeededImage) {
        let before = self.pulled();
        let pulls = (0..clients).map(|client| self.pull_one(scene, client, &before));
        let (pushes, pulls) = tokio::join!(self.push_one(scene, clients, pushed), join_all(pulls));
        self.exchanges.extend(pushes);
        self.exchanges.extend(pulls.concat());
        let mut wanted = vec![self.tagged(pushed), Wanted::manifest(&pushed.repository, &pushed.manifest)];
        wanted.extend(blobs(pushed));
        let asked = wanted.iter().map(|it| self.insist(scene, clients, it, &before));
        let exchanges = join_all(asked).await.concat();
        self.exchanges.extend(exchanges);
        if let Some(first) = self.images.first() {
            let exchanges = self.ask_elsewhere(scene, pushed, &first.repository).await;
            self.exchanges.extend(exchanges);
        }
    }

    /// Asks for everything of the first image in the repository of the last one, which holds none of it, and
    /// there for something that exists nowhere.
    pub async fn trespass(&mut self, scene: Scene<'_>) {
        let (Some(first), Some(last)) = (self.images.first(), self.images.last()) else { return };
        let exchanges = self.ask_elsewhere(scene, first, &last.repository).await;
        self.exchanges.extend(exchanges);
    }

    async fn ask_elsewhere(&self, scene: Scene<'_>, image: &SeededImage, repository: &str) -> Vec<Exchange> {
        let before = self.pulled();
        let own: Vec<_> = self.images.iter().filter(|it| it.repository == repository).collect();
        let is_foreign =
            |blob: &&SeededBlob| !own.iter().any(|it| it.blobs().any(|own| own.digest == blob.digest));
        let nowhere = SeededBlob { digest: Digest::sha256_of(image.repository.as_bytes()), size: 1 };
        let mut wanted: Vec<Wanted> = image
            .blobs()
            .filter(is_foreign)
            .chain([&nowhere])
            .flat_map(|blob| {
                let whole = Wanted::blob(repository, blob);
                [whole.clone().only(Ask::Head), whole]
            })
            .collect();
        wanted.extend([&image.manifest, &nowhere].map(|it| Wanted::manifest(repository, it)));
        let wanted: Vec<Wanted> = wanted.into_iter().map(|it| Wanted { trespass: true, ..it }).collect();
        let asked = wanted.iter().map(|it| self.insist(scene, 0, it, &before));
        join_all(asked).await.concat()
    }

    async fn push_one(&self, scene: Scene<'_>, client: usize, image: &SeededImage) -> Vec<Exchange> {
        let mut exchanges = Vec::new();
        for wanted in blobs(image).into_iter().chain([self.tagged(image)]) {
            let wanted = wanted.only(Ask::Push);
            let start = Instant::now();
            let pushed = self.bring(&wanted).await;
            let now = Circumstances::of(scene, client, &wanted, &self.pulled());
            exchanges.push(Exchange {
                status: pushed.as_ref().ok().copied(),
                outcome: pushed.map_or_else(Outcome::NoResponse, |_| Outcome::Complete),
                total: start.elapsed(),
                ..Exchange::unanswered(&wanted, now)
            });
        }
        exchanges
    }

    /// Brings a blob in two requests, a manifest in one; returns the last status.
    async fn bring(&self, wanted: &Wanted) -> Result<u16, String> {
        let bytes = self.client.content(&wanted.content.digest);
        if wanted.kind == super::Kind::Manifest {
            return Ok(self.client.send(http::Method::PUT, &wanted.path(), bytes).await?.status);
        }
        let uploads = format!("/v2/{}/blobs/uploads/", wanted.repository);
        let begun = self.client.send(http::Method::POST, &uploads, bytes::Bytes::new()).await?;
        let Some(location) = begun.location.filter(|_| begun.status == 202) else { return Ok(begun.status) };
        let separator = if location.contains('?') { '&' } else { '?' };
        let address = format!("{location}{separator}digest={}", wanted.content.digest);
        Ok(self.client.send(http::Method::PUT, &address, bytes).await?.status)
    }
}
