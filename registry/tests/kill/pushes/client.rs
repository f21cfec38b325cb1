//! A client: every request it can send, and what an answer to it promises.

use std::io;
use std::sync::Arc;

use super::model::{IMAGE, Model, Pool, Seen, Upload, image};
use crate::support::{Answer, Connection, Random};

/// Why a client stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The connection broke: the server was killed.
    Broken,
    /// The server refused what it should have done.
    Refused {
        /// What was asked.
        request: String,
        /// What it said.
        answer: Box<Answer>,
    },
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

/// A client that owns a repository.
#[derive(Debug)]
pub(crate) struct Pusher {
    pub(crate) repository: String,
    /// The repository that the first contents of the pool can be mounted from.
    pub(crate) shared: String,
    pub(crate) pool: Arc<Pool>,
    pub(crate) random: Random,
    /// What holds unless the request under way has had its effect.
    pub(crate) before: Model,
    /// What holds if it has.
    pub(crate) after: Model,
    pub(crate) seen: Seen,
    /// How many requests were answered that changed something.
    pub(crate) acknowledged: u64,
    numbered: u64,
}

impl Pusher {
    /// Makes a client of an empty repository.
    pub(crate) fn new(repository: &str, shared: &str, pool: Arc<Pool>, random: Random) -> Self {
        Self {
            repository: repository.to_owned(),
            shared: shared.to_owned(),
            pool,
            random,
            before: Model::default(),
            after: Model::default(),
            seen: Seen::default(),
            acknowledged: 0,
            numbered: 0,
        }
    }

