//! The upstream of a trial: what it holds at which moment, and how it answers.

use std::collections::BTreeMap;

use serde_json::json;

use super::plan::{Fault, Kind, Plan, Target};
use crate::digest::Digest;
use crate::rng::Rng;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Bytes of a body that come at once.
const PIECE_BYTES: usize = 16 * 1024;
/// Milliseconds between two pieces, and at most before a head.
const PIECE_MS: u64 = 2;
const HEAD_MS_MAX: u64 = 20;

/// The upstream.
#[derive(Debug)]
pub struct World {
    plan: Plan,
    layers: Vec<Vec<Vec<u8>>>,
    manifests: Vec<Vec<u8>>,
    /// What a path stands for.
    paths: BTreeMap<String, Target>,
    /// The path of each target, and the digest of what does not move: hashing is most of a trial.
    names: BTreeMap<Target, String>,
    digests: BTreeMap<Target, String>,
    /// How often each was asked for at each url.
    asked: BTreeMap<(usize, Target), u32>,
    journal: Vec<Entry>,
    /// Faults are over.
    healed: bool,
    /// Nothing answers any more.
    down: bool,
}

/// What the upstream was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// When, in milliseconds.
    pub at_ms: u64,
    /// At which url.
    pub url: usize,
    /// `GET` or `HEAD`.
    pub method: String,
    /// For what, if it is there.
    pub target: Option<Target>,
    /// What went wrong.
    pub fault: Option<Kind>,
}

/// What is to be sent, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Milliseconds before anything happens.
    pub after_ms: u64,
    /// What happens then.
    pub outcome: Outcome,
}

/// What comes of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The connection is refused.
    Refused,
    /// It is reset before a head.
    Reset,
    /// Nothing, ever.
    Silence,
    /// A response.
    Response {
        /// The status.
        status: u16,
        /// Its headers.
        headers: Vec<(String, String)>,
        /// Its body.
        body: Vec<Piece>,
        /// How that ends.
        end: End,
    },
}

/// A piece of a body.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// Milliseconds after the one before it.
    pub after_ms: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As announced.
    Clean,
    /// The connection is reset.
    Reset,
    /// The connection is closed short of the length.
    Cut,
    /// Nothing more comes.
    Stall,
}

