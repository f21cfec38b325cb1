//! What the access layer can be told.

pub mod ldap;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use super::certificate::{Attribute, PATTERN_BYTES_MAX as URI_PATTERN_BYTES_MAX, UriPattern};

/// Settings of the access layer, resolved from `http.auth`, `http.accessControl` and `http.realm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The realm named in challenges (`http.realm`).
    pub realm: String,
    /// The htpasswd file (`http.auth.htpasswd.path`); none means that there are no accounts.
    pub htpasswd: Option<PathBuf>,
    /// The directory (`http.auth.ldap`); none means that only the file has accounts.
    pub ldap: Option<ldap::LdapOptions>,
    /// How long a failed login is held back (`http.auth.failDelay`).
    pub fail_delay: Duration,
    /// Failed logins after which the next has to wait; 0 holds nobody (`http.auth.maxFailures`).
    pub failures_max: u32,
    /// How long failures are counted together; zero holds nobody (`http.auth.failureWindow`).
    pub failure_window: Duration,
    /// How long a verified password is remembered (`http.auth.cacheTtl`).
    pub cache_ttl: Duration,
    /// Verified passwords remembered at once (`http.auth.cacheEntries`).
    pub cache_entries_max: u64,
    /// Passwords verified at once; more wait (`http.auth.maxVerifications`).
    pub verifications_max: usize,
    /// Tokens of our own issuing (`http.auth.token`); only where there are accounts.
    pub token: TokenOptions,
    /// Whether users may make keys of their own (`http.auth.apikey`).
    pub api_keys: bool,
    /// Tokens of others' issuing (`http.auth.bearer`); none means that none are taken.
    pub bearer: Option<BearerOptions>,
    /// Who may do what (`http.accessControl`); none means that accounts may do everything, and
    /// that without accounts everybody may.
    pub access: Option<AccessControl>,
    /// How client certificates name accounts (`http.auth.mtls`); none means that they do not.
    pub certificates: Option<CertificateOptions>,
}

/// The section `http.auth.mtls`, which has its defaults where client certificates are verified and it is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateOptions {
    /// Where the name stands; the first that gives one decides (`identityAttributes`).
    pub attributes: Vec<Attribute>,
    /// Which part of a URI is the name; all of it without a pattern (`uriSanPattern`).
    pub uri_pattern: Option<UriPattern>,
    /// Which of the URIs is looked at, from zero (`uriSanIndex`).
    pub uri_index: usize,
    /// Which of the DNS names (`dnsSanIndex`).
    pub dns_index: usize,
    /// Which of the mail addresses (`emailSanIndex`).
    pub email_index: usize,
}

/// The section `http.auth.token`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenOptions {
    /// Whether tokens are issued, and taken (`http.auth.token.enable`).
    pub enable: bool,
    /// The file of the keys that sign them (`http.auth.token.keyFile`); none keeps keys in the store.
    pub key_file: Option<PathBuf>,
    /// How long a token is good for (`http.auth.token.expiry`).
    pub life: Duration,
    /// How long a refresh token is (`http.auth.token.refreshExpiry`).
    pub refresh_life: Duration,
    /// How long a key of the store signs (`http.auth.token.keyRotation`); it verifies until the last token that
    /// it signed has expired.
    pub rotation: Duration,
}

/// The section `http.auth.bearer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BearerOptions {
    /// The url at which clients get tokens (`http.auth.bearer.realm`); none is our own.
    pub realm: Option<String>,
    /// What this registry is called there, and in tokens (`http.auth.bearer.service`).
    pub service: String,
    /// Who issues them (`http.auth.bearer.issuer`); none means that the keys tell.
    pub issuer: Option<String>,
    /// The file of certificates and public keys that verify them (`http.auth.bearer.cert`).
    pub certificates: Option<PathBuf>,
    /// The key set that does (`http.auth.bearer.jwks`).
    pub key_set: Option<KeySetPlace>,
    /// How long keys are used before they are read again (`http.auth.bearer.jwksRefresh`).
    pub refresh: Duration,
    /// Issuers of identity tokens of workloads (`http.auth.bearer.oidc`).
    pub oidc: Vec<OidcOptions>,
}

/// An item of `http.auth.bearer.oidc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcOptions {
    /// The issuer's url (`issuer`).
    pub issuer: String,
    /// What a token must be for, one of them (`audiences`).
    pub audiences: Vec<String>,
    /// How claims become a user and groups (`claimMapping`).
    pub mapping: MappingOptions,
    /// The authority of the issuer's certificate beside the system's (`certificateAuthority`,
    /// `certificateAuthorityFile`).
    pub authority: Option<Authority>,
    /// Whether a token's issuer has to be this one (`skipIssuerVerification`).
    pub check: IssuerCheck,
}