    /// Returns a path of the repository.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.repository)
    }

    /// Sends one request that changes something.
    fn step(
        &mut self,
        wire: &mut Connection,
        (method, path, headers, body): (&str, &str, &[(&str, &str)], &[u8]),
        expected: u16,
        change: impl FnOnce(&mut Model),
    ) -> Result<Answer, Stop> {
        self.after = self.before.clone();
        change(&mut self.after);
        self.seen.note(&self.after);
        let answer = wire.call(method, path, headers, body)?;
        if answer.status != expected {
            let request = format!("{method} {path}");
            return Err(Stop::Refused { request, answer: Box::new(answer) });
        }
        self.before = self.after.clone();
        self.acknowledged += 1;
        Ok(answer)
    }

    /// Pushes a blob in one request.
    pub(crate) fn push_whole(&mut self, wire: &mut Connection, content: usize) -> Result<(), Stop> {
        let pool = Arc::clone(&self.pool);
        let (digest, bytes) = &pool.contents[content];
        let path = self.path(&format!("blobs/uploads/?digest={digest}"));
        self.step(wire, ("POST", &path, &[], bytes), 201, |model| {
            model.blobs.insert(digest.clone(), content);
        })?;
        Ok(())
    }

    /// Mounts a blob of the shared repository.
    pub(crate) fn mount(&mut self, wire: &mut Connection, content: usize) -> Result<(), Stop> {
        let pool = Arc::clone(&self.pool);
        let (digest, _) = &pool.contents[content];
        let path = self.path(&format!("blobs/uploads/?mount={digest}&from={}", self.shared));
        self.step(wire, ("POST", &path, &[], &[]), 201, |model| {
            model.blobs.insert(digest.clone(), content);
        })?;
        Ok(())
    }

    /// Opens an upload, and returns its path.
    pub(crate) fn open(&mut self, wire: &mut Connection, content: usize) -> Result<String, Stop> {
        let path = self.path("blobs/uploads/");
        let answer = self.step(wire, ("POST", &path, &[], &[]), 202, |_| {})?;
        let path = answer.header("location").to_owned();
        self.before.uploads.insert(path.clone(), Upload { content, offset: 0 });
        self.after = self.before.clone();
        Ok(path)
    }

    /// Appends up to `len` bytes to an upload.
    pub(crate) fn append(&mut self, wire: &mut Connection, path: &str, len: usize) -> Result<(), Stop> {
        let pool = Arc::clone(&self.pool);
        let Upload { content, offset } = self.before.uploads[path];
        let bytes = &pool.contents[content].1[offset..];
        let bytes = &bytes[..len.min(bytes.len())];
        let range = format!("{offset}-{}", (offset + bytes.len()).saturating_sub(1));
        let headers = [("Content-Range", range.as_str())];
        let headers = if bytes.is_empty() { &[][..] } else { &headers[..] };
        let answer = self.step(wire, ("PATCH", path, headers, bytes), 202, |model| {
            model.uploads.get_mut(path).expect("it is open").offset += bytes.len();
        })?;
        let told = answer.header("range").rsplit('-').next().and_then(|last| last.parse().ok());
        let last = (offset + bytes.len()).saturating_sub(1);
        assert_eq!(told, Some(last), "the answer to a chunk tells its end: {answer:?}");
        Ok(())
    }

    /// Sends what an upload lacks, in the request that closes it.
    pub(crate) fn commit(&mut self, wire: &mut Connection, path: &str) -> Result<(), Stop> {
        let pool = Arc::clone(&self.pool);
        let Upload { content, offset } = self.before.uploads[path];
        let (digest, bytes) = &pool.contents[content];
        let target = format!("{path}?digest={digest}");
        self.step(wire, ("PUT", &target, &[], &bytes[offset..]), 201, |model| {
            model.uploads.remove(path);
            model.blobs.insert(digest.clone(), content);
        })?;
        Ok(())
    }

    /// Gives an upload up.
    pub(crate) fn cancel(&mut self, wire: &mut Connection, path: &str) -> Result<(), Stop> {
        self.step(wire, ("DELETE", path, &[], &[]), 204, |model| {
            model.uploads.remove(path);
        })?;
        Ok(())
    }

    /// Pushes a new image of these contents: by a tag, or by its digest with several tags.
    pub(crate) fn tag_image(
        &mut self,
        wire: &mut Connection,
        tags: &[&str],
        contents: &[usize],
    ) -> Result<String, Stop> {
        let pool = Arc::clone(&self.pool);
        let blobs: Vec<(&str, usize)> = contents
            .iter()
            .map(|content| (pool.contents[*content].0.as_str(), pool.contents[*content].1.len()))
            .collect();
        self.numbered += 1;
        let manifest = image(self.numbered, &blobs);
        let digest = crate::support::digest_of(&manifest);
        let path = match tags {
            [tag] => self.path(&format!("manifests/{tag}")),
            tags => self.path(&format!("manifests/{digest}?tag={}", tags.join("&tag="))),
        };
        let headers = [("Content-Type", IMAGE)];
        self.step(wire, ("PUT", &path, &headers, &manifest), 201, |model| {
            model.manifests.insert(digest.clone(), manifest.clone());
            model.tags.extend(tags.iter().map(|tag| ((*tag).to_owned(), digest.clone())));
        })?;
        Ok(digest)
    }

    /// Deletes a tag.
    pub(crate) fn untag(&mut self, wire: &mut Connection, tag: &str) -> Result<(), Stop> {
        let path = self.path(&format!("manifests/{tag}"));
        self.step(wire, ("DELETE", &path, &[], &[]), 202, |model| {
            model.tags.remove(tag);
        })?;
        Ok(())
    }

    /// Deletes a manifest, and with it its tags.
    pub(crate) fn delete_manifest(&mut self, wire: &mut Connection, digest: &str) -> Result<(), Stop> {
        let path = self.path(&format!("manifests/{digest}"));
        self.step(wire, ("DELETE", &path, &[], &[]), 202, |model| model.remove_manifest(digest))?;
        Ok(())
    }

    /// Deletes a blob, which is refused while a manifest needs it.
    pub(crate) fn delete_blob(&mut self, wire: &mut Connection, digest: &str) -> Result<(), Stop> {
        let path = self.path(&format!("blobs/{digest}"));
        let needed = self.before.needs(digest);
        let expected = if needed { 405 } else { 202 };
        self.step(wire, ("DELETE", &path, &[], &[]), expected, |model| {
            if !needed {
                model.blobs.remove(digest);
            }
        })?;
        Ok(())
    }
}
