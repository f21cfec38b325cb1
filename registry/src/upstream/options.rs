//! What one upstream can be told.

use std::time::Duration;

/// Settings of one upstream, resolved from an entry of `extensions.sync.registries`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Its unique name, the folder of its cache, and what errors and metrics call it (`name`;
    /// default: the first url's host and port).
    pub name: String,
    /// Mirrors of the same content, asked in order; scheme, host and port (`urls`).
    pub urls: Vec<String>,
    /// Whether a miss may ask it (`onDemand`).
    pub on_demand: bool,
    /// Whether its certificate must verify (`tlsVerify`).
    pub tls_verify: bool,
    /// PEM file of authorities to trust beside the system's (`certDir`'s `ca.crt`).
    pub ca_file: Option<std::path::PathBuf>,
    /// Which names it answers for; none matches all (`content`).
    pub content: Vec<Content>,
    /// How long a connection may take (`connectTimeout`).
    pub connect_timeout: Duration,
    /// How long an answer's head, or the next bytes of its body, may take (`responseTimeout`).
    pub response_timeout: Duration,
    /// How long everything before the answer to a cached tag may take (`checkTimeout`).
    pub check_timeout: Duration,
    /// How long a cached tag is served without asking (`manifestCheckInterval`).
    pub manifest_check_interval: Duration,
    /// Requests open at this upstream at once; more wait (`reqConcurrent`).
    pub requests_max: usize,
    /// The largest manifest taken from it, in bytes (`maxManifestBytes`).
    pub manifest_bytes_max: u64,
}

/// One entry of `content`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// A glob over repository names, as written, without its leading slash (`prefix`).
    pub prefix: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: String::new(),
            urls: Vec::new(),
            on_demand: false,
            tls_verify: true,
            ca_file: None,
            content: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            response_timeout: Duration::from_secs(30),
            check_timeout: Duration::from_secs(3),
            manifest_check_interval: Duration::ZERO,
            requests_max: 64,
            manifest_bytes_max: 4 * 1024 * 1024,
        }
    }
}
