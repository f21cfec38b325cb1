//! What the HTTP layer can be told: where to listen and every limit of the wire.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

pub use super::network::Network;
pub use super::route::Verb;

/// Settings of the HTTP layer, resolved from the section `http` of the configuration.
///
/// *Units and limits*: sizes in bytes, counts in items; each limit has a row in
/// `docs/config.md` that says what happens when it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The IP address to bind (`http.address`).
    pub address: String,
    /// The TCP port to bind; 0 lets the kernel choose (`http.port`).
    pub port: u16,
    /// Where clients reach the server, scheme and authority; without it they are told what they used
    /// (`http.externalUrl`).
    pub external_url: Option<String>,
    /// Proxies that are believed when they say whom a request is from (`http.trustedProxies`).
    pub trusted_proxies: Vec<Network>,
    /// The largest manifest accepted; a larger one is answered 413 (`http.limits.maxManifestBytes`).
    pub manifest_bytes_max: u64,
    /// The largest blob accepted, 0 for no limit; a larger one is answered 413 (`http.limits.maxBlobBytes`).
    pub blob_bytes_max: u64,
    /// The largest request head; a larger one is answered 431 (`http.limits.maxHeaderBytes`).
    pub header_bytes_max: usize,
    /// Connections open at once; further ones wait in the kernel's backlog (`http.limits.maxConnections`).
    pub connections_max: usize,
    /// Connections of one client, 0 for no limit; more are closed (`http.limits.maxConnectionsPerClient`).
    pub connections_per_client_max: usize,
    /// Requests that the server takes in a second from all clients; more are answered 429
    /// (`http.limits.maxRequestsPerSecond`).
    pub requests_per_second_max: Option<NonZeroU32>,
    /// Tags that one manifest push may set; more are answered 414 (`http.limits.maxTagsPerPush`).
    pub tags_per_push_max: usize,
    /// Ranges served of one request; more are answered by the whole blob (`http.limits.maxRanges`).
    pub ranges_max: usize,
    /// Names on one page of tags or repositories; a larger `n` is cut to it (`http.limits.maxPageItems`).
    pub page_items_max: usize,
    /// Bytes of one page of referrers; the rest follows by `Link` (`http.limits.maxReferrersPageBytes`).
    pub referrers_page_bytes_max: usize,
    /// How long a connection may wait for a request, and its head take to arrive; of HTTP/2, also how long one
    /// may take in nothing of an answer (`http.limits.headerTimeout`). Shorter than what clients keep idle
    /// connections for, it would close those of HTTP/1.1 under a request that is on its way.
    pub header_timeout: Duration,
    /// How long a request body may stand still; zero is for ever (`http.readTimeout`).
    pub read_idle_timeout: Duration,
    /// How long a response body may stand still; zero is for ever (`http.writeTimeout`).
    pub write_idle_timeout: Duration,
    /// How long SIGTERM waits for requests under way (`http.limits.drainTimeout`).
    pub drain_timeout: Duration,
    /// Requests that it takes in a second from one client; more are answered 429 (`http.ratelimit`).
    pub rates: Rates,
    /// The TLS that is spoken; none for HTTP without it (`http.tls`).
    pub tls: Option<TlsOptions>,
}

/// The section `http.tls`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsOptions {
    /// The certificate that clients are shown, in PEM form, and behind it those of its authorities
    /// (`http.tls.cert`).
    pub certificate: PathBuf,
    /// Its key, in PEM form (`http.tls.key`).
    pub key: PathBuf,
    /// The authorities of client certificates, in PEM form; without them clients are asked for none
    /// (`http.tls.cacert`).
    pub client_authorities: Option<PathBuf>,
    /// The oldest version that is spoken (`http.tls.minVersion`).
    pub version_min: TlsVersion,
    /// How long a handshake may take (`http.tls.handshakeTimeout`).
    pub handshake_timeout: Duration,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    V1_2,
    /// RFC 8446.
    V1_3,
}

/// Requests a second of one client. A request counts for each rate that is for its method.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rates {
    /// Of all methods together; absent for no limit (`http.ratelimit.rate`).
    pub all: Option<NonZeroU32>,
    /// Of single methods; the others have no limit of their own (`http.ratelimit.methods`).
    pub methods: BTreeMap<Verb, NonZeroU32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: "127.0.0.1".to_owned(),
            port: 5000,
            external_url: None,
            trusted_proxies: Vec::new(),
            manifest_bytes_max: 4 * 1024 * 1024,
            blob_bytes_max: 0,
            header_bytes_max: 64 * 1024,
            connections_max: 16_384,
            connections_per_client_max: 0,
            requests_per_second_max: None,
            tags_per_push_max: 100,
            ranges_max: 16,
            page_items_max: 10_000,
            referrers_page_bytes_max: 4 * 1024 * 1024,
            header_timeout: Duration::from_secs(75),
            read_idle_timeout: Duration::from_secs(60),
            write_idle_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(30),
            rates: Rates::default(),
            tls: None,
        }
    }
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            client_authorities: None,
            version_min: TlsVersion::V1_2,
            handshake_timeout: Duration::from_secs(10),
        }
    }
}
