//! Where the content of a run's checks comes from: pushes to the target, an origin behind it, or what it holds.

use std::sync::Arc;

use serde_json::Value;
use sim::origin::{Origin, Running, ServeError};
use thiserror::Error;

use crate::check::{Content, Stop, Verdict};
use crate::content::{Blob, Image, Manifest};
use crate::context::{Context, Temperature};
use crate::expect::{json, setup, status, that};
use crate::wire::{Framing, Response, Url, UrlError};

/// The largest blob of a given image that a read-only run pulls.
const GIVEN_BLOB_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Where the content comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Checks push it to the target.
    Pushed,
    /// Checks push it to an origin, and pull it through the target in front.
    Origins(Arc<[Behind]>),
    /// Nothing is pushed; the target holds these.
    Given(Arc<[Given]>),
}

impl Source {
    /// Returns why a check of this kind cannot run; none when it can.
    pub fn lacks(&self, content: Content) -> Option<&'static str> {
        match (self, content) {
            (Self::Pushed, Content::Origin) => Some("needs an origin behind the target: --origin ADDR"),
            (Self::Origins(_), Content::Pushed) => {
                Some("needs a registry that takes pushes: this run judges a proxy")
            }
            (Self::Given(_), Content::Pushed | Content::Seeded) => {
                Some("needs content of its own: this run only reads")
            }
            (Self::Given(_), Content::Origin) => {
                Some("needs an origin behind the target: this run only reads")
            }
            _ => None,
        }
    }
}

/// Where an origin is to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginAt {
    /// `HOST:PORT`, the address that the target has as its upstream.
    pub listen: String,
    /// The value of `ns` by which clients name this upstream.
    pub ns: Option<String>,
}

impl OriginAt {
    /// Parses `HOST:PORT` or `HOST:PORT=NS`.
    ///
    /// *Errors*: a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (listen, ns) = text.split_once('=').map_or((text, None), |(listen, ns)| (listen, Some(ns)));
        if !listen.contains(':') || ns == Some("") {
            return Err("expected HOST:PORT or HOST:PORT=NS".to_owned());
        }
        Ok(Self { listen: listen.to_owned(), ns: ns.map(str::to_owned) })
    }
}

/// An origin behind the target.
#[derive(Debug)]
pub struct Behind {
    /// The origin, for faults and for its journal.
    pub origin: Origin,
    /// Its listener, which can be stopped and started.
    pub running: Running,
    /// Its address.
    pub url: Url,
    /// The value of `ns` that means it.
    pub ns: Option<String>,
}

/// Says why an origin could not be put behind the target.
#[derive(Debug, Error)]
pub enum OriginError {
    /// It cannot listen.
    #[error("the origin cannot listen on {listen}")]
    Listen {
        /// The address.
        listen: String,
        /// What the origin said.
        source: ServeError,
    },
    /// Its address cannot be spoken to.
    #[error("the origin's own address is bad")]
    Url(#[from] UrlError),
}

impl Behind {
    /// Starts an origin.
    ///
    /// *Errors*: every variant of [`OriginError`].
    pub async fn start(at: &OriginAt) -> Result<Self, OriginError> {
        let origin = Origin::new();
        let started = origin.serve(at.listen.as_str()).await;
        let listen = |source| OriginError::Listen { listen: at.listen.clone(), source };
        let running = started.map_err(listen)?;
        let url = Url::parse(&running.url())?;
        Ok(Self { origin, running, url, ns: at.ns.clone() })
    }
}

/// An image that the target is said to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The repository.
    pub repo: String,
    /// A tag or a digest.
    pub reference: String,
}

impl Given {
    /// Parses `NAME:TAG` or `NAME@DIGEST`.
    ///
    /// *Errors*: a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split_once('@').or_else(|| text.rsplit_once(':'));
        let parts = parts.filter(|(repo, reference)| !repo.is_empty() && !reference.is_empty());
        let (repo, reference) = parts.ok_or_else(|| "expected NAME:TAG or NAME@DIGEST".to_owned())?;
        Ok(Self { repo: repo.to_owned(), reference: reference.to_owned() })
    }
}

