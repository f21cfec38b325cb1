//! The upstream of a trial: what it holds at which moment, and how it answers.

use std::collections::BTreeMap;

use serde_json::json;

use super::plan::{Fault, Kind, Plan, Target};
use super::reply::{MANIFEST, Reply, Response, media_type, moved, status, token, unauthorized};
use crate::digest::Digest;
use crate::rng::Rng;

/// Milliseconds at most before a head.
pub(super) const HEAD_MS_MAX: u64 = 20;
/// Milliseconds at most on the way there.
const TRANSIT_MS_MAX: u64 = 12;
/// Where tokens are had.
const TOKEN_PATH: &str = "/token";

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
    tokens: Vec<TokenEntry>,
    /// Logins that came where they do not belong.
    leaks: Vec<String>,
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
    /// From which byte on, and to which, if a part was asked for.
    pub range: Option<(u64, Option<u64>)>,
    /// What went wrong.
    pub faults: Vec<Kind>,
}

/// A token that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenEntry {
    /// When, in milliseconds.
    pub at_ms: u64,
    /// At which url.
    pub url: usize,
    /// For what.
    pub scope: String,
}

/// Which host of a url.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// The registry, which has the token service too.
    Registry,
    /// Where it sends who wants a layer.
    Storage,
}

/// A request to the upstream.
#[derive(Debug, Clone, Copy)]
pub struct Question<'q> {
    /// Which url it came to.
    pub url: usize,
    /// Which host of it.
    pub host: Host,
    /// `GET` or `HEAD`.
    pub method: &'q str,
    /// Its path.
    pub path: &'q str,
    /// Its query, without the question mark.
    pub query: &'q str,
    /// The first byte of its `Range`, and the last.
    pub range: Option<(u64, Option<u64>)>,
    /// Its `Authorization`.
    pub login: Option<&'q str>,
    /// When it came, in milliseconds.
    pub at_ms: u64,
}

impl<'q> Question<'q> {
    /// Asks the registry of the first url for something whole.
    #[must_use]
    pub const fn plain(method: &'q str, path: &'q str, at_ms: u64) -> Self {
        Self { url: 0, host: Host::Registry, method, path, query: "", range: None, login: None, at_ms }
    }
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
            tokens: Vec::new(),
            leaks: Vec::new(),
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

    /// Returns the tokens that were asked for.
    #[must_use]
    pub fn tokens(&self) -> &[TokenEntry] {
        &self.tokens
    }

    /// Returns the logins that came where they do not belong.
    #[must_use]
    pub fn leaks(&self) -> &[String] {
        &self.leaks
    }

    /// Returns the content with a digest.
    #[must_use]
    pub fn content_of(&self, digest: &str) -> Option<&[u8]> {
        let (target, _) = self.digests.iter().find(|(_, of)| of.as_str() == digest)?;
        Some(self.content(*target, 0))
    }

    /// Returns how long a request is on its way before it is to be answered, in milliseconds.
    ///
    /// Those that wait for one token go on at the same moment, in an order that is chance: on their way each
    /// falls into its own place.
    #[must_use]
    pub fn transit_ms(&self, method: &str, path: &str, range: Option<(u64, Option<u64>)>) -> u64 {
        if self.plan.settings.token_ms == 0 {
            return 0;
        }
        Rng::labelled(self.plan.seed, &format!("transit {method} {path} {range:?}")).below(TRANSIT_MS_MAX)
    }

    /// Answers a request.
    pub fn answer(&mut self, question: &Question<'_>) -> Reply {
        let target = self.paths.get(question.path).copied();
        let after_ms = self.latency(question, target);
        if self.down {
            return Reply::refused();
        }
        match question.host {
            Host::Registry if question.path == TOKEN_PATH => return self.issue(question, after_ms),
            Host::Registry if !self.is_admitted(question) => {
                return Reply { after_ms, outcome: unauthorized(question.url) };
            }
            Host::Registry => {
                let is_layer = matches!(target, Some(Target::Layer(..)));
                if self.plan.settings.redirects && is_layer && question.method == "GET" {
                    return Reply { after_ms, outcome: moved(question.url, question.path) };
                }
            }
            Host::Storage => {
                self.leaks
                    .extend(question.login.map(|_| format!("{} at {} ms", question.path, question.at_ms)));
            }
        }
        self.serve(question, target, after_ms)
    }