impl World {
    /// Makes the world of a plan.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let mut world = Self {
            plan: plan.clone(),
            layers: Vec::new(),
            manifests: Vec::new(),
            paths: BTreeMap::new(),
            names: BTreeMap::new(),
            digests: BTreeMap::new(),
            asked: BTreeMap::new(),
            journal: Vec::new(),
            healed: false,
            down: false,
        };
        for (image, sizes) in plan.images.iter().enumerate() {
            world.make(image, sizes);
        }
        for repository in 0..Plan::repositories() {
            world.name(Target::Tag(repository), path(repository, "manifests", "v"));
        }
        world
    }

    fn make(&mut self, image: usize, sizes: &[usize]) {
        let repository = Plan::repository_of(image);
        let mut layers = Vec::new();
        let mut descriptors = Vec::new();
        for (layer, size) in sizes.iter().enumerate() {
            // By size and place alone: images share layers, as real ones do.
            let bytes = Rng::labelled(self.plan.seed, &format!("layer {layer} {size}")).bytes(*size);
            let digest = Digest::sha256_of(&bytes).to_string();
            self.name(Target::Layer(image, layer), path(repository, "blobs", &digest));
            self.digests.insert(Target::Layer(image, layer), digest.clone());
            descriptors.push(json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": size}));
            layers.push(bytes);
        }
        let config = json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": Digest::sha256_of(b"{}").to_string(), "size": 2});
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": descriptors, "annotations": {"image": image.to_string()}});
        let manifest = manifest.to_string().into_bytes();
        let digest = Digest::sha256_of(&manifest).to_string();
        self.name(Target::Manifest(image), path(repository, "manifests", &digest));
        self.digests.insert(Target::Manifest(image), digest);
        self.layers.push(layers);
        self.manifests.push(manifest);
    }

    fn name(&mut self, target: Target, path: String) {
        self.paths.entry(path.clone()).or_insert(target);
        self.names.insert(target, path);
    }

    /// Returns the path of something, as it is asked for.
    #[must_use]
    pub fn path_of(&self, target: Target) -> &str {
        &self.names[&target]
    }

    /// Returns the digest of something at a moment.
    pub(super) fn digest(&self, target: Target, at_ms: u64) -> &str {
        match target {
            Target::Tag(repository) => &self.digests[&Target::Manifest(self.tagged(repository, at_ms))],
            fixed => &self.digests[&fixed],
        }
    }

    /// Returns the bytes of something at a moment.
    #[must_use]
    pub fn content(&self, target: Target, at_ms: u64) -> &[u8] {
        match target {
            Target::Tag(repository) => &self.manifests[self.tagged(repository, at_ms)],
            Target::Manifest(image) => &self.manifests[image],
            Target::Layer(image, layer) => &self.layers[image][layer],
        }
    }

    /// Returns everything that a target has ever been, until a moment.
    #[must_use]
    pub fn versions(&self, target: Target, until_ms: u64) -> Vec<&[u8]> {
        let Target::Tag(repository) = target else { return vec![self.content(target, 0)] };
        let moves = self
            .plan
            .moves
            .iter()
            .filter(|it| it.at_ms <= until_ms && Plan::repository_of(it.image) == repository);
        std::iter::once(0).chain(moves.map(|it| it.at_ms)).map(|at| self.content(target, at)).collect()
    }

    /// Returns the image that a repository's tag points at.
    fn tagged(&self, repository: usize, at_ms: u64) -> usize {
        let moves = self
            .plan
            .moves
            .iter()
            .filter(|it| it.at_ms <= at_ms && Plan::repository_of(it.image) == repository);
        moves.max_by_key(|it| it.at_ms).map_or(repository, |it| it.image)
    }

    /// Ends all faults.
    pub fn heal(&mut self) {
        self.healed = true;
    }

    /// Lets nothing answer from now on.
    pub fn go_down(&mut self) {
        self.down = true;
    }

    /// Returns what was asked so far.
    #[must_use]
    pub fn journal(&self) -> &[Entry] {
        &self.journal
    }

    /// Answers a request: which url it came to, its path, the first byte of its `Range`, and when.
    pub fn answer(&mut self, url: usize, method: &str, path: &str, from: Option<usize>, at_ms: u64) -> Reply {
        let target = self.paths.get(path).copied();
        let fault = target.and_then(|target| self.fault(url, target));
        let entry = Entry { at_ms, url, method: method.to_owned(), target, fault };
        self.journal.push(entry);
        // By the request's own identity, so that what others ask changes nothing of it.
        let count = target.and_then(|target| self.asked.get(&(url, self.key(target)))).copied().unwrap_or(0);
        let after_ms =
            Rng::labelled(self.plan.seed, &format!("latency {url} {path} {count}")).below(HEAD_MS_MAX);
        let Some(target) = target.filter(|_| !self.down) else {
            let outcome = if self.down { Outcome::Refused } else { status(404, None) };
            return Reply { after_ms: 0, outcome };
        };
        let response = Response {
            bytes: self.content(target, at_ms).to_vec(),
            size: self.content(target, at_ms).len(),
            from,
            is_head: method == "HEAD",
            media_type: media_type(target),
            digest: self.digest(target, at_ms).to_owned(),
        };
        response.spoiled(fault, after_ms)
    }

    /// Counts a request, and returns what goes wrong with it.
    fn fault(&mut self, url: usize, target: Target) -> Option<Kind> {
        // The same bytes under several names are one blob to who asks for them.
        let key = self.key(target);
        let count = self.asked.entry((url, key)).or_default();
        *count += 1;
        let count = *count;
        let hits = |fault: &&Fault| {
            fault.url == url
                && self.key(fault.target) == key
                && (fault.nth..fault.nth.saturating_add(fault.times)).contains(&count)
        };
        self.plan.faults.iter().find(hits).filter(|_| !self.healed).map(|fault| fault.kind)
    }

    /// Returns the first target of the same repository with the same path.
    #[must_use]
    pub fn key(&self, target: Target) -> Target {
        self.paths.get(self.path_of(target)).copied().unwrap_or(target)
    }
}

