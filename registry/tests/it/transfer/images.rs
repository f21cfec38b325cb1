//! Random images, as a store has them, and what is seen of a store.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};
use wharfinger::oci::{Algorithm, Digest, Hasher, Manifest, MediaType, Reference, Tag, media_type};
use wharfinger::store::manifests::{NewManifest, References, Tagging};
use wharfinger::store::{RepositoryKey, Store};

/// A repository's content, children first.
#[derive(Debug, Default)]
pub(crate) struct Images {
    blobs: Vec<(Digest, Bytes)>,
    manifests: Vec<Image>,
}

#[derive(Debug)]
struct Image {
    digest: Digest,
    media_type: MediaType,
    bytes: Bytes,
    tags: Vec<Tag>,
}

/// Numbers that look random and are always the same.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).unwrap() % end
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn algorithm(&mut self) -> Algorithm {
        if self.one_in(4) { Algorithm::Sha512 } else { Algorithm::Sha256 }
    }
}

impl Images {
    /// Makes images, indexes and what is about them: with both algorithms, both families of types, bodies
    /// that say what they are and such that do not, shared and empty layers, tags, several and none.
    pub(crate) fn random(seed: u64) -> Self {
        let (mut numbers, mut images) = (Numbers(seed), Self::default());
        for _ in 0..2 + numbers.below(4) {
            let len = [0, 1, 511, 512, 513, 300_000][numbers.below(6)];
            let first = numbers.next();
            let bytes: Bytes = (0..len).map(|at| (first.wrapping_mul(at + 1) >> 7) as u8).collect();
            images.blobs.push((Hasher::digest(numbers.algorithm(), &bytes), bytes));
        }
        for _ in 0..1 + numbers.below(9) {
            let body = if images.manifests.is_empty() || !numbers.one_in(3) {
                images.image(&mut numbers)
            } else {
                images.index(&mut numbers)
            };
            images.add(body, &mut numbers);
        }
        images
    }

    fn image(&self, numbers: &mut Numbers) -> Value {
        let mut blob = |kind: &str| {
            let (digest, bytes) = &self.blobs[numbers.below(self.blobs.len())];
            json!({"mediaType": kind, "digest": digest.to_string(), "size": bytes.len()})
        };
        let (config, layers) =
            (blob("application/vnd.oci.image.config.v1+json"), [blob("a/layer"), blob("a/layer")]);
        let layers = &layers[..numbers.below(3)];
        json!({"schemaVersion": 2, "config": config, "layers": layers})
    }

    fn index(&self, numbers: &mut Numbers) -> Value {
        let children = (0..1 + numbers.below(3)).map(|_| self.descriptor(numbers));
        json!({"schemaVersion": 2, "manifests": children.collect::<Vec<_>>()})
    }

    fn descriptor(&self, numbers: &mut Numbers) -> Value {
        let image = &self.manifests[numbers.below(self.manifests.len())];
        json!({"mediaType": image.media_type, "digest": image.digest.to_string(), "size": image.bytes.len()})
    }

    fn add(&mut self, mut body: Value, numbers: &mut Numbers) {
        let is_index = body.get("manifests").is_some();
        let kind = match (is_index, numbers.one_in(4)) {
            (false, false) => media_type::OCI_MANIFEST,
            (true, false) => media_type::OCI_INDEX,
            (false, true) => media_type::DOCKER_MANIFEST,
            (true, true) => media_type::DOCKER_LIST,
        };
        if !numbers.one_in(3) {
            body["mediaType"] = kind.into();
        }
        if !self.manifests.is_empty() && numbers.one_in(3) {
            body["subject"] = self.descriptor(numbers);
            body["artifactType"] = "application/vnd.example.signature".into();
        }
        // Otherwise two of them could be the same.
        body["annotations"] = json!({"number": numbers.next().to_string()});
        let (bytes, media_type) = (Bytes::from(body.to_string()), MediaType::parse(kind).unwrap());
        let digest = Hasher::digest(numbers.algorithm(), &bytes);
        let about = self.manifests.first().map(|first| format!("{}.sig", first.digest).replace(':', "-"));
        let all = ["latest".to_owned(), format!("v{}", numbers.below(100))];
        let all = all.into_iter().chain(about.filter(|_| numbers.one_in(5)));
        let tags = all.filter(|_| numbers.one_in(2)).filter_map(|tag| Tag::parse(&tag).ok()).collect();
        self.manifests.push(Image { digest, media_type, bytes, tags });
    }

    /// Gives a repository all of it, as a push does.
    pub(crate) async fn push(&self, store: &Store, repository: &RepositoryKey) {
        for (digest, bytes) in &self.blobs {
            let (_, mut stage) = store.stage_copy().await.unwrap();
            stage.append(vec![bytes.clone()]).await.unwrap();
            store.commit_blob(stage, repository, digest).await.unwrap();
        }
        for image in &self.manifests {
            let manifest = Manifest::parse(&image.bytes, Some(&image.media_type)).unwrap();
            let (bytes, digest, tags) = (image.bytes.clone(), image.digest, image.tags.clone());
            let (tagging, references) = (Tagging::Move, References::Required);
            let new = NewManifest { manifest, bytes, digest, tags, tagging, references };
            store.put_manifest(repository, new).await.unwrap();
        }
    }
}

/// Returns what a client sees of a repository: tags, manifests, their blobs and referrers.
pub(crate) async fn observe(store: &Store, repository: &RepositoryKey) -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    for name in store.tags(repository).await.unwrap().iter() {
        let entry = store.tag(repository, &Tag::parse(name).unwrap()).await.unwrap().unwrap();
        seen.insert(format!("tag {name}"), entry.digest.to_string());
    }
    for digest in store.manifest_digests(repository).await.unwrap() {
        let stored = store.manifest(repository, &Reference::Digest(digest)).await.unwrap().unwrap();
        assert_eq!(Hasher::digest(digest.algorithm(), &stored.bytes), digest);
        seen.insert(format!("manifest {digest}"), stored.media_type.to_string());
        let manifest = Manifest::parse(&stored.bytes, Some(&stored.media_type)).unwrap();
        for blob in manifest.references.iter().filter(|it| it.media_type.manifest_kind().is_none()) {
            let content = store.open_blob(repository, &blob.digest).await.unwrap().unwrap();
            let bytes = content.source().read_at(0, usize::try_from(content.size()).unwrap()).await.unwrap();
            assert_eq!(Hasher::digest(blob.digest.algorithm(), &bytes), blob.digest);
            seen.insert(format!("blob {}", blob.digest), bytes.len().to_string());
        }
        let about = store.referrers(repository, &digest, Default::default()).await.unwrap().descriptors;
        let about: Vec<String> = about.iter().map(|it| serde_json::to_string(it).unwrap()).collect();
        seen.insert(format!("referrers of {digest}"), about.join(" "));
    }
    seen
}