/// The section `claimMapping` of an issuer, whose expressions are texts as they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingOptions {
    /// Names, and the expressions that they stand for, each of which may name those before it (`variables`).
    pub variables: Vec<(String, String)>,
    /// Expressions that must hold, and what the log says where one does not (`validations`).
    pub validations: Vec<(String, String)>,
    /// The expression of the user's name (`username`).
    pub username: String,
    /// The expression of the groups (`groups`).
    pub groups: Option<String>,
}

/// Certificates in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// As a text.
    Text(String),
    /// In a file.
    File(PathBuf),
}

/// Whether a token's issuer has to be the one that is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssuerCheck {
    /// It has, to the letter.
    Exact,
    /// It may be any whose tokens have the keys; for tests.
    Skipped,
}

/// Where a key set is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySetPlace {
    /// In a file.
    File(PathBuf),
    /// At a url.
    Url(String),
}

/// The section `http.accessControl`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessControl {
    /// Policies by glob over repository names; the longest matching glob decides.
    pub repositories: Vec<(String, RepositoryPolicy)>,
    /// Who may act on every repository.
    pub admin: Rule,
    /// Named groups and their members.
    pub groups: BTreeMap<String, Vec<String>>,
    /// Who may read the metrics; none means every account.
    pub metrics: Option<MetricsPolicy>,
}

/// The section `http.accessControl.metrics`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetricsPolicy {
    /// Names of users; none means every account.
    pub users: Vec<String>,
    /// What everybody may do, of which only `read` means anything.
    pub anonymous_policy: Vec<Action>,
}

/// What one glob grants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepositoryPolicy {
    /// Grants to named users and groups.
    pub policies: Vec<Rule>,
    /// Grants to every account.
    pub default_policy: Vec<Action>,
    /// Grants to everybody, without an account.
    pub anonymous_policy: Vec<Action>,
}

/// Users and groups, and what they may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// User names.
    pub users: Vec<String>,
    /// Group names.
    pub groups: Vec<String>,
    /// What they may do.
    pub actions: Vec<Action>,
    /// What has to hold as well, all of it.
    pub conditions: Vec<ConditionOptions>,
}

/// A condition of a rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConditionOptions {
    /// An expression over `req`, as it was written.
    pub expression: String,
    /// What somebody is told whom it alone keeps out; empty for nothing.
    pub message: String,
}

/// What may be done to a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Pull, list tags, list referrers.
    Read,
    /// Push what is not there yet.
    Create,
    /// Move a tag that is there.
    Update,
    /// Delete a tag, a manifest or a blob.
    Delete,
    /// Have an upstream asked for what is not here, where its `fetch` is `explicit`.
    Fetch,
    /// No right but a caution, as in zot: who has it is not let delete a manifest by digest that several tags name.
    DetectManifestCollision,
}

impl Action {
    /// Returns the word for it that configurations use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Fetch => "fetch",
            Self::DetectManifestCollision => "detectManifestCollision",
        }
    }
}

impl Options {
    /// Says whether there is a way to log in.
    pub const fn knows_accounts(&self) -> bool {
        self.htpasswd.is_some() || self.ldap.is_some() || self.certificates.is_some() || self.bearer.is_some()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            realm: "wharfinger".to_owned(),
            htpasswd: None,
            ldap: None,
            fail_delay: Duration::ZERO,
            failures_max: 10,
            failure_window: Duration::from_secs(60),
            cache_ttl: Duration::from_secs(60),
            cache_entries_max: 1_024,
            verifications_max: 2,
            token: TokenOptions::default(),
            api_keys: false,
            bearer: None,
            access: None,
            certificates: None,
        }
    }
}

impl Default for CertificateOptions {
    fn default() -> Self {
        Self {
            attributes: vec![Attribute::CommonName],
            uri_pattern: None,
            uri_index: 0,
            dns_index: 0,
            email_index: 0,
        }
    }
}

impl Default for BearerOptions {
    fn default() -> Self {
        Self {
            realm: None,
            service: String::new(),
            issuer: None,
            certificates: None,
            key_set: None,
            refresh: Duration::from_secs(5 * 60),
            oidc: Vec::new(),
        }
    }
}

impl Default for OidcOptions {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audiences: Vec::new(),
            mapping: MappingOptions::default(),
            authority: None,
            check: IssuerCheck::Exact,
        }
    }
}

impl Default for MappingOptions {
    fn default() -> Self {
        Self {
            variables: Vec::new(),
            validations: Vec::new(),
            username: "claims.iss + '/' + claims.sub".to_owned(),
            groups: None,
        }
    }
}

impl Default for TokenOptions {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            enable: true,
            key_file: None,
            life: Duration::from_secs(5 * 60),
            refresh_life: DAY * 30,
            rotation: DAY * 30,
        }
    }
}

/// Says whether what is at a url may be trusted to be whose it seems: over https, or on this host.
pub fn may_be_fetched(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    let is_here = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    url.username().is_empty()
        && url.password().is_none()
        && (url.scheme() == "https" || url.scheme() == "http" && is_here)
}