    /// Returns how long a head takes: by the request's own identity, so that what others ask changes nothing
    /// of it.
    fn latency(&self, question: &Question<'_>, target: Option<Target>) -> u64 {
        let Question { url, path, .. } = question;
        let count = target.and_then(|target| self.asked.get(&(*url, self.key(target)))).copied().unwrap_or(0);
        Rng::labelled(self.plan.seed, &format!("latency {url} {path} {count}")).below(HEAD_MS_MAX)
    }

    /// Says whether a request needs no token, or has one that is good.
    fn is_admitted(&self, question: &Question<'_>) -> bool {
        let repository = question.path.split('/').nth(2).unwrap_or_default();
        let scope = format!("{} {repository} ", question.url);
        let issued = question.login.and_then(|login| login.strip_prefix("Bearer ")?.strip_prefix(&scope));
        let issued = issued.and_then(|issued| issued.parse::<u64>().ok());
        let lives = self.plan.settings.token_ms;
        lives == 0 || issued.is_some_and(|issued| question.at_ms < issued + lives)
    }

    /// Gives a token for a repository.
    fn issue(&mut self, question: &Question<'_>, after_ms: u64) -> Reply {
        let (url, at_ms) = (question.url, question.at_ms);
        let scope = question.query.split('&').find_map(|it| it.strip_prefix("scope=repository%3A"));
        let scope = scope.and_then(|it| it.strip_suffix("%3Apull")).unwrap_or_default().to_owned();
        let outcome = token(&format!("{url} {scope} {at_ms}"));
        self.tokens.push(TokenEntry { at_ms, url, scope });
        Reply { after_ms, outcome }
    }

    fn serve(&mut self, question: &Question<'_>, target: Option<Target>, after_ms: u64) -> Reply {
        let Question { url, method, range, at_ms, .. } = *question;
        let faults = target.map(|target| self.faults(url, target)).unwrap_or_default();
        let entry = Entry { at_ms, url, method: method.to_owned(), target, range, faults: faults.clone() };
        self.journal.push(entry);
        let Some(target) = target else { return Reply { after_ms: 0, outcome: status(404, None) } };
        let response = Response {
            bytes: self.content(target, at_ms).to_vec(),
            range,
            is_head: method == "HEAD",
            media_type: media_type(target),
            digest: self.digest(target, at_ms).to_owned(),
            at_ms,
            pause_ms: self.plan.settings.pause_ms,
        };
        response.spoiled(&faults, after_ms)
    }

    /// Counts a request, and returns what goes wrong with it.
    fn faults(&mut self, url: usize, target: Target) -> Vec<Kind> {
        // The same bytes under several names are one blob to who asks for them.
        let key = self.key(target);
        let count = self.asked.entry((url, key)).or_default();
        *count += 1;
        let count = *count;
        if self.healed {
            return Vec::new();
        }
        let hits = |fault: &&Fault| {
            fault.url == url
                && self.key(fault.target) == key
                && (fault.nth..fault.nth.saturating_add(fault.times)).contains(&count)
        };
        let all: Vec<Kind> = self.plan.faults.iter().filter(hits).map(|fault| fault.kind).collect();
        match all.iter().find(|kind| kind.is_all()) {
            Some(only) => vec![*only],
            None => all,
        }
    }

    /// Returns the first target of the same repository with the same path.
    #[must_use]
    pub fn key(&self, target: Target) -> Target {
        self.paths.get(self.path_of(target)).copied().unwrap_or(target)
    }
}

fn path(repository: usize, noun: &str, reference: &str) -> String {
    format!("/v2/r{repository}/{noun}/{reference}")
}

#[cfg(test)]
mod tests {
    //! Goal: a world without faults is a registry, and each fault does what it says. Method: one image.