struct Response {
    bytes: Vec<u8>,
    size: usize,
    from: Option<usize>,
    is_head: bool,
    media_type: &'static str,
    digest: String,
}

impl Response {
    /// Returns the reply, with at most one thing wrong.
    fn spoiled(mut self, fault: Option<Kind>, after_ms: u64) -> Reply {
        let (mut after_ms, mut length, mut end) = (after_ms, 0, End::Clean);
        let (mut is_sized, mut piece, mut pause) = (true, PIECE_BYTES, PIECE_MS);
        let size = self.size;
        let place = |at: u32| size * at as usize / 1000;
        let mut cut = None;
        match fault {
            Some(Kind::Refuse) => return Reply { after_ms, outcome: Outcome::Refused },
            Some(Kind::Reset) => return Reply { after_ms, outcome: Outcome::Reset },
            Some(Kind::Silence) => return Reply { after_ms, outcome: Outcome::Silence },
            Some(Kind::Status(code, retry)) => return Reply { after_ms, outcome: status(code, retry) },
            Some(Kind::Html) => {
                self.bytes = b"<html>log in</html>".to_vec();
                (self.size, self.media_type, self.from) = (self.bytes.len(), "text/html", None);
            }
            Some(Kind::Late(ms)) => after_ms += ms,
            Some(Kind::ResetAt(at)) => (cut, end) = (Some(place(at)), End::Reset),
            Some(Kind::CutAt(at)) => (cut, end) = (Some(place(at)), End::Cut),
            Some(Kind::ShortAt(at)) => (cut, is_sized) = (Some(place(at)), false),
            Some(Kind::StallAt(at)) => (cut, end) = (Some(place(at)), End::Stall),
            Some(Kind::FlipAt(at)) => {
                let at = place(at);
                if let Some(byte) = self.bytes.get_mut(at) {
                    *byte ^= 0x55;
                }
            }
            Some(Kind::Length(by)) => length = by,
            Some(Kind::FalseDigest) => self.digest = Digest::sha256_of(b"another").to_string(),
            Some(Kind::NoRange) => self.from = None,
            Some(Kind::Drip(bytes)) => (piece, pause) = (bytes.max(1) as usize, 1000),
            None => {}
        }
        let from = self.from.filter(|from| *from < self.size);
        let begin = from.unwrap_or(0);
        let until = cut.map_or(self.bytes.len(), |cut| cut.max(begin));
        // Of a body that is longer than its length, a client reads no more than that.
        let until = if length < 0 { until.saturating_sub(1).max(begin) } else { until };
        let body = if self.is_head { Vec::new() } else { pieces(&self.bytes[begin..until], piece, pause) };
        let end =
            if cut.is_some_and(|cut| cut < self.bytes.len()) || end == End::Stall { end } else { End::Clean };
        let told = i64::try_from(self.size - begin).unwrap_or_default() + length;
        let end = if length > 0 && !self.is_head { End::Cut } else { end };
        let headers = self.headers(from, is_sized.then_some(told.max(0)));
        let status = if from.is_some() { 206 } else { 200 };
        let end = if self.is_head { End::Clean } else { end };
        Reply { after_ms, outcome: Outcome::Response { status, headers, body, end } }
    }

