//! What a scrub should find, said by the files alone: the layout's document as a program, one file at a time,
//! with nothing of the store's own code but the reader of manifests.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use wharfinger::oci::descriptor::Annotations;
use wharfinger::oci::{Algorithm, Descriptor, Digest, Hasher, Manifest, MediaType, RepositoryName, Tag};

use super::stand::Files;

/// Returns `kind key` of everything that is wrong, sorted.
pub(crate) fn expect(files: &Files) -> Vec<String> {
    let mut found = BTreeSet::new();
    for path in files.keys() {
        let parts: Vec<&str> = path.split('/').collect();
        look(files, path, &parts, &mut found);
    }
    let missing: Vec<String> = repositories(files).filter(|it| !is_marked(files, it)).collect();
    found.extend(missing.iter().map(|it| format!("name-missing {}", mark(it))));
    found.into_iter().collect()
}

fn look(files: &Files, path: &str, parts: &[&str], found: &mut BTreeSet<String>) {
    let mut tell = |kind: &str, key: &str| {
        found.insert(format!("{kind} {key}"));
    };
    match parts {
        ["wharfinger.json" | "wharfinger.lock"] => {}
        ["blobs", algorithm, shard, hex] => match parse(algorithm, hex) {
            Some(digest) if hex.starts_with(shard) => {
                if Hasher::digest(digest.algorithm(), &files[path]) != digest {
                    tell("corrupt-content", path);
                }
            }
            _ => tell("foreign", path),
        },
        ["fills" | "parked", name] if name.len() > 30 => {}
        ["uploads", _, "data" | "state"] | ["system", "scrub"] => {}
        ["quarantine", _, hex, _, "content" | "record"] if hex.len() > 60 => {}
        ["names", name] | ["upstreams", _, "names", name] => {
            let prefix = path.strip_suffix(&format!("names/{name}")).unwrap();
            let name = name.replace(':', "/");
            let repository = format!("{prefix}repositories/{name}");
            if RepositoryName::parse(&name).is_err() {
                tell("foreign", path);
            } else if !repositories(files).any(|it| it == repository) {
                tell("name-stale", path);
            }
        }
        ["upstreams", _, "held", algorithm, hex] => match parse(algorithm, hex) {
            Some(_) => {}
            None => tell("foreign", path),
        },
        ["repositories", rest @ ..] | ["upstreams", _, "repositories", rest @ ..] => {
            let at = rest.iter().position(|part| part.starts_with('_'));
            let name = at.map(|at| rest[..at].join("/")).unwrap_or_default();
            if let (Some(at), Ok(_)) = (at, RepositoryName::parse(&name)) {
                let below = rest[at..].join("/").len();
                let repository = &path[..path.len() - below - 1];
                of_repository(files, repository, path, &rest[at..], &mut tell);
            } else {
                tell("foreign", path);
            }
        }
        _ => tell("foreign", path),
    }
}

fn of_repository(
    files: &Files,
    repository: &str,
    path: &str,
    parts: &[&str],
    tell: &mut impl FnMut(&str, &str),
) {
    let digest = |algorithm, hex| parse(algorithm, hex);
    match parts {
        ["_blobs", algorithm, hex] if digest(algorithm, hex).is_some() => {
            let size = json::<MemberRecord>(files, path).map(|it| it.size);
            let here = content(files, &digest(algorithm, hex).unwrap());
            match size {
                None => tell("record", path),
                Some(size) if here.is_some_and(|it| it.len() as u64 == size) => {}
                Some(_) => tell("blob-content", path),
            }
        }
        ["_manifests", algorithm, hex] if digest(algorithm, hex).is_some() => {
            of_manifest(files, repository, path, &digest(algorithm, hex).unwrap(), tell);
        }
        ["_referrers", algorithm, hex, referrer] if digest(algorithm, hex).is_some() => {
            let (subject, referrer) = (digest(algorithm, hex).unwrap(), Digest::parse(referrer));
            let Ok(referrer) = referrer else { return tell("foreign", path) };
            let record = manifest_path(repository, &referrer);
            let about = record_of(files, &record).map(|it| it.subject == Some(subject));
            let is_unreadable = files.contains_key(&record) && about.is_none();
            if !is_unreadable && about != Some(true) {
                tell("referrer-stale", path);
            }
        }
        ["_tags", name] if Tag::parse(name).is_ok() => match tag_of(files, path) {
            None => tell("record", path),
            Some(at) if !files.contains_key(&manifest_path(repository, &at)) => tell("tag-dangling", path),
            Some(at) => {
                let hint = format!("{repository}/_tagged/{}/{}/{name}", at.algorithm(), at.hex());
                if !files.contains_key(&hint) {
                    tell("hint-missing", path);
                }
            }
        },
        ["_tagged", algorithm, hex, name] if digest(algorithm, hex).is_some() && Tag::parse(name).is_ok() => {
            let at = digest(algorithm, hex).unwrap();
            let record = format!("{repository}/_tags/{name}");
            let is_unreadable = files.contains_key(&record) && tag_of(files, &record).is_none();
            let is_meant = is_unreadable || tag_of(files, &record) == Some(at);
            if !files.contains_key(&manifest_path(repository, &at)) && !is_meant {
                tell("hint-stale", path);
            }
        }
        ["_gone" | "_checked", name] if Tag::parse(name).is_ok() => {}
        ["_pulled" | "_mirrored", algorithm, hex] if digest(algorithm, hex).is_some() => {}
        // The first thing that the layout does not know is told, not what is below it.
        _ => tell("foreign", path),
    }
}

