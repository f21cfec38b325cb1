//! A client that pulls what an upstream has, and what it may find later.
//!
//! What is cached is promised to be right, and to stay: whoever was answered while the upstream was away is
//! answered so again. What is not cached is fetched, or refused honestly.

use std::collections::BTreeSet;
use std::sync::Arc;

use sim::origin::{ImageSpec, Origin, Running};

use super::client::Stop;
use crate::support::{Connection, Random, Server, digest_of};

/// The repository of the upstream.
const REPOSITORY: &str = "upstream/app";
/// Images that it has: enough that some are cold whenever a server dies.
const IMAGES: usize = 24;

/// An upstream that listens, in threads of its own.
#[derive(Debug)]
pub(crate) struct Upstream {
    runtime: tokio::runtime::Runtime,
    running: Running,
    images: Vec<Image>,
}

/// An image: the path of its tag, that of its digest, those of its blobs, each with the digest of what is there.
#[derive(Debug, Clone)]
struct Image {
    tag: String,
    manifest: (String, String),
    blobs: Vec<(String, String)>,
}

impl Upstream {
    /// Makes images, and listens on a free port.
    pub(crate) fn start(random: &mut Random) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a thread can be made");
        let origin = Origin::new();
        let images = (0..IMAGES).map(|number| image(&origin, number, random)).collect();
        let running = runtime.block_on(origin.serve("127.0.0.1:0")).expect("a port is free");
        Self { runtime, running, images }
    }

    /// Returns the configuration of a server before it.
    pub(crate) fn config(&self) -> String {
        serde_json::json!({"extensions": {"sync": {"enable": true, "registries": [
            {"urls": [self.running.url()], "onDemand": true, "content": [{"prefix": "upstream/**"}]},
        ]}}})
        .to_string()
    }

    /// Refuses whoever asks, until it is begun again.
    pub(crate) fn stop(&self) {
        self.runtime.block_on(self.running.stop());
    }

    /// Answers again.
    pub(crate) fn begin_again(&self) {
        self.runtime.block_on(self.running.start());
    }
}

fn image(origin: &Origin, number: usize, random: &mut Random) -> Image {
    let layers = vec![random.below(5_000), 100_000 + random.below(400_000), random.below(2 << 20)];
    let tag = format!("v{number}");
    let spec = ImageSpec { layers, seed: random.next(), ..ImageSpec::default() };
    let seeded = origin.seed_image(REPOSITORY, &tag, &spec);
    let path = |kind: &str, digest: &str| format!("/v2/{REPOSITORY}/{kind}/{digest}");
    let named = |kind: &str, digest: String| (path(kind, &digest), digest);
    Image {
        tag: path("manifests", &tag),
        manifest: named("manifests", seeded.manifest.digest.to_string()),
        blobs: seeded.blobs().map(|blob| named("blobs", blob.digest.to_string())).collect(),
    }
}

/// A client that pulls.
#[derive(Debug)]
pub(crate) struct Puller {
    upstream: Arc<Upstream>,
    random: Random,
    /// Paths that were answered while the upstream was away.
    cached: BTreeSet<String>,
    /// How many bodies came whole.
    pub(crate) pulled: u64,
}

impl Puller {
    /// Makes a client before an empty cache.
    pub(crate) fn new(upstream: Arc<Upstream>, random: Random) -> Self {
        Self { upstream, random, cached: BTreeSet::new(), pulled: 0 }
    }

    /// Pulls images at random until the connection breaks.
    pub(crate) fn traffic(&mut self, wire: &mut Connection) -> Stop {
        loop {
            if let Err(stop) = self.pull_one(wire) {
                return stop;
            }
        }
    }

    /// Pulls an image.
    pub(crate) fn pull_one(&mut self, wire: &mut Connection) -> Result<(), Stop> {
        let image = self.upstream.images[self.random.below(IMAGES)].clone();
        self.pull(wire, &image)
    }

    fn pull(&mut self, wire: &mut Connection, image: &Image) -> Result<(), Stop> {
        let (manifest, digest) = &image.manifest;
        let mut wanted = vec![(&image.tag, digest), (manifest, digest)];
        wanted.extend(image.blobs.iter().map(|(path, digest)| (path, digest)));
        for (path, digest) in wanted {
            let answer = wire.get(path)?;
            if answer.status != 200 {
                return Err(Stop::Refused { request: format!("GET {path}"), answer: Box::new(answer) });
            }
            assert_eq!(digest_of(&answer.body), *digest, "GET {path}");
            self.pulled += 1;
        }
        Ok(())
    }

    /// Asks for everything while the upstream is away, and returns how much of it is cached.
    ///
    /// Panics when something is wrong, gone, or said to be nowhere.
    pub(crate) fn audit(&mut self, server: &Server) -> usize {
        let mut wire = server.connect();
        for image in &self.upstream.images {
            for (path, digest) in std::iter::once(&image.manifest).chain(&image.blobs) {
                let answer = wire.get(path).unwrap_or_else(|error| panic!("GET {path}: {error}"));
                match answer.status {
                    200 => {
                        assert_eq!(digest_of(&answer.body), *digest, "GET {path}");
                        self.cached.insert(path.clone());
                    }
                    502..=504 => {
                        assert!(!self.cached.contains(path), "GET {path}: it was cached, and is gone");
                    }
                    status => panic!("GET {path}: {status}, where the upstream is away: {answer:?}"),
                }
            }
        }
        self.cached.len()
    }
}