/// An image that the target serves, with its bytes.
#[derive(Clone, Debug)]
pub struct Held {
    /// The repository.
    pub repo: String,
    /// The tag, or the digest where no tag is known.
    pub reference: String,
    /// Its blobs and its manifest.
    pub image: Image,
}

impl Context {
    /// Returns an image that can be pulled: a fresh one, or the first that a read-only run was given.
    ///
    /// *Errors*: [`Stop::Error`] when it cannot be put there; [`Stop::Fail`] when the target serves a given
    /// one with other bytes than its digests say.
    pub async fn held(&self) -> Result<Held, Stop> {
        match &self.shared().source {
            Source::Given(all) => match all.first() {
                Some(given) => self.load(given).await,
                None => Err(Stop::Skip("no image was given".to_owned())),
            },
            Source::Pushed | Source::Origins(_) => {
                let repo = self.repo();
                let image = self.tagged(&repo, "held").await?;
                Ok(Held { repo, reference: "held".to_owned(), image })
            }
        }
    }

    /// Returns a blob that can be pulled: a fresh one of this size, or a layer of a given image.
    ///
    /// *Errors*: as [`Context::held`].
    pub async fn held_blob(&self, size: usize) -> Result<(String, Blob), Stop> {
        if let Source::Given(_) = self.shared().source {
            let held = self.held().await?;
            return Ok((held.repo, held.image.layer));
        }
        let (repo, blob) = (self.repo(), self.blob(size));
        self.have_blob(&repo, &blob).await?;
        Ok((repo, blob))
    }

    /// Says whether this run only reads what the target held before.
    pub fn only_reads(&self) -> bool {
        matches!(self.shared().source, Source::Given(_))
    }

    /// Returns the origins behind the target.
    ///
    /// *Errors*: [`Stop::Skip`] when there are none.
    pub fn origins(&self) -> Result<&[Behind], Stop> {
        match &self.shared().source {
            Source::Origins(all) => Ok(all),
            source => Err(Stop::Skip(source.lacks(Content::Origin).unwrap_or_default().to_owned())),
        }
    }

    /// Returns this check as it prepares its content: at the target, or at the origin behind it.
    ///
    /// *Errors*: [`Stop::Skip`] in a run that only reads.
    pub(crate) fn place(&self) -> Result<Self, Stop> {
        match &self.shared().source {
            Source::Pushed => Ok(self.clone()),
            Source::Origins(all) => {
                let first = all.first().ok_or_else(|| Stop::Error("no origin was started".to_owned()))?;
                Ok(self.anonymous().towards(first.url.clone()))
            }
            Source::Given(_) => Err(Stop::Skip("this run only reads".to_owned())),
        }
    }

    /// Pulls a path through the target where the content is to be warm.
    pub(crate) async fn warm(&self, path: &str) -> Verdict {
        if self.temperature() == Temperature::Cold {
            return Ok(());
        }
        let request = self.request("GET", path).header("Accept", Manifest::accept_all());
        setup(status(&self.follow(request).await?, &[200]))
    }

