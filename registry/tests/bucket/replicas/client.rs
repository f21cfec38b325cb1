//! A client that goes from one process to another with each request.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::Method;
use sim::rng::Rng;

use super::fleet::{Answer, Ask, Fleet};
use super::history::{Act, History};
use super::image::{Blob, Image};

/// How often a push is begun anew whose process was killed, or whose blobs were garbage.
const TRIES_MAX: usize = 10;
/// Tags that all clients push.
const TAGS: usize = 4;

/// What all clients know.
#[derive(Debug)]
pub(super) struct World {
    pub(super) fleet: Fleet,
    pub(super) histories: Vec<History>,
    /// Layers that many images have.
    pub(super) bases: Vec<Arc<Blob>>,
    /// Every image that anybody began to push, with its repository.
    pub(super) images: Mutex<Vec<(usize, Arc<Image>)>>,
    /// For how long a blob stays that a client was told of; none is for ever.
    pub(super) told: Option<Duration>,
}

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) world: Arc<World>,
    pub(super) rng: Rng,
    number: usize,
}

/// What became of one try to push an image.
enum Tried {
    Accepted,
    /// Its process was killed, others are changing the same thing, or a blob has gone.
    Again,
}

impl World {
    /// Makes one of a fleet and repositories, with some blobs that many images need.
    pub(super) fn new(fleet: Fleet, rng: &mut Rng, repositories: &[&str]) -> Self {
        Self {
            fleet,
            histories: repositories.iter().map(|name| History::new(name)).collect(),
            bases: [60_000, 500, 30_000].into_iter().map(|size| Blob::new(rng.bytes(size))).collect(),
            images: Mutex::default(),
            told: None,
        }
    }

    /// Returns how many changes were accepted.
    pub(super) fn accepted(&self) -> usize {
        self.histories.iter().map(History::accepted).sum()
    }
}

impl Client {
    /// Makes one whose choices a seed decides.
    pub(super) fn new(world: &Arc<World>, seed: u64, number: usize) -> Self {
        let rng = Rng::labelled(seed, &format!("client {number}"));
        Self { world: Arc::clone(world), rng, number }
    }

