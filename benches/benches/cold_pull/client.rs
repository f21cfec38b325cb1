//! A client that pulls an image as docker does, and hashes every byte of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reqwest::{Response, retry};
use sim::digest::{Algorithm, Digest};
use sim::origin::{SeededBlob, SeededImage};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::upstream::{TAG, Upstream};

/// A client with connections of its own.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
}

/// How long a pull took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pull {
    pub(super) total: Duration,
    /// From the request for the largest layer, the first that is asked for, to its first byte.
    pub(super) first_byte: Duration,
}

impl Client {
    /// Makes one for a registry, and pulls another image, so that connections are open.
    pub(super) async fn warm(base: &str, upstream: &Upstream) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().retry(retry::never()).build()?;
        let client = Self { http, base: base.to_owned() };
        client.pull(&upstream.other, 1).await.context("warming up")?;
        Ok(client)
    }

    /// Pulls an image: the manifest by its tag, then the blobs, so many of them at once.
    pub(super) async fn pull(&self, image: &SeededImage, breadth: usize) -> Result<Pull> {
        let begun = Instant::now();
        let manifest = self.open(&format!("/v2/{}/manifests/{TAG}", image.repository)).await?;
        check(manifest, &image.manifest, begun).await?;
        let places = Arc::new(Semaphore::new(breadth));
        let mut fetches = JoinSet::new();
        for blob in image.layers.iter().chain([&image.config]).cloned() {
            let place = Arc::clone(&places).acquire_owned().await?;
            let (client, path) = (self.clone(), format!("/v2/{}/blobs/{}", image.repository, blob.digest));
            fetches.spawn(async move {
                let asked = Instant::now();
                let first_byte = check(client.open(&path).await?, &blob, asked).await?;
                drop(place);
                anyhow::Ok((blob.digest, first_byte))
            });
        }
        let mut first_byte = None;
        while let Some(fetched) = fetches.join_next().await {
            let (digest, took) = fetched.context("a fetch panicked")??;
            if digest == image.layers[0].digest {
                first_byte = Some(took);
            }
        }
        let first_byte = first_byte.context("the image has no layer")?;
        Ok(Pull { total: begun.elapsed(), first_byte })
    }

    async fn open(&self, path: &str) -> Result<Response> {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await?;
        ensure!(answer.status() == 200, "{path}: {}", answer.status());
        Ok(answer)
    }
}

/// Reads a body, which must be what its name says, and returns when the first byte came.
async fn check(mut answer: Response, blob: &SeededBlob, asked: Instant) -> Result<Duration> {
    let (mut hasher, mut size, mut first_byte) = (Algorithm::Sha256.hasher(), 0, None);
    while let Some(bytes) = answer.chunk().await? {
        first_byte.get_or_insert_with(|| asked.elapsed());
        hasher.update(&bytes);
        size += bytes.len() as u64;
    }
    let digest: Digest = hasher.finish();
    ensure!(digest == blob.digest, "{} came as {size} bytes of {digest}", blob.digest);
    first_byte.with_context(|| format!("{} came without a byte", blob.digest))
}