    async fn load(&self, given: &Given) -> Result<Held, Stop> {
        let repo = &given.repo;
        let mut reference = given.reference.clone();
        let mut manifest = self.load_manifest(repo, &reference).await?;
        let mut value: Value = parsed(&manifest)?;
        if let Some(children) = value.get("manifests").and_then(Value::as_array) {
            let child = children.iter().find_map(|child| child.get("digest")?.as_str());
            let child = child.ok_or_else(|| Stop::Skip(format!("{repo}:{reference} is an empty index")))?;
            reference = child.to_owned();
            manifest = self.load_manifest(repo, &reference).await?;
            value = parsed(&manifest)?;
        }
        let config = descriptor(value.get("config"));
        let layers = value.get("layers").and_then(Value::as_array);
        let layer = layers.into_iter().flatten().filter_map(|layer| descriptor(Some(layer)));
        let layer = layer.filter(|(_, size)| *size > 0).min_by_key(|(_, size)| *size);
        let none = || Stop::Skip(format!("{repo}:{reference} is no image with a configuration and a layer"));
        let (config, layer) = (config.ok_or_else(none)?, layer.ok_or_else(none)?);
        let config = self.load_blob(repo, config).await?;
        let layer = self.load_blob(repo, layer).await?;
        Ok(Held { repo: repo.clone(), reference, image: Image { config, layer, manifest } })
    }

    async fn load_manifest(&self, repo: &str, reference: &str) -> Result<Manifest, Stop> {
        let response = self.pull(repo, reference).await?;
        status(&response, &[200])?;
        let media_type = response.header("content-type").unwrap_or_default().to_owned();
        let manifest = Manifest::raw(&media_type, response.body.clone());
        let is_tag = !reference.contains(':');
        that(is_tag || reference == manifest.digest || !reference.starts_with("sha256:"), || {
            format!("{}: the bytes are {}, expected {reference}", response.label, manifest.digest)
        })?;
        Ok(manifest)
    }

    async fn load_blob(&self, repo: &str, (digest, size): (String, u64)) -> Result<Blob, Stop> {
        if size > GIVEN_BLOB_BYTES_MAX {
            return Err(Stop::Skip(format!("{repo}@{digest} is larger than this run pulls ({size} bytes)")));
        }
        let response = self.pull_blob(repo, &digest).await?;
        status(&response, &[200])?;
        let blob = Blob::new(response.body.clone());
        that(blob.digest == digest || !digest.starts_with("sha256:"), || {
            format!("{}: the bytes are {}, expected {digest}", response.label, blob.digest)
        })?;
        Ok(Blob { digest, ..blob })
    }
}

fn descriptor(value: Option<&Value>) -> Option<(String, u64)> {
    let value = value?;
    Some((value.get("digest")?.as_str()?.to_owned(), value.get("size")?.as_u64()?))
}

fn parsed(manifest: &Manifest) -> Result<Value, Stop> {
    json(&Response {
        label: format!("manifest {}", manifest.digest),
        status: 200,
        headers: vec![],
        body: manifest.bytes.clone(),
        framing: Framing::None,
        interim: vec![],
        excess: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read() {
        let given = |repo: &str, reference: &str| {
            Ok(Given { repo: repo.to_owned(), reference: reference.to_owned() })
        };
        assert_eq!(Given::parse("a/b:v1"), given("a/b", "v1"));
        assert_eq!(Given::parse("a/b@sha256:00"), given("a/b", "sha256:00"));
        assert!(Given::parse("a/b").is_err() && Given::parse(":v").is_err());
        let at = OriginAt::parse("127.0.0.1:5001=one.example").unwrap();
        assert_eq!((at.listen.as_str(), at.ns.as_deref()), ("127.0.0.1:5001", Some("one.example")));
        assert_eq!(OriginAt::parse("[::1]:0").unwrap().ns, None);
        assert!(OriginAt::parse("5001").is_err() && OriginAt::parse("h:1=").is_err());
    }

    #[test]
    fn each_kind_of_run_has_its_checks() {
        let given = Source::Given(Arc::new([]));
        let origins = Source::Origins(Arc::new([]));
        for (content, in_pushed, in_origins, in_given) in [
            (Content::Pushed, true, false, false),
            (Content::Seeded, true, true, false),
            (Content::Any, true, true, true),
            (Content::Origin, false, true, false),
        ] {
            let able = [&Source::Pushed, &origins, &given].map(|source| source.lacks(content).is_none());
            assert_eq!(able, [in_pushed, in_origins, in_given], "{content:?}");
        }
    }
}