    /// Returns a number below another one.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.rng.below(limit as u64)).unwrap()
    }

    /// Returns some process that runs.
    pub(super) fn any(&mut self) -> usize {
        let running = self.world.fleet.running();
        running[self.below(running.len())]
    }

    /// Returns some repository.
    pub(super) fn somewhere(&mut self) -> usize {
        self.below(self.world.histories.len())
    }

    /// Returns a tag that all clients push, or one of this client's own.
    pub(super) fn tag(&mut self) -> String {
        match self.below(2) {
            0 => format!("t{}", self.below(TAGS)),
            _ => format!("c{}-{}", self.number, self.rng.below(3)),
        }
    }

    async fn ask(&mut self, ask: Ask) -> Option<Answer> {
        let at = self.any();
        self.world.fleet.ask(at, ask).await
    }

    /// Pushes an image that nobody has, and returns it.
    pub(super) async fn push_new(&mut self, to: usize, tag: Option<String>) -> Arc<Image> {
        let base = self.below(self.world.bases.len());
        let base = Arc::clone(&self.world.bases[base]);
        let layers = vec![base, Blob::random(&mut self.rng)];
        let image = Image::of(&mut self.rng, layers);
        self.world.images.lock().unwrap().push((to, Arc::clone(&image)));
        self.push(to, &image, tag).await;
        image
    }

    /// Pushes one again that somebody has pushed.
    pub(super) async fn push_again(&mut self, tag: Option<String>) {
        if let Some((to, image)) = self.known() {
            self.push(to, &image, tag).await;
        }
    }

    /// Returns some image that somebody has pushed.
    pub(super) fn known(&mut self) -> Option<(usize, Arc<Image>)> {
        let roll = self.rng.next_u64();
        let images = self.world.images.lock().unwrap();
        let len = u64::try_from(images.len()).unwrap();
        (len > 0).then(|| images[usize::try_from(roll % len).unwrap()].clone())
    }

    /// Pushes an image, as often as it takes.
    pub(super) async fn push(&mut self, to: usize, image: &Image, tag: Option<String>) {
        for _ in 0..TRIES_MAX {
            if let Tried::Accepted = self.try_push(to, image, tag.clone()).await {
                return;
            }
        }
        panic!("{} could not be pushed", image.digest);
    }

    async fn try_push(&mut self, to: usize, image: &Image, tag: Option<String>) -> Tried {
        let mut told = Instant::now();
        for blob in &image.blobs {
            let asked = Instant::now();
            if !self.offer(to, blob).await {
                return Tried::Again;
            }
            told = told.min(asked);
        }
        let (world, at) = (Arc::clone(&self.world), self.any());
        let history = &world.histories[to];
        let reference = tag.as_ref().unwrap_or(&image.digest);
        let put = Ask::new(Method::PUT, format!("/v2/{}/manifests/{reference}", history.repository));
        let put = put.header("content-type", image.media_type).with(image.bytes.clone());
        let act = Act::Push { digest: image.digest.clone(), tag };
        let begun = Instant::now();
        let Some(answer) = world.fleet.ask(at, put).await else {
            history.unanswered(act, at, begun);
            return Tried::Again;
        };
        match answer.status.as_u16() {
            201 => {
                history.answered(act, at, begun);
                Tried::Accepted
            }
            503 => {
                history.unanswered(act, at, begun);
                Tried::Again
            }
            404 => {
                let is_late = world.told.is_some_and(|time| told.elapsed() > time);
                let text = String::from_utf8_lossy(&answer.body);
                assert!(is_late, "replica {at} lacks what a client was told of: {text}");
                Tried::Again
            }
            status => panic!("{status}: {}", String::from_utf8_lossy(&answer.body)),
        }
    }

    /// Makes sure that a repository has a blob, as clients do: asks first.
    async fn offer(&mut self, to: usize, blob: &Blob) -> bool {
        let name = self.world.histories[to].repository.clone();
        let head = Ask::new(Method::HEAD, format!("/v2/{name}/blobs/{}", blob.digest));
        match self.ask(head).await.map(|answer| answer.status.as_u16()) {
            Some(200) => true,
            Some(404) => self.push_blob(&name, blob).await,
            Some(503) | None => false,
            Some(status) => panic!("{status} to a HEAD"),
        }
    }

    /// Pushes a blob in one to three requests, each to some process.
    pub(super) async fn push_blob(&mut self, name: &str, blob: &Blob) -> bool {
        let way = self.below(3);
        let open = format!("/v2/{name}/blobs/uploads/");
        let whole = format!("digest={}", blob.digest);
        if way == 0 {
            let post = Ask::new(Method::POST, format!("{open}?{whole}")).with(blob.bytes.clone());
            return is_done(self.ask(post).await, 201);
        }
        let Some(opened) = self.ask(Ask::new(Method::POST, open)).await else { return false };
        let at = opened.expect(202).header("location").to_owned();
        let cut = if way == 1 { 0 } else { self.below(blob.bytes.len()) };
        if cut > 0 {
            let patch = Ask::new(Method::PATCH, at.clone()).with(blob.bytes.slice(..cut));
            if !is_done(self.ask(patch).await, 202) {
                return false;
            }
        }
        let put = Ask::new(Method::PUT, format!("{at}?{whole}")).with(blob.bytes.slice(cut..));
        is_done(self.ask(put).await, 201)
    }

    /// Deletes a tag.
    pub(super) async fn delete_tag(&mut self, of: usize, tag: String) {
        let seen = Act::SawList { tag: tag.clone(), is_listed: false };
        self.delete(of, &tag.clone(), Act::DeleteTag(tag), seen).await;
    }

    /// Deletes a manifest.
    pub(super) async fn delete_manifest(&mut self, of: usize, digest: &str) {
        let seen = Act::SawManifest { digest: digest.to_owned(), is_there: false };
        self.delete(of, digest, Act::DeleteManifest(digest.to_owned()), seen).await;
    }

    async fn delete(&mut self, of: usize, reference: &str, act: Act, absent: Act) {
        let (world, at) = (Arc::clone(&self.world), self.any());
        let history = &world.histories[of];
        let begun = Instant::now();
        let delete = Ask::new(Method::DELETE, format!("/v2/{}/manifests/{reference}", history.repository));
        match world.fleet.ask(at, delete).await.map(|answer| answer.status.as_u16()) {
            Some(202) => history.answered(act, at, begun),
            Some(404) => history.answered(absent, at, begun),
            Some(503) | None => history.unanswered(act, at, begun),
            Some(status) => panic!("{status} to a DELETE"),
        }
    }

    /// Looks at what a tag points at.
    pub(super) async fn pull_tag(&mut self, of: usize, tag: String) {
        let at = self.any();
        see_tag(&self.world, of, at, tag).await;
    }

    /// Lists the tags.
    pub(super) async fn list(&mut self, of: usize) {
        let at = self.any();
        see_list(&self.world, of, at).await;
    }
}

fn is_done(answer: Option<Answer>, status: u16) -> bool {
    // Garbage collection may take content that nobody has linked yet; the client is told to try again.
    let answer = answer.filter(|answer| answer.status != 503);
    answer.map(|answer| answer.expect(status)).is_some()
}

/// Looks at what a tag points at; what comes must be what its digest says.
pub(super) async fn see_tag(world: &World, of: usize, at: usize, tag: String) -> Option<String> {
    let (history, begun) = (&world.histories[of], Instant::now());
    let path = format!("/v2/{}/manifests/{tag}", history.repository);
    let answer = world.fleet.ask(at, Ask::new(Method::GET, path)).await?;
    let digest = match answer.status.as_u16() {
        200 => {
            let digest = answer.header("docker-content-digest").to_owned();
            assert_eq!(crate::support::layout::sha256(&answer.body), digest, "replica {at}: {tag}");
            Some(digest)
        }
        404 => None,
        status => panic!("{status} to a GET of {tag}"),
    };
    history.answered(Act::SawTag { tag, digest: digest.clone() }, at, begun);
    digest
}

/// Looks at the list of tags, and returns it.
pub(super) async fn see_list(world: &World, of: usize, at: usize) -> Option<Vec<String>> {
    let (history, begun) = (&world.histories[of], Instant::now());
    // Before: what is pushed meanwhile need not be there.
    let tags = history.tags();
    let path = format!("/v2/{}/tags/list", history.repository);
    let answer = world.fleet.ask(at, Ask::new(Method::GET, path)).await?;
    let listed: Vec<String> = match answer.status.as_u16() {
        200 => {
            let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            serde_json::from_value(json["tags"].clone()).unwrap()
        }
        404 => Vec::new(),
        status => panic!("{status} to a list"),
    };
    for tag in tags {
        let is_listed = listed.contains(&tag);
        history.answered(Act::SawList { tag, is_listed }, at, begun);
    }
    Some(listed)
}
