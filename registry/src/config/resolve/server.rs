//! The sections `http`, `storage`, `log`, `extensions.metrics` and `extensions.scrub`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Resolved, bucket};
use crate::config::checked::{Checked, FromChecked, View};
use crate::config::error::Fault;
use crate::config::options::{LogFormat, LogOptions, MetricsOptions};
use crate::extensions::options::ScrubOptions;
use crate::http::options::Verb;
use crate::store::options::{BucketPlace, Place, Writers};
use crate::{http, store};

/// Sets what `http` says of the wire.
pub(super) fn http(section: View<'_>, options: &mut http::options::Options) {
    section.read("address", &mut options.address);
    section.read("port", &mut options.port);
    options.external_url = section.at("externalUrl").get();
    section.read("readTimeout", &mut options.read_idle_timeout);
    section.read("writeTimeout", &mut options.write_idle_timeout);
    let limits = section.at("limits");
    limits.read("maxManifestBytes", &mut options.manifest_bytes_max);
    limits.read("maxBlobBytes", &mut options.blob_bytes_max);
    limits.read("maxHeaderBytes", &mut options.header_bytes_max);
    limits.read("maxConnections", &mut options.connections_max);
    limits.read("maxTagsPerPush", &mut options.tags_per_push_max);
    limits.read("maxRanges", &mut options.ranges_max);
    limits.read("maxPageItems", &mut options.page_items_max);
    limits.read("maxReferrersPageBytes", &mut options.referrers_page_bytes_max);
    limits.read("headerTimeout", &mut options.header_timeout);
    limits.read("drainTimeout", &mut options.drain_timeout);
}

/// Sets what `http.ratelimit` says.
pub(super) fn rates(section: View<'_>, resolved: &mut Resolved) {
    let rates = &mut resolved.config.http.rates;
    rates.all = section.at("rate").get();
    let mut first: BTreeMap<Verb, usize> = BTreeMap::new();
    for (index, item) in section.at("methods").items().enumerate() {
        let Some(verb) = item.at("method").get() else { continue };
        if let Some(first) = first.get(&verb) {
            let path = format!("http.ratelimit.methods[{index}].method");
            let message = format!("is the method of http.ratelimit.methods[{first}] too; give it one rate");
            resolved.faults.push(Fault::new(path, message));
            continue;
        }
        first.insert(verb, index);
        if let Some(rate) = item.at("rate").get() {
            rates.methods.insert(verb, rate);
        }
    }
    let names_none = !section.at("rate").is_written() && section.at("methods").items().next().is_none();
    if section.is_written() && names_none {
        resolved.warnings.push(Fault::new("http.ratelimit", "names no rate, so it limits nothing"));
    }
}

/// Sets what the file says of the store: `storage`, and `http.missingReferences`.
pub(super) fn store(file: View<'_>, resolved: &mut Resolved) {
    let mut options = std::mem::take(&mut resolved.config.store);
    set(file.at("storage"), "storage", &mut options, resolved);
    let missing = file.at("http").at("missingReferences");
    missing.read("image", &mut options.missing_in_image);
    missing.read("index", &mut options.missing_in_index);
    resolved.config.store = options;
}

/// Says where fills of buckets are staged: in `downloadDir`, a folder for each store, or in the store's own
/// `rootDirectory`.
pub(super) fn spools(download_dir: Option<PathBuf>, resolved: &mut Resolved) {
    let Some(folder) = download_dir else { return };
    let config = &mut resolved.config;
    let by_component = config.stores_by_component.iter_mut().map(|(name, it)| (format!("path-{name}"), it));
    let by_upstream = config.stores_by_upstream.iter_mut().map(|(name, it)| (format!("upstream-{name}"), it));
    let main = std::iter::once(("main".to_owned(), &mut config.store));
    for (name, options) in main.chain(by_component).chain(by_upstream) {
        if let Place::Bucket(place) = &mut options.place {
            place.spool = folder.join(name);
        }
    }
}

/// Sets what `storage.subPaths` says.
pub(super) fn stores_by_component(section: View<'_>, resolved: &mut Resolved) {
    for (name, section) in section.entries() {
        let path = format!("storage.subPaths[{name:?}]");
        let component = name.trim_matches('/');
        if !is_component(component) {
            let message = "is not the first component of a repository's name, such as \"/team\"";
            resolved.faults.push(Fault::new(path, message));
            continue;
        }
        if let Some(options) = own_store(section, &path, resolved) {
            resolved.config.stores_by_component.insert(component.to_owned(), options);
        }
    }
}