    fn headers(&self, from: Option<usize>, length: Option<i64>) -> Vec<(String, String)> {
        let mut headers = vec![
            ("content-type".to_owned(), self.media_type.to_owned()),
            ("docker-content-digest".to_owned(), self.digest.clone()),
        ];
        headers.extend(length.map(|length| ("content-length".to_owned(), length.to_string())));
        headers.extend(from.map(|from| {
            ("content-range".to_owned(), format!("bytes {from}-{}/{}", self.size - 1, self.size))
        }));
        headers
    }
}

fn pieces(bytes: &[u8], size: usize, after_ms: u64) -> Vec<Piece> {
    bytes.chunks(size).map(|bytes| Piece { after_ms, bytes: bytes.to_vec() }).collect()
}

fn status(status: u16, retry_after: Option<u64>) -> Outcome {
    let mut headers = vec![("content-length".to_owned(), "2".to_owned())];
    headers.extend(retry_after.map(|seconds| ("retry-after".to_owned(), seconds.to_string())));
    Outcome::Response {
        status,
        headers,
        body: vec![Piece { after_ms: 0, bytes: b"{}".to_vec() }],
        end: End::Clean,
    }
}

const fn media_type(target: Target) -> &'static str {
    match target {
        Target::Tag(_) | Target::Manifest(_) => MANIFEST,
        Target::Layer(..) => "application/octet-stream",
    }
}

fn path(repository: usize, noun: &str, reference: &str) -> String {
    format!("/v2/r{repository}/{noun}/{reference}")
}

#[cfg(test)]
mod tests {
    //! Goal: a world without faults is a registry, and each fault does what it says. Method: one image.

    use super::*;

    fn plan(kind: Option<Kind>) -> Plan {
        let mut plan = Plan::of(1);
        (plan.images, plan.moves) = (vec![vec![40_000], vec![1]], Vec::new());
        let fault = |kind| Fault { url: 0, target: Target::Layer(0, 0), nth: 1, times: 1, kind };
        plan.faults = kind.map(fault).into_iter().collect();
        plan
    }

    fn body(reply: &Reply) -> (u16, Vec<u8>, End) {
        let Outcome::Response { status, body, end, .. } = &reply.outcome else { panic!("{reply:?}") };
        (*status, body.iter().flat_map(|piece| piece.bytes.clone()).collect(), *end)
    }

    #[test]
    fn an_honest_world_serves_bytes_and_ranges() {
        let mut world = World::new(&plan(None));
        let path = world.path_of(Target::Layer(0, 0)).to_owned();
        let bytes = world.content(Target::Layer(0, 0), 0).to_vec();
        assert_eq!(body(&world.answer(0, "GET", &path, None, 0)), (200, bytes.clone(), End::Clean));
        let ranged = body(&world.answer(0, "GET", &path, Some(30_000), 0));
        assert_eq!(ranged, (206, bytes[30_000..].to_vec(), End::Clean));
        assert_eq!(body(&world.answer(0, "HEAD", &path, None, 0)), (200, Vec::new(), End::Clean));
        assert_eq!(body(&world.answer(0, "GET", "/v2/r0/blobs/none", None, 0)).0, 404);
    }

    #[test]
    fn faults_happen_once_and_end_when_the_world_heals() {
        let mut world = World::new(&plan(Some(Kind::CutAt(500))));
        let path = world.path_of(Target::Layer(0, 0)).to_owned();
        let (status, bytes, end) = body(&world.answer(0, "GET", &path, None, 0));
        assert_eq!((status, bytes.len(), end), (200, 20_000, End::Cut));
        assert_eq!(body(&world.answer(0, "GET", &path, None, 0)).2, End::Clean);
        let mut world = World::new(&plan(Some(Kind::Refuse)));
        world.heal();
        assert_eq!(body(&world.answer(0, "GET", &path, None, 0)).0, 200);
        world.go_down();
        assert_eq!(world.answer(0, "GET", &path, None, 0).outcome, Outcome::Refused);
    }
}
