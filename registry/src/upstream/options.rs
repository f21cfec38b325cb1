//! What one upstream can be told.

pub mod pattern;

use std::num::NonZeroU32;
use std::path::PathBuf;
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
    /// The folder of the certificates below, whether or not they are there yet (`certDir`).
    pub certificate_folder: Option<PathBuf>,
    /// PEM file of authorities to trust beside the system's (`certDir`'s `ca.crt`).
    pub ca_file: Option<PathBuf>,
    /// PEM files of the certificate that is shown to it, and of its key (`certDir`'s `client.cert` and
    /// `client.key`).
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Whether only HTTP/1.1 is spoken to it (`disableHTTP2`).
    pub http1_only: bool,
    /// Idle connections that are kept to each of its hosts (`maxIdleConnsPerHost`).
    pub idle_connections_max: usize,
    /// The proxies through which it is reached, as the environment says.
    pub proxies: Proxies,
    /// Which names it answers for; none matches all (`content`).
    pub content: Vec<Content>,
    /// How long a connection may take (`connectTimeout`).
    pub connect_timeout: Duration,
    /// How long an answer's head, the next bytes of a blob, or the whole of a smaller body may take
    /// (`responseTimeout`).
    pub response_timeout: Duration,
    /// How long everything before the answer to a cached tag may take (`checkTimeout`).
    pub check_timeout: Duration,
    /// How long a cached tag is served without asking (`manifestCheckInterval`).
    pub manifest_check_interval: Duration,
    /// Requests open at this upstream at once; more wait (`reqConcurrent`).
    pub requests_max: usize,
    /// Requests a second that it is sent; more wait (`reqPerSec`).
    pub rate_max: Option<NonZeroU32>,
    /// The largest manifest taken from it, in bytes (`maxManifestBytes`).
    pub manifest_bytes_max: u64,
    /// Whose account it is asked with (`credentialsFile`, `credentialHelper`).
    pub credentials: CredentialSource,
    /// Hosts of token services that may be shown its account, beside its own (`authRealms`).
    pub auth_realms: Vec<String>,
    /// The registries that it stands for, when the configuration says so (`namespaces`); without them, the
    /// hosts of its urls.
    pub namespaces: Option<Vec<String>>,
    /// After which answers the next upstream is asked (`fallThrough`).
    pub fall_through: FallThrough,
    /// How often an attempt that failed is repeated (`maxRetries`).
    pub retries_max: u32,
    /// How long before the first repetition (`retryDelay`).
    pub retry_delay: Duration,
    /// How long before a later one at most (`maxRetryDelay`; default: `retryDelay`).
    pub retry_delay_max: Duration,
    /// How long after its request a client may still wait for an attempt to begin (`onDemandTimeout`).
    pub on_demand_timeout: Duration,
    /// The longest Retry-After that is obeyed (`maxRetryAfter`).
    pub cool_down_max: Duration,
    /// Failures in a row after which a url is not asked for a while (`breakerFailures`).
    pub breaker_failures: u32,
    /// How long it is not asked then (`breakerDelay`).
    pub breaker_delay: Duration,
    /// How long it is remembered that something is not there, or not for us (`negativeTtl`).
    pub negative_ttl: Duration,
    /// What the upstream's 404 does to a cached tag (`onUpstreamDelete`).
    pub on_delete: OnRefusal,
    /// What the upstream's refusal does to a cached tag (`onUpstreamDenied`).
    pub on_denied: OnRefusal,
    /// How long after its last check a cached tag is served against a refusal (`deniedStaleMax`).
    pub denied_stale_max: Duration,
    /// How long after its last check a cached tag is served without one (`staleMaxAge`).
    pub stale_age_max: Option<Duration>,
    /// How long after its last check a cached tag is served at once, and checked afterwards
    /// (`staleWhileRevalidate`).
    pub stale_while_revalidate: Duration,
    /// Bytes a second below which a body has failed, measured over half a minute (`minThroughput`).
    pub throughput_min: u64,
    /// How far beyond the fill of its blob a range may begin that follows it (`rangeWait`).
    pub range_wait: u64,
    /// Bytes that a range which does not is fetched in at a time (`rangeFetchMax`).
    pub range_fetch_max: u64,
    /// What becomes of such a range (`coldRange`).
    pub cold_range: ColdRange,
    /// Whether bytes that are here are served for a repository of it without its word (`trustMembership`).
    pub trust_membership: bool,
    /// How much of it is kept (`cache`).
    pub cache: CacheBound,
    /// What it takes to have it asked (`fetch`).
    pub fetch: Fetch,
    /// Whether only signed images are taken from it (`onlySigned`).
    pub only_signed: bool,
    /// What is mirrored of it.
    pub mirror: Mirror,
    /// Whether it lies under names that are hosted (`overlay`).
    pub overlay: bool,
}