/// Returns the options of a store beside the main one, whose settings hold where it has none.
pub(super) fn own_store(
    section: View<'_>,
    path: &str,
    resolved: &mut Resolved,
) -> Option<store::options::Options> {
    let is_elsewhere = ["rootDirectory", "bucket", "storageDriver"];
    if !is_elsewhere.iter().any(|name| section.at(name).is_written()) {
        resolved.faults.push(Fault::new(
            format!("{path}.rootDirectory"),
            "is missing: a store of its own has its own folder or bucket",
        ));
        return None;
    }
    let mut options = resolved.config.store.clone();
    set(section, path, &mut options, resolved);
    Some(options)
}

/// Says whether a text is one component of a repository's name.
fn is_component(text: &str) -> bool {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.iter().all(|byte| is_alphanumeric(*byte) || matches!(byte, b'.' | b'_' | b'-'))
        && bytes
            .first()
            .zip(bytes.last())
            .is_some_and(|(first, last)| is_alphanumeric(*first) && is_alphanumeric(*last))
}

fn set(section: View<'_>, path: &str, options: &mut store::options::Options, resolved: &mut Resolved) {
    let root = section.at("rootDirectory").get::<PathBuf>();
    if let Some(bucket) = bucket::bucket(section, path, resolved) {
        let spool = root.unwrap_or_else(|| match &options.place {
            Place::Folder(folder) => folder.clone(),
            Place::Bucket(place) => place.spool.clone(),
            Place::Memory => PathBuf::new(),
        });
        options.place = Place::Bucket(Box::new(BucketPlace { bucket, spool }));
        options.writers = Writers::Several;
    } else if let Some(root) = root {
        options.place = Place::Folder(root);
        options.writers = Writers::One;
    }
    section.read("shared", &mut options.writers);
    section.read("redirectBlobURL", &mut options.redirect);
    let asks = section.at("redirectBlobURL").get() == Some(true);
    if asks && !matches!(options.place, Place::Bucket(_)) {
        let message = "has no effect: a folder has no urls that clients could be sent to";
        resolved.warnings.push(Fault::new(format!("{path}.redirectBlobURL"), message));
    }
    section.read("commit", &mut options.commit);
    section.read("uploadExpiry", &mut options.upload_expiry);
    section.read("maxUploads", &mut options.uploads_max);
    section.read("memoryCacheBytes", &mut options.memory_cache_bytes_max);
    section.read("verifyOnRead", &mut options.verify_on_read);
    section.read("minFree", &mut options.free_min_percent);
    section.read("gc", &mut options.gc.enable);
    section.read("gcDelay", &mut options.gc.delay);
    section.read("gcInterval", &mut options.gc.interval);
    if let Some(window) = section.at("gcTimeWindow").get() {
        options.gc.window = Some(window);
    }
    if section.at("retention").is_written() {
        options.retention = super::retention::retention(section.at("retention"));
    }
}

/// Sets what `extensions.metrics` says.
pub(super) fn metrics(section: View<'_>, options: &mut MetricsOptions) {
    section.read("enable", &mut options.enable);
    section.at("prometheus").read("path", &mut options.path);
}

/// Sets what `extensions.scrub` says; a section asks for it.
pub(super) fn scrub(section: View<'_>, options: &mut ScrubOptions) {
    options.enable = section.is_written();
    section.read("enable", &mut options.enable);
    section.read("interval", &mut options.interval);
    section.read("bytesPerSecond", &mut options.bytes_per_second);
}

/// Sets what `log` says.
pub(super) fn log(section: View<'_>, options: &mut LogOptions) {
    section.read("level", &mut options.level);
    section.read("format", &mut options.format);
}

impl FromChecked for Verb {
    fn from_checked(checked: &Checked) -> Option<Self> {
        Self::parse(&String::from_checked(checked)?.parse().ok()?)
    }
}

impl FromChecked for Writers {
    fn from_checked(checked: &Checked) -> Option<Self> {
        bool::from_checked(checked).map(|shared| if shared { Self::Several } else { Self::One })
    }
}

impl FromChecked for store::options::Commit {
    fn from_checked(checked: &Checked) -> Option<Self> {
        bool::from_checked(checked).map(|commit| if commit { Self::Yes } else { Self::No })
    }
}

impl FromChecked for store::options::Window {
    fn from_checked(checked: &Checked) -> Option<Self> {
        Self::parse(&String::from_checked(checked)?)
    }
}

impl FromChecked for store::options::Missing {
    fn from_checked(checked: &Checked) -> Option<Self> {
        match String::from_checked(checked)?.as_str() {
            "refuse" => Some(Self::Refuse),
            "accept" => Some(Self::Accept),
            _ => None,
        }
    }
}

impl FromChecked for LogFormat {
    fn from_checked(checked: &Checked) -> Option<Self> {
        match String::from_checked(checked)?.as_str() {
            "auto" => Some(Self::Auto),
            "human" => Some(Self::Human),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}
