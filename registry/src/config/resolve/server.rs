//! The sections `http`, `storage`, `log` and `extensions.metrics`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Resolved;
use crate::config::checked::{Checked, FromChecked, View};
use crate::config::error::Fault;
use crate::config::options::{LogFormat, LogOptions, MetricsOptions};
use crate::http::options::Verb;
use crate::{http, store};

/// Sets what `http` says of the wire.
pub(super) fn http(section: View<'_>, options: &mut http::options::Options) {
    section.read("address", &mut options.address);
    section.read("port", &mut options.port);
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
pub(super) fn store(file: View<'_>, options: &mut store::options::Options) {
    place(file.at("storage"), options);
    let missing = file.at("http").at("missingReferences");
    missing.read("image", &mut options.missing_in_image);
    missing.read("index", &mut options.missing_in_index);
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
    if !section.at("rootDirectory").is_written() {
        resolved.faults.push(Fault::new(
            format!("{path}.rootDirectory"),
            "is missing: a store of its own has its own folder",
        ));
        return None;
    }
    let mut options = resolved.config.store.clone();
    place(section, &mut options);
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

fn place(section: View<'_>, options: &mut store::options::Options) {
    if let Some(root) = section.at("rootDirectory").get::<PathBuf>() {
        options.place = store::options::Place::Folder(root);
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
