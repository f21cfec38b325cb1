//! The audit: reads everything that was ever there, and holds it against what was promised.

use std::collections::BTreeMap;

use super::client::Pusher;
use super::model::{Model, Upload, references};
use crate::support::{Answer, Connection, Server, digest_of};

/// What may have become of the request that was not answered with success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leniency {
    /// It may have had its effect or not: nobody was told.
    Killed,
    /// The same, and the power has gone: an upload stands where it was durable, or is gone.
    PowerCut,
    /// It was refused, so its blob or tag must not be there; its upload may be gone.
    Refused,
    /// As before, but its effect may be there: it was refused after the last step, which can only
    /// tell that the effect may not outlive the power.
    RefusedLate,
}

/// Reads everything that the client's repository may hold.
///
/// Panics when a promise was broken; else what was seen becomes what the client believes.
pub(crate) fn audit(server: &Server, pusher: &mut Pusher, leniency: Leniency) {
    let mut wire = server.connect();
    let mut audit = Audit { pusher, wire: &mut wire, leniency };
    let observed = Model {
        blobs: audit.blobs(),
        manifests: audit.manifests(),
        tags: audit.tags(),
        uploads: audit.uploads(),
    };
    audit.whole(&observed);
    audit.list(&observed);
    pusher.before = observed.clone();
    pusher.after = observed;
}

struct Audit<'a> {
    pusher: &'a Pusher,
    wire: &'a mut Connection,
    leniency: Leniency,
}

impl Audit<'_> {
    fn get(&mut self, path: &str) -> Answer {
        self.wire.get(path).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// Reads what is there; whatever is readable has the digest that it is asked for by (P1).
    fn read(&mut self, kind: &str, digest: &str) -> Option<Vec<u8>> {
        let path = self.pusher.path(&format!("{kind}/{digest}"));
        let answer = self.get(&path);
        if answer.status == 404 {
            return None;
        }
        assert_eq!(answer.status, 200, "GET {path}: {answer:?}");
        assert_eq!(digest_of(&answer.body), digest, "GET {path}");
        assert_eq!(answer.header("content-length"), answer.body.len().to_string(), "GET {path}");
        assert_eq!(answer.header("docker-content-digest"), digest, "GET {path}");
        Some(answer.body)
    }

    /// Holds one thing against what was promised of it.
    fn hold<T: PartialEq + std::fmt::Debug>(
        &self,
        key: &str,
        observed: Option<&T>,
        of: impl Fn(&Model) -> Option<&T>,
    ) {
        let (before, after) = (of(&self.pusher.before), of(&self.pusher.after));
        let may_be_done = self.leniency != Leniency::Refused;
        assert!(
            observed == before || (may_be_done && observed == after),
            "{} of {}: {observed:?}, where {before:?} was promised, and {after:?} asked for ({:?})",
            key,
            self.pusher.repository,
            self.leniency
        );
    }

    fn blobs(&mut self) -> BTreeMap<String, usize> {
        let mut observed = BTreeMap::new();
        for (digest, content) in &self.pusher.seen.blobs {
            let bytes = self.read("blobs", digest);
            if let Some(bytes) = &bytes {
                assert!(*bytes == self.pusher.pool.contents[*content].1, "{digest} has other bytes");
                observed.insert(digest.clone(), *content);
            }
            self.hold(digest, bytes.map(|_| content), |model| model.blobs.get(digest));
        }
        observed
    }

    fn manifests(&mut self) -> BTreeMap<String, Vec<u8>> {
        let mut observed = BTreeMap::new();
        for digest in self.pusher.seen.manifests.keys() {
            let bytes = self.read("manifests", digest);
            let promised = [&self.pusher.before, &self.pusher.after].map(|model| model.manifests.get(digest));
            // A manifest is there before its tags are; so a refused push may leave it, untagged.
            assert!(promised.contains(&bytes.as_ref()), "{digest} is {bytes:?}, not one of {promised:?}");
            if let Some(bytes) = bytes {
                observed.insert(digest.clone(), bytes);
            }
        }
        observed
    }

    fn tags(&mut self) -> BTreeMap<String, String> {
        let mut observed = BTreeMap::new();
        let (before, after) = (&self.pusher.before.tags, &self.pusher.after.tags);
        let moving = self.pusher.seen.tags.iter().filter(|tag| before.get(*tag) != after.get(*tag));
        // Of several tags of one push some may have moved before it failed.
        let several = moving.count() > 1;
        for tag in &self.pusher.seen.tags {
            let path = self.pusher.path(&format!("manifests/{tag}"));
            let answer = self.get(&path);
            let digest = match answer.status {
                404 => None,
                200 => Some(digest_of(&answer.body)),
                status => panic!("GET {path}: {status}: {answer:?}"),
            };
            if !(several && digest.as_ref() == after.get(tag)) {
                self.hold(tag, digest.as_ref(), |model| model.tags.get(tag));
            }
            if let Some(digest) = digest {
                assert_eq!(answer.header("docker-content-digest"), digest, "GET {path}");
                observed.insert(tag.clone(), digest);
            }
        }
        observed
    }

    fn uploads(&mut self) -> BTreeMap<String, Upload> {
        let (before, after) = (&self.pusher.before.uploads, &self.pusher.after.uploads);
        let mut observed = BTreeMap::new();
        for (path, upload) in before {
            let answer = self.get(path);
            let settled = after.get(path) == Some(upload);
            let end = after.get(path).map_or(upload.offset, |upload| upload.offset);
            match answer.status {
                204 => {
                    let offset = answer.offset();
                    let told = format!("GET {path}: it stands at {offset}: {answer:?}");
                    let least = if self.leniency == Leniency::PowerCut { 0 } else { upload.offset };
                    assert!((least..=end).contains(&offset), "{told}, not {least}..={end}");
                    observed.insert(path.clone(), Upload { content: upload.content, offset });
                }
                404 => {
                    let cancelled = !after.contains_key(path);
                    let excused = cancelled || self.leniency != Leniency::Killed;
                    let excused = self.leniency == Leniency::PowerCut || (!settled && excused);
                    assert!(excused, "GET {path}: it is gone, and stood at {}", upload.offset);
                }
                status => panic!("GET {path}: {status}: {answer:?}"),
            }
        }
        observed
    }

    /// What a tag points at is there, and what a manifest needs is there (P3).
    fn whole(&self, observed: &Model) {
        for (tag, digest) in &observed.tags {
            assert!(observed.manifests.contains_key(digest), "{tag} points at {digest}, which is not there");
        }
        for (digest, manifest) in &observed.manifests {
            for blob in references(manifest) {
                assert!(observed.blobs.contains_key(&blob), "{digest} needs {blob}, which is not there");
            }
        }
    }

    fn list(&mut self, observed: &Model) {
        let answer = self.get(&self.pusher.path("tags/list"));
        if answer.status == 404 {
            assert!(observed.tags.is_empty(), "{observed:?}");
            return;
        }
        let json: serde_json::Value = serde_json::from_slice(&answer.body).expect("a list is JSON");
        let listed: Vec<&str> =
            json["tags"].as_array().expect("a list has tags").iter().filter_map(|tag| tag.as_str()).collect();
        assert_eq!(listed, observed.tags.keys().map(String::as_str).collect::<Vec<_>>());
    }
}