/// What it takes to have an upstream asked for what is not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fetch {
    /// The right to read.
    #[default]
    Implied,
    /// The right to fetch as well.
    Explicit,
}

/// What becomes of a range of a blob that is not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColdRange {
    /// It is fetched by itself.
    #[default]
    Fetch,
    /// It waits for the blob's fill.
    Wait,
}

/// How much of an upstream is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheBound {
    /// How many bytes (`cache.maxBytes`).
    pub bytes_max: Option<u64>,
    /// How long after it was last pulled (`cache.maxAge`).
    pub age_max: Option<Duration>,
}

/// The file of a `certDir` that holds authorities.
pub const CA_FILE: &str = "ca.crt";
/// Those that hold what is shown to the upstream.
pub const CERTIFICATE_FILE: &str = "client.cert";
/// And its key.
pub const KEY_FILE: &str = "client.key";

impl CacheBound {
    /// Says whether there is a bound at all.
    pub const fn is_bound(&self) -> bool {
        self.bytes_max.is_some() || self.age_max.is_some()
    }
}

/// Proxies between here and the upstreams: urls, as the usual variables have them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proxies {
    /// For urls in clear text (`http_proxy`).
    pub http: Option<String>,
    /// For urls over TLS (`HTTPS_PROXY`).
    pub https: Option<String>,
    /// Hosts that are reached without one (`NO_PROXY`).
    pub none: Option<String>,
}

/// Where accounts come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum CredentialSource {
    /// There are none.
    #[default]
    Nobody,
    /// A file `{"host:port": {"username": …, "password": …}}`.
    File(PathBuf),
    /// The program `docker-credential-NAME`.
    Helper(String),
    /// A token endpoint, whose tokens are passwords (`oauth2CredentialHelper`).
    Oauth2(Box<Oauth2>),
}

/// How temporary tokens are had from an OAuth 2.0 token endpoint.
///
/// *Spec:* RFC 6749, RFC 7523, RFC 8693.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oauth2 {
    /// The url of the endpoint (`tokenURL`).
    pub token_url: String,
    /// What proves who this registry is (`assertionFile`, `signingFile`).
    pub assertion: Assertion,
    /// What the assertion is exchanged as (`grantType`).
    pub grant: Grant,
    /// The client's name there (`clientID`).
    pub client_id: Option<String>,
    /// A file with the client's secret (`clientSecretFile`).
    pub client_secret_file: Option<PathBuf>,
    /// What the token is asked for (`scopes`).
    pub scopes: Vec<String>,
    /// The user whose password the token is (`username`).
    pub username: String,
    /// For whom the token is (`audience`).
    pub audience: Option<String>,
    /// What an assertion that is exchanged is (`subjectTokenType`).
    pub subject_token_type: String,
    /// What is wanted for it (`requestedTokenType`).
    pub requested_token_type: Option<String>,
}

impl Default for Oauth2 {
    fn default() -> Self {
        Self {
            token_url: String::new(),
            assertion: Assertion::Ready(PathBuf::new()),
            grant: Grant::default(),
            client_id: None,
            client_secret_file: None,
            scopes: Vec::new(),
            username: TOKEN_USER.to_owned(),
            audience: None,
            subject_token_type: JWT_TYPE.to_owned(),
            requested_token_type: None,
        }
    }
}

/// Whose password a token is, where nothing else is said; as in zot.
const TOKEN_USER: &str = "<token>";
/// RFC 8693 §3.
const JWT_TYPE: &str = "urn:ietf:params:oauth:token-type:jwt";

/// Where an assertion comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assertion {
    /// Another program writes it to this file.
    Ready(PathBuf),
    /// It is signed here, anew for each exchange, as this file says.
    Signed(PathBuf),
}

/// What an assertion is exchanged as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Grant {
    /// It proves who the client is (RFC 7523 §2.2).
    #[default]
    ClientCredentials,
    /// It is the grant itself (RFC 7523 §2.1).
    JwtBearer,
    /// It is exchanged for another token (RFC 8693 §2.1).
    TokenExchange,
}