fn of_manifest(
    files: &Files,
    repository: &str,
    path: &str,
    digest: &Digest,
    tell: &mut impl FnMut(&str, &str),
) {
    let Some(record) = record_of(files, path) else { return tell("record", path) };
    let bytes = content(files, digest).filter(|it| it.len() as u64 == record.size);
    let Some(bytes) = bytes else { return tell("manifest-content", path) };
    let Ok(manifest) = Manifest::parse(bytes, Some(&record.media_type)) else {
        return tell("manifest-syntax", path);
    };
    let references: Vec<Digest> = manifest.references.iter().map(|it| it.digest).collect();
    let subject = manifest.subject.as_ref().map(|it| it.digest);
    let is_right = record.references == references
        && record.subject == subject
        && record.artifact_type == manifest.artifact_type
        && record.annotations == manifest.annotations;
    if !is_right {
        tell("record", path);
    }
    for needed in manifest.references.iter().filter(|_| repository.starts_with("repositories/")) {
        let part = if needed.media_type.manifest_kind().is_some() { "_manifests" } else { "_blobs" };
        let key = format!("{repository}/{part}/{}/{}", needed.digest.algorithm(), needed.digest.hex());
        if !files.contains_key(&key) {
            tell("reference-missing", path);
        }
    }
    if let Some(subject) = subject {
        let entry = format!("{repository}/_referrers/{}/{}/{digest}", subject.algorithm(), subject.hex());
        let right = Descriptor {
            media_type: manifest.media_type,
            digest: *digest,
            size: record.size,
            urls: Vec::new(),
            artifact_type: manifest.artifact_type,
            platform: None,
            annotations: manifest.annotations,
        };
        match json::<Descriptor>(files, &entry) {
            Some(written) if written == right => {}
            _ if files.contains_key(&entry) => tell("record", &entry),
            _ => tell("referrer-missing", &entry),
        }
    }
}

fn parse(algorithm: &str, hex: &str) -> Option<Digest> {
    Algorithm::parse(algorithm).and_then(|algorithm| Digest::from_hex(algorithm, hex).ok())
}

fn json<T: DeserializeOwned>(files: &Files, path: &str) -> Option<T> {
    serde_json::from_slice(files.get(path)?).ok()
}

/// What stands at a member.
#[derive(Deserialize)]
struct MemberRecord {
    size: u64,
}

/// What stands at a tag.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TagRecord {
    digest: Digest,
    #[serde(rename = "pushedAt")]
    _pushed_at: u64,
}

/// What stands at a manifest.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManifestRecord {
    media_type: MediaType,
    size: u64,
    subject: Option<Digest>,
    artifact_type: Option<String>,
    annotations: Option<Annotations>,
    #[serde(default)]
    references: Vec<Digest>,
    #[serde(rename = "pushedAt")]
    _pushed_at: u64,
}

/// Returns a manifest's record, if it is one.
fn record_of(files: &Files, path: &str) -> Option<ManifestRecord> {
    json(files, path)
}

/// Returns where a tag points.
fn tag_of(files: &Files, path: &str) -> Option<Digest> {
    json::<TagRecord>(files, path).map(|record| record.digest)
}

/// Returns content that is right.
fn content<'a>(files: &'a Files, digest: &Digest) -> Option<&'a Vec<u8>> {
    let path = format!("blobs/{}/{}/{}", digest.algorithm(), &digest.hex()[..2], digest.hex());
    files.get(&path).filter(|bytes| Hasher::digest(digest.algorithm(), bytes) == *digest)
}

fn manifest_path(repository: &str, digest: &Digest) -> String {
    format!("{repository}/_manifests/{}/{}", digest.algorithm(), digest.hex())
}

/// Returns the repositories that hold a manifest.
fn repositories(files: &Files) -> impl Iterator<Item = String> + '_ {
    let is_name = |it: &str| it.starts_with("repositories/") || it.starts_with("upstreams/");
    let of = |path: &String| Some(path.split_once("/_manifests/")?.0.to_owned());
    let found: BTreeSet<String> = files.keys().filter_map(of).filter(|it| is_name(it)).collect();
    found.into_iter()
}

fn mark(repository: &str) -> String {
    let (space, name) = repository.split_once("repositories/").unwrap();
    format!("{space}names/{}", name.replace('/', ":"))
}

fn is_marked(files: &Files, repository: &str) -> bool {
    files.contains_key(&mark(repository))
}
