//! The section `http.auth`.

use std::time::Duration;

use super::{ANY_COUNT, ANY_DURATION, DAY, HOUR, SECTIONS, WORDS};
use crate::auth::options::ldap::POOL_MAX;
use crate::config::key::{Key, honoured, pending, refused};
use crate::config::kind::{Kind, Names};

const MINUTE: Duration = Duration::from_secs(60);
const YEAR: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// The places of a name in a certificate, each with its short name.
const IDENTITY_ATTRIBUTES: &[&str] =
    &["CommonName", "CN", "Subject", "DN", "Email", "rfc822name", "URI", "URL", "DNSName", "DNS"];

pub(super) const KEYS: &[Key] = &[
    honoured("http.auth.htpasswd", Kind::Section, "", "Accounts in a file."),
    honoured(
        "http.auth.htpasswd.path",
        Kind::Path,
        "",
        "The htpasswd file; it may be absent when the server starts.",
    )
    .required(),
    honoured(
        "http.auth.failDelay",
        Kind::Delay(HOUR),
        "0s",
        "How long a failed login is held back, in seconds or as a duration.",
    ),
    honoured(
        "http.auth.maxFailures",
        Kind::Integer(0, 1_000_000),
        "10",
        "Failed logins of a user from an address, or of different users from it, after which the next has to wait, for a second at first and up to a minute; 0 lets all try at once. Who has logged in from there goes on. Behind proxies, see `http.trustedProxies`: without it all their clients are one address.",
    )
    .limit("further logins are answered 429 with `Retry-After`, without a look at the password"),
    honoured(
        "http.auth.failureWindow",
        Kind::Duration(Duration::ZERO, DAY),
        "1m",
        "How long failed logins are counted together; 0 counts none.",
    ),
    honoured(
        "http.auth.cacheTtl",
        Kind::Duration(Duration::ZERO, DAY),
        "1m",
        "How long a verified password is remembered.",
    ),
    honoured(
        "http.auth.cacheEntries",
        Kind::Integer(0, 1_000_000),
        "1024",
        "Verified passwords remembered at once.",
    )
    .limit("the one not used for longest is verified again"),
    honoured("http.auth.maxVerifications", Kind::Integer(1, 1_024), "2", "Passwords verified at once.")
        .limit("further ones wait"),
    honoured("http.auth.ldap", Kind::Section, "", "Accounts in a directory."),
    honoured(
        "http.auth.ldap.credentialsFile",
        Kind::Path,
        "",
        "The file with `bindDN` and `bindPassword`; without an account the search is anonymous.",
    ),
    honoured("http.auth.ldap.bindDN", Kind::Word, "", "Who searches."),
    honoured("http.auth.ldap.bindPassword", Kind::Word, "", "The password of who searches."),
    honoured("http.auth.ldap.address", Kind::Word, "", "The host of the directory, by name or IP address.")
        .required(),
    honoured("http.auth.ldap.port", Kind::Port, "", "Its port; by default 636 for LDAPS, else 389."),
    honoured(
        "http.auth.ldap.insecure",
        Kind::Bool,
        "false",
        "Whether it is asked without TLS, unless `startTLS` is on.",
    ),
    honoured("http.auth.ldap.startTLS", Kind::Bool, "false", "Whether TLS is started on the plain port."),
    honoured("http.auth.ldap.skipVerify", Kind::Bool, "false", "Whether its certificate may be any."),
    honoured(
        "http.auth.ldap.subtreeSearch",
        Kind::Bool,
        "false",
        "Whether users stand below the base at any depth.",
    ),
    honoured("http.auth.ldap.baseDN", Kind::Word, "", "Below what users stand.").required(),
    honoured("http.auth.ldap.userAttribute", Kind::Word, "", "The attribute that holds a user's name.")
        .required(),
    honoured("http.auth.ldap.userFilter", Kind::Word, "", "A filter that users must pass."),
    honoured(
        "http.auth.ldap.userGroupAttribute",
        Kind::Word,
        "",
        "The attribute that holds a user's groups.",
    ),
    honoured(
        "http.auth.ldap.caCert",
        Kind::Path,
        "",
        "The authorities of its certificate; by default the system's.",
    ),
    honoured(
        "http.auth.ldap.timeout",
        Kind::Duration(Duration::from_millis(100), Duration::from_secs(30)),
        "5s",
        "How long each step may take: a connection, a bind, a search, the wait for a turn.",
    )
    .limit("the directory counts as unreachable: the htpasswd file decides, or 503"),
    honoured(
        "http.auth.ldap.poolSize",
        Kind::Integer(1, POOL_MAX),
        "4",
        "Searches at once, and as many passwords checked at once.",
    )
    .limit("further logins wait for their turn, for at most `timeout`, then 429"),
    honoured("http.auth.bearer", Kind::Section, "", "Tokens of others' issuing."),
    honoured(
        "http.auth.bearer.realm",
        Kind::Quotable,
        "",
        "The url at which clients are told to get tokens; it stands in challenges.",
    ),
    honoured(
        "http.auth.bearer.service",
        Kind::Quotable,
        "",
        "The name of this registry there: challenges say it, and a token's `aud` must.",
    ),
    honoured(
        "http.auth.bearer.cert",
        Kind::Path,
        "",
        "The certificates or public keys that verify tokens, in PEM, any number of them in the file.",
    ),
    honoured(
        "http.auth.bearer.jwks",
        Kind::Word,
        "",
        "The JSON Web Key Set that verifies tokens, a file or an https url; a key that is unknown is looked for at once.",
    ),
    honoured(
        "http.auth.bearer.jwksRefresh",
        Kind::Duration(MINUTE, DAY),
        "5m",
        "How long keys are used before they are read again, of `cert` and `oidc` too.",
    ),
    honoured(
        "http.auth.bearer.issuer",
        Kind::Word,
        "",
        "The issuer that a token's `iss` must name; without it any.",
    ),
    refused(
        "http.auth.bearer.upstreamTokenEndpoint",
        Kind::Section,
        "An issuer that is asked on behalf of clients.",
        "no password is passed on; name the issuer's url as `realm`, and clients ask it themselves",
    ),
    text("http.auth.bearer.upstreamTokenEndpoint.realm", "Its url."),
    text("http.auth.bearer.upstreamTokenEndpoint.service", "The name of this service there."),
    switch(
        "http.auth.bearer.upstreamTokenEndpoint.allowInsecureHttp",
        "Whether it may be asked without TLS.",
    ),
    honoured(
        "http.auth.bearer.oidc",
        SECTIONS,
        "",
        "Issuers whose identity tokens are taken as they are, of pods and builds.",
    ),
    honoured(
        "http.auth.bearer.oidc[].issuer",
        Kind::Word,
        "",
        "The url of the issuer, to the letter as its tokens have it: https, or http on this host.",
    )
    .required(),
    honoured(
        "http.auth.bearer.oidc[].audiences",
        Kind::Filled(&Kind::Word),
        "",
        "Audiences, one of which a token must name.",
    )
    .required(),
    honoured(
        "http.auth.bearer.oidc[].claimMapping",
        Kind::Section,
        "",
        "How claims become a user and groups, by expressions (`docs/tokens.md`).",
    ),
    honoured(
        "http.auth.bearer.oidc[].claimMapping.variables",
        SECTIONS,
        "",
        "Expressions with a name; each may name those before it.",
    ),
    honoured(
        "http.auth.bearer.oidc[].claimMapping.variables[].name",
        Kind::Word,
        "",
        "The name, used as `vars.<name>`.",
    )
    .required(),
    honoured(
        "http.auth.bearer.oidc[].claimMapping.variables[].expression",
        Kind::Word,
        "",
        "What it stands for.",
    )
    .required(),
    honoured("http.auth.bearer.oidc[].claimMapping.validations", SECTIONS, "", "Expressions that must hold."),
    honoured(
        "http.auth.bearer.oidc[].claimMapping.validations[].expression",
        Kind::Word,
        "",
        "What must be true.",
    )
    .required(),
    honoured(
        "http.auth.bearer.oidc[].claimMapping.validations[].message",
        Kind::Text,
        "",
        "What the log says where it is not.",
    ),
    honoured(
        "http.auth.bearer.oidc[].claimMapping.username",
        Kind::Word,
        "claims.iss + '/' + claims.sub",
        "The expression of the user's name.",
    ),
    honoured(
        "http.auth.bearer.oidc[].claimMapping.groups",
        Kind::Word,
        "",
        "The expression of the groups, a list; without it there are none.",
    ),
    honoured(
        "http.auth.bearer.oidc[].certificateAuthority",
        Kind::Word,
        "",
        "The authority of the issuer's certificate, in PEM, beside the system's.",
    ),
    honoured("http.auth.bearer.oidc[].certificateAuthorityFile", Kind::Path, "", "The same, in a file."),
    honoured(
        "http.auth.bearer.oidc[].skipIssuerVerification",
        Kind::Bool,
        "false",
        "Whether a token's issuer may be any that has the keys; for tests.",
    ),
    refused(
        "http.auth.bearer.awsSecretsManager",
        Kind::Section,
        "Verification keys that rotate.",
        "have the keys in a file that is replaced, or at a url: `jwks` reads them again by itself",
    ),
    text("http.auth.bearer.awsSecretsManager.region", "The region."),
    text("http.auth.bearer.awsSecretsManager.secretName", "The name of the secret."),
    pending("http.auth.bearer.awsSecretsManager.refreshInterval", ANY_DURATION, "", "How often it is read."),
    refused(
        "http.auth.openid",
        Kind::Section,
        "Logins in a browser.",
        "there are no pages to log in to; `http.auth.bearer.oidc` takes identity tokens as they are, and `http.auth.apikey` lets users make keys",
    ),
    pending("http.auth.openid.providers", Kind::Map(Names::Any, &Kind::Section), "", "Providers by name."),
    path("http.auth.openid.providers.*.credentialsFile", "The file with the client's credentials."),
    text("http.auth.openid.providers.*.name", "What users are shown."),
    text("http.auth.openid.providers.*.clientid", "The client's name."),
    text("http.auth.openid.providers.*.clientsecret", "The client's secret."),
    path("http.auth.openid.providers.*.keypath", "The client's key."),
    text("http.auth.openid.providers.*.issuer", "The url of the issuer."),
    text("http.auth.openid.providers.*.authurl", "The url where users log in."),
    text("http.auth.openid.providers.*.tokenurl", "The url of tokens."),
    pending("http.auth.openid.providers.*.scopes", WORDS, "", "What is asked for."),
    section("http.auth.openid.providers.*.claimMapping", "How claims become a user and groups."),
    text("http.auth.openid.providers.*.claimMapping.username", "The claim of the user's name."),
    text("http.auth.openid.providers.*.claimMapping.groups", "The claim of the groups."),
    pending("http.auth.openid.callbackAllowOrigins", WORDS, "", "Where a login may return to."),
    honoured(
        "http.auth.apikey",
        Kind::Bool,
        "false",
        "Whether users may make keys for their programs, at `/auth/apikey`, which are used as passwords.",
    ),
    path("http.auth.sessionKeysFile", "The file with `hashKey` and `encryptKey` of sessions."),
    pending("http.auth.sessionDriver", Kind::Open, "", "Where sessions are kept."),
    pending("http.auth.sessionDriver.name", Kind::Choice(&["local", "redis"]), "", "On disk or in redis."),
    text("http.auth.sessionDriver.url", "redis: its url."),
    text("http.auth.sessionDriver.keyprefix", "redis: the prefix of its keys."),
    switch("http.auth.secureSession", "Whether cookies are sent by TLS alone."),
    honoured(
        "http.auth.mtls",
        Kind::Section,
        "",
        "Accounts from client certificates of `http.tls.cacert`: a request without an `Authorization` header is by whom the certificate of its connection names.",
    ),
    honoured(
        "http.auth.mtls.identityAttributes",
        Kind::List(&Kind::Choice(IDENTITY_ATTRIBUTES)),
        "",
        "Where in the certificate the name stands, in order: the first that gives one decides; the common name without this key.",
    ),
    honoured(
        "http.auth.mtls.uriSanPattern",
        Kind::UriPattern,
        "",
        "A regular expression whose first group is the name in a URI; all of the URI without it.",
    ),
    honoured("http.auth.mtls.uriSanIndex", ANY_COUNT, "0", "Which of the URIs it is, from 0."),
    honoured("http.auth.mtls.dnsSanIndex", ANY_COUNT, "0", "Which of the DNS names it is, from 0."),
    honoured("http.auth.mtls.emailSanIndex", ANY_COUNT, "0", "Which of the mail addresses it is, from 0."),
    honoured(
        "http.auth.token",
        Kind::Section,
        "",
        "Bearer tokens of our own issuing, at `/auth/token`, where there are accounts: `docker login` and its like need them.",
    ),
    honoured("http.auth.token.enable", Kind::Bool, "true", "Whether they are issued, and taken."),
    honoured(
        "http.auth.token.keyFile",
        Kind::Path,
        "",
        "The keys that sign them, in base64, each of at least 32 bytes on its own line: the first signs, all verify; without it they are made, and kept in the store.",
    ),
    honoured(
        "http.auth.token.expiry",
        Kind::Duration(MINUTE, DAY),
        "5m",
        "How long a token is good for; what its account may do is asked of the policy at each request.",
    ),
    honoured(
        "http.auth.token.refreshExpiry",
        Kind::Duration(MINUTE, YEAR),
        "720h",
        "How long a refresh token is good for; it ends when the password changes.",
    ),
    honoured(
        "http.auth.token.keyRotation",
        Kind::Duration(HOUR, YEAR),
        "720h",
        "How long a key of the store signs; it verifies until its last token has expired.",
    ),
];

const fn section(path: &'static str, meaning: &'static str) -> Key {
    pending(path, Kind::Section, "", meaning)
}

const fn text(path: &'static str, meaning: &'static str) -> Key {
    pending(path, Kind::Text, "", meaning)
}

const fn path(path: &'static str, meaning: &'static str) -> Key {
    pending(path, Kind::Path, "", meaning)
}

const fn switch(path: &'static str, meaning: &'static str) -> Key {
    pending(path, Kind::Bool, "false", meaning)
}