impl Grant {
    /// The names, in the order of [`Grant::parse`].
    pub const NAMES: [&'static str; 3] = [
        "client_credentials",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "urn:ietf:params:oauth:grant-type:token-exchange",
    ];

    /// Returns the grant of a name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::ClientCredentials, Self::JwtBearer, Self::TokenExchange]
            .into_iter()
            .find(|grant| grant.name() == name)
    }

    /// Returns the value of `grant_type`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClientCredentials => Self::NAMES[0],
            Self::JwtBearer => Self::NAMES[1],
            Self::TokenExchange => Self::NAMES[2],
        }
    }
}

/// Returns the program of a helper: zot's names mean those of their clouds.
pub fn helper_program(name: &str) -> String {
    let name = match name {
        "ecr" => "ecr-login",
        "gcp" => "gcloud",
        other => other,
    };
    format!("docker-credential-{name}")
}

/// After which answers of an upstream the next one is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FallThrough {
    /// After a 404 of all its urls.
    #[default]
    NotFound,
    /// After none.
    Never,
    /// After any failure.
    Any,
}

/// What a definite refusal does to a cached tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnRefusal {
    /// It is served as it was.
    #[default]
    Keep,
    /// It is refused as well.
    Follow,
}

/// One entry of `content`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// A glob over repository names, as written, without its leading slash (`prefix`).
    pub prefix: String,
    /// What stands before its names here (`destination`).
    pub destination: String,
    /// Whether what stands before the glob's first `*` is left out here (`stripPrefix`).
    pub strip_prefix: bool,
    /// Which tags are mirrored (`tags`).
    pub tags: Tags,
}

/// Which tags are mirrored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tags {
    /// Those that match somewhere (`regex`).
    pub regex: Option<String>,
    /// Not those that match somewhere (`excludeRegex`).
    pub exclude: Option<String>,
    /// Only those that are versions (`semver`).
    pub semver: bool,
}

/// What is mirrored of an upstream, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// How often (`pollInterval`); never without it.
    pub interval: Option<Duration>,
    /// The platforms of an index that are, as `os/architecture` or `os/architecture/variant`; all, if there
    /// are none (`platforms`).
    pub platforms: Vec<String>,
    /// Whether signatures in tags are, with their image (`syncLegacyCosignTags`).
    pub cosign_tags: bool,
    /// How long one tag may take (`syncTimeout`).
    pub tag_timeout: Duration,
    /// How many tags that the upstream has no more are removed from a repository at once (`mirrorDeleteMax`);
    /// without it, a tenth of them.
    pub deletions_max: Option<u64>,
}

impl Default for Mirror {
    fn default() -> Self {
        Self {
            interval: None,
            platforms: Vec::new(),
            cosign_tags: true,
            tag_timeout: Duration::from_secs(3 * 60 * 60),
            deletions_max: None,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: String::new(),
            urls: Vec::new(),
            on_demand: false,
            tls_verify: true,
            certificate_folder: None,
            ca_file: None,
            client_certificate: None,
            http1_only: false,
            idle_connections_max: 64,
            proxies: Proxies::default(),
            content: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            response_timeout: Duration::from_secs(30),
            check_timeout: Duration::from_secs(3),
            manifest_check_interval: Duration::ZERO,
            requests_max: 64,
            rate_max: None,
            manifest_bytes_max: 4 * 1024 * 1024,
            credentials: CredentialSource::default(),
            auth_realms: Vec::new(),
            namespaces: None,
            fall_through: FallThrough::default(),
            retries_max: 2,
            retry_delay: Duration::from_secs(1),
            retry_delay_max: Duration::from_secs(1),
            on_demand_timeout: Duration::from_secs(20),
            cool_down_max: Duration::from_secs(15 * 60),
            breaker_failures: 5,
            breaker_delay: Duration::from_secs(10),
            negative_ttl: Duration::from_secs(10),
            on_delete: OnRefusal::default(),
            on_denied: OnRefusal::default(),
            denied_stale_max: Duration::from_secs(24 * 60 * 60),
            stale_age_max: None,
            stale_while_revalidate: Duration::ZERO,
            throughput_min: 1024,
            range_wait: 8 * 1024 * 1024,
            range_fetch_max: 16 * 1024 * 1024,
            cold_range: ColdRange::default(),
            trust_membership: false,
            cache: CacheBound::default(),
            fetch: Fetch::default(),
            only_signed: false,
            mirror: Mirror::default(),
            overlay: false,
        }
    }
}
