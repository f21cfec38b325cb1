//! What the tests share: a registry in this process, and content for it.

#![cfg(test)]

pub(crate) mod log;

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use wharfinger::auth::keep::InMemory;
use wharfinger::auth::{self, Access};
use wharfinger::backend::disk::Disk;
use wharfinger::backend::fs::{Durability, FsBackend};
use wharfinger::backend::memory::MemoryDisk;
use wharfinger::backend::object::ObjectBackend;
use wharfinger::backend::object::bucket::Bucket;
use wharfinger::clock::Clock;
use wharfinger::http::App;
use wharfinger::http::options::Options;
use wharfinger::oci::{Algorithm, Hasher};
use wharfinger::repository::{Repositories, Stores};
use wharfinger::store::{self, Store};
use wharfinger::upstream::Routes;

/// Everything a registry in this process is made of; the defaults are those of `serve --memory`.
pub(crate) struct Registry {
    pub(crate) disk: Arc<dyn Disk>,
    /// A bucket in the disk's place, which is only the spool then.
    pub(crate) bucket: Option<Arc<dyn Bucket>>,
    /// Disks of stores of their own, by the first component of hosted names.
    pub(crate) disks_by_component: Vec<(String, Arc<dyn Disk>)>,
    /// The same by the upstream's name.
    pub(crate) disks_by_upstream: Vec<(String, Arc<dyn Disk>)>,
    pub(crate) http: Options,
    pub(crate) store: store::options::Options,
    pub(crate) auth: auth::options::Options,
    pub(crate) routes: Routes,
    pub(crate) repositories: wharfinger::repository::options::Options,
    pub(crate) clock: Clock,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            disk: Arc::new(MemoryDisk::new()),
            bucket: None,
            disks_by_component: Vec::new(),
            disks_by_upstream: Vec::new(),
            http: Options::default(),
            store: store::options::Options::default(),
            auth: auth::options::Options::default(),
            routes: Routes::default(),
            repositories: wharfinger::repository::options::Options::default(),
            clock: Clock::system(),
        }
    }
}

impl Registry {
    /// Opens it.
    pub(crate) async fn open(self) -> Client {
        self.open_both().await.0
    }

    /// Opens it, and returns its repositories beside its client, for what no client can ask for.
    pub(crate) async fn open_both(self) -> (Client, Repositories) {
        let main = open_main(self.disk, self.bucket, &self.store, &self.clock).await;
        let (mut by_component, mut by_upstream) = (HashMap::new(), HashMap::new());
        for (component, disk) in self.disks_by_component {
            by_component.insert(component, open_store(disk, &self.store, &self.clock).await);
        }
        for (upstream, disk) in self.disks_by_upstream {
            by_upstream.insert(upstream, open_store(disk, &self.store, &self.clock).await);
        }
        let clock = self.clock.clone();
        let stores = Stores::new(main, by_component, by_upstream);
        let repositories = Repositories::new(stores, self.routes, self.repositories, self.clock);
        let access = Access::open(&self.auth, Arc::new(InMemory::default()), clock).await.unwrap();
        let client = Client(App::new(repositories.clone(), access, self.http));
        (client, repositories)
    }
}

async fn open_main(
    disk: Arc<dyn Disk>,
    bucket: Option<Arc<dyn Bucket>>,
    options: &store::options::Options,
    clock: &Clock,
) -> Store {
    let Some(bucket) = bucket else { return open_store(disk, options, clock).await };
    let spool = FsBackend::open(disk, Durability::Synced).await.unwrap();
    let backend = ObjectBackend::new(bucket, Arc::new(spool), store::layout::ROOTS);
    Store::open(Arc::new(backend), options.clone(), clock.clone()).await.unwrap()
}

async fn open_store(disk: Arc<dyn Disk>, options: &store::options::Options, clock: &Clock) -> Store {
    let backend = FsBackend::open(disk, Durability::Synced).await.unwrap();
    Store::open(Arc::new(backend), options.clone(), clock.clone()).await.unwrap()
}

/// Sends requests to a registry in this process, through its real dispatch.
#[derive(Clone)]
pub(crate) struct Client(pub(crate) App);

/// A response whose body was read; `body` is what came before a cut, and `cut` says that there was one.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) cut: bool,
}

impl Client {
    /// Sends a request.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        Answer::of(self.0.call(request).await).await
    }

    /// Sends a request of a method, a path with query, headers and a body.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    /// Sends a GET.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], Body::empty()).await
    }

    /// Pushes a blob in one request, and returns its digest.
    pub(crate) async fn push_blob(&self, name: &str, bytes: &[u8]) -> String {
        let digest = sha256(bytes);
        let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        let answer = self.call("POST", &path, &[], bytes.to_vec()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        digest
    }

    /// Pushes a manifest under a tag or digest.
    pub(crate) async fn push_manifest(&self, name: &str, reference: &str, manifest: &Value) -> Answer {
        let media_type = manifest["mediaType"].as_str().unwrap().to_owned();
        let path = format!("/v2/{name}/manifests/{reference}");
        self.call("PUT", &path, &[("content-type", &media_type)], manifest.to_string()).await
    }

    /// Pushes an image of one layer under a tag, and returns its manifest and digest.
    pub(crate) async fn push_image(&self, name: &str, tag: &str, layer: &[u8]) -> (Value, String) {
        let config = b"{}";
        let (config_digest, layer_digest) =
            (self.push_blob(name, config).await, self.push_blob(name, layer).await);
        let manifest = image(&[(&config_digest, config.len())], &[(&layer_digest, layer.len())]);
        let answer = self.push_manifest(name, tag, &manifest).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        let digest = sha256(manifest.to_string().as_bytes());
        (manifest, digest)
    }
}

impl Answer {
    /// Reads a response.
    pub(crate) async fn of(response: Response<Body>) -> Self {
        let (parts, mut body) = response.into_parts();
        let (mut bytes, mut cut) = (Vec::new(), false);
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
                Err(_) => {
                    cut = true;
                    break;
                }
            }
        }
        Self { status: parts.status, headers: parts.headers, body: bytes.into(), cut }
    }

    /// Returns a header as text; empty when it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Returns the body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// Returns the code of the first error of the body.
    pub(crate) fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Returns the digest of bytes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Hasher::digest(Algorithm::Sha256, bytes).to_string()
}

/// Makes an image manifest of a config and layers, each a digest and a size.
pub(crate) fn image(config: &[(&str, usize)], layers: &[(&str, usize)]) -> Value {
    let descriptor = |media_type: &str, (digest, size): (&str, usize)| json!({"mediaType": media_type, "digest": digest, "size": size});
    let layers: Vec<Value> =
        layers.iter().map(|layer| descriptor("application/vnd.oci.image.layer.v1.tar", *layer)).collect();
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", config[0]),
        "layers": layers,
    })
}

/// Makes an index of manifests, each a digest and a size.
pub(crate) fn index(manifests: &[(&str, usize)]) -> Value {
    let manifests: Vec<Value> = manifests
        .iter()
        .map(|(digest, size)| {
            json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": size})
        })
        .collect();
    json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests})
}
