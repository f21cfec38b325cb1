//! What a configuration resolves to: the options of every layer in one value.

use std::collections::BTreeMap;

use crate::telemetry::Target;
use crate::{auth, extensions, http, repository, store, upstream};

/// Everything that the server is told, resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Where to listen, and the limits of the wire (`http`).
    pub http: http::options::Options,
    /// Where and how to store (`storage`).
    pub store: store::options::Options,
    /// Stores of their own by the first component of hosted names (`storage.subPaths`).
    pub stores_by_component: BTreeMap<String, store::options::Options>,
    /// Stores of their own by the upstream's name (`extensions.sync.registries[].storage`).
    pub stores_by_upstream: BTreeMap<String, store::options::Options>,
    /// Who may do what (`http.auth`, `http.accessControl`).
    pub auth: auth::options::Options,
    /// What holds for all registries behind this one (`extensions.sync`).
    pub repositories: repository::options::Options,
    /// The registries behind this one, in the order they are asked (`extensions.sync.registries`).
    pub upstreams: Vec<upstream::options::Options>,
    /// The metrics endpoint (`extensions.metrics`).
    pub metrics: MetricsOptions,
    /// The regular look at every stored byte (`extensions.scrub`).
    pub scrub: extensions::options::ScrubOptions,
    /// What is logged, and how (`log`).
    pub log: LogOptions,
}

/// Settings of the metrics endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsOptions {
    /// Whether there is one (`extensions.metrics.enable`).
    pub enable: bool,
    /// Its path (`extensions.metrics.prometheus.path`).
    pub path: String,
}

/// Settings of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// The least severe level that is written: trace, debug, info, warn or error (`log.level`).
    pub level: String,
    /// The form of a line (`log.format`).
    pub format: LogFormat,
    /// Where lines go (`log.output`).
    pub output: Target,
    /// Where changes are recorded, if they are (`log.audit`).
    pub audit: Option<Target>,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For eyes.
    Human,
    /// One JSON object a line.
    Json,
}

impl Default for MetricsOptions {
    fn default() -> Self {
        Self { enable: true, path: "/metrics".to_owned() }
    }
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Auto, output: Target::Stderr, audit: None }
    }
}