    use super::super::reply::{End, Outcome};
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
        let get = Question::plain("GET", &path, 0);
        assert_eq!(body(&world.answer(&get)), (200, bytes.clone(), End::Clean));
        for (range, status, expect) in [
            ((30_000, None), 206, &bytes[30_000..]),
            ((30_000, Some(30_009)), 206, &bytes[30_000..30_010]),
            ((39_999, Some(90_000)), 206, &bytes[39_999..]),
            ((40_000, None), 416, b"{}"),
        ] {
            let ranged = body(&world.answer(&Question { range: Some(range), ..get }));
            assert_eq!(ranged, (status, expect.to_vec(), End::Clean), "{range:?}");
        }
        assert_eq!(body(&world.answer(&Question::plain("HEAD", &path, 0))), (200, Vec::new(), End::Clean));
        assert_eq!(body(&world.answer(&Question::plain("GET", "/v2/r0/blobs/none", 0))).0, 404);
    }

    #[test]
    fn faults_happen_once_and_end_when_the_world_heals() {
        let mut world = World::new(&plan(Some(Kind::CutAt(500))));
        let path = world.path_of(Target::Layer(0, 0)).to_owned();
        let (status, bytes, end) = body(&world.answer(&Question::plain("GET", &path, 0)));
        assert_eq!((status, bytes.len(), end), (200, 20_000, End::Cut));
        assert_eq!(body(&world.answer(&Question::plain("GET", &path, 0))).2, End::Clean);
        let mut world = World::new(&plan(Some(Kind::Refuse)));
        world.heal();
        assert_eq!(body(&world.answer(&Question::plain("GET", &path, 0))).0, 200);
        world.go_down();
        assert_eq!(world.answer(&Question::plain("GET", &path, 0)).outcome, Outcome::Refused);
    }

    #[test]
    fn one_answer_suffers_all_that_is_planned_for_it() {
        let mut plan = plan(Some(Kind::Length(-1000)));
        plan.faults.push(Fault { kind: Kind::CutAt(500), ..plan.faults[0].clone() });
        let mut world = World::new(&plan);
        let path = world.path_of(Target::Layer(0, 0)).to_owned();
        let reply = world.answer(&Question::plain("GET", &path, 0));
        assert_eq!((body(&reply).1.len(), body(&reply).2), (20_000, End::Cut));
        let Outcome::Response { headers, .. } = reply.outcome else { panic!("it is answered") };
        assert!(headers.contains(&("content-length".to_owned(), "39000".to_owned())), "{headers:?}");
        plan.faults.push(Fault { kind: Kind::Refuse, ..plan.faults[0].clone() });
        let mut world = World::new(&plan);
        world.answer(&Question::plain("GET", &path, 0));
        assert_eq!(world.journal()[0].faults, [Kind::Refuse], "nothing else can happen to it");
    }

    #[test]
    fn tokens_are_for_one_repository_and_a_time() {
        let mut plan = plan(None);
        (plan.settings.token_ms, plan.settings.redirects) = (1000, true);
        let mut world = World::new(&plan);
        let path = world.path_of(Target::Layer(0, 0)).to_owned();
        let get = Question::plain("GET", &path, 0);
        assert_eq!(body(&world.answer(&get)).0, 401);
        let query = "service=u0&scope=repository%3Ar0%3Apull";
        let token = body(&world.answer(&Question { query, ..Question::plain("GET", "/token", 5) })).1;
        assert!(String::from_utf8(token).unwrap().contains("\"0 r0 5\""));
        let mine = Question { login: Some("Bearer 0 r0 5"), ..get };
        assert_eq!(body(&world.answer(&mine)).0, 307);
        assert_eq!(body(&world.answer(&Question { at_ms: 1005, ..mine })).0, 401, "it is over");
        assert_eq!(body(&world.answer(&Question { login: Some("Bearer 0 r1 5"), ..get })).0, 401);
        assert_eq!(body(&world.answer(&Question { host: Host::Storage, ..get })).0, 200);
        assert!(world.leaks().is_empty() && world.tokens().len() == 1);
        world.answer(&Question { host: Host::Storage, ..mine });
        assert_eq!(world.leaks().len(), 1);
    }
}
