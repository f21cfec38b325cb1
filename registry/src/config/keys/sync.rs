//! The section `extensions.sync`.

use std::time::Duration;

use super::{ANY_COUNT, ANY_DURATION, HOUR, KIB, MIB, SECTIONS, TIB, WORDS};
use crate::config::key::{Key, honoured, inert, later, pending};
use crate::config::kind::Kind;

/// A wait for an upstream: not so short that none can answer, not so long that it is no limit.
const WAIT: Kind = Kind::Duration(Duration::from_millis(1), HOUR);

pub(super) const KEYS: &[Key] = &[
    honoured("extensions.sync.enable", Kind::Bool, "true", "Whether the registries below are asked."),
    later(
        "extensions.sync.credentialsFile",
        Kind::Path,
        "",
        "Users and passwords by the host of the upstream.",
    ),
    inert(
        "extensions.sync.downloadDir",
        Kind::Path,
        "A folder for what is under way.",
        "what is under way is staged in the store itself",
    ),
    honoured(
        "extensions.sync.registries",
        SECTIONS,
        "",
        "Upstreams, asked in order; the next is asked only after this one said 404.",
    ),
    honoured(
        "extensions.sync.registries[].name",
        Kind::UpstreamName,
        "",
        "Its unique name, and the folder of its cache; the default is the first url's host and port.",
    ),
    honoured(
        "extensions.sync.registries[].urls",
        Kind::Filled(&Kind::Origin),
        "",
        "Mirrors of the same content, asked in order, each `http(s)://host[:port]`.",
    )
    .required(),
    honoured(
        "extensions.sync.registries[].onDemand",
        Kind::Bool,
        "false",
        "Whether a request for what is not here asks it.",
    ),
    honoured(
        "extensions.sync.registries[].tlsVerify",
        Kind::Bool,
        "true",
        "Whether its certificate must verify.",
    ),
    honoured(
        "extensions.sync.registries[].certDir",
        Kind::Path,
        "",
        "A folder whose `ca.crt` holds authorities to trust beside the system's; a client certificate there is not supported yet.",
    ),
    honoured(
        "extensions.sync.registries[].content",
        SECTIONS,
        "",
        "Which names it answers for; all, if there is no such list.",
    ),
    honoured(
        "extensions.sync.registries[].content[].prefix",
        Kind::Glob,
        "",
        "A glob over repository names; a slash in front is dropped.",
    )
    .required(),
    pending(
        "extensions.sync.registries[].content[].destination",
        Kind::Text,
        "",
        "The path under which they appear here.",
    ),
    pending(
        "extensions.sync.registries[].content[].stripPrefix",
        Kind::Bool,
        "false",
        "Whether the prefix is left out there.",
    ),
    later("extensions.sync.registries[].content[].tags", Kind::Section, "", "Which tags are mirrored."),
    later("extensions.sync.registries[].content[].tags.regex", Kind::Text, "", "Those that match."),
    later(
        "extensions.sync.registries[].content[].tags.excludeRegex",
        Kind::Text,
        "",
        "Not those that match.",
    ),
    later(
        "extensions.sync.registries[].content[].tags.semver",
        Kind::Bool,
        "false",
        "Those that are versions.",
    ),
    honoured(
        "extensions.sync.registries[].connectTimeout",
        WAIT,
        "10s",
        "How long a connection to it may take.",
    )
    .limit("the next url is asked; after the last, the answer is 504"),
    honoured(
        "extensions.sync.registries[].responseTimeout",
        WAIT,
        "30s",
        "How long the head of its answer, or the next bytes of the body, may take.",
    )
    .limit("the next url is asked; after the last, the answer is 504, and a body that was started is cut"),
    honoured(
        "extensions.sync.registries[].checkTimeout",
        WAIT,
        "3s",
        "How long everything before the answer to a cached tag may take.",
    )
    .limit("the cached tag is served as it is, with a `Warning`"),
    honoured(
        "extensions.sync.registries[].manifestCheckInterval",
        ANY_DURATION,
        "0s",
        "How long a cached tag is served without asking; 0 asks every time.",
    ),
    honoured(
        "extensions.sync.registries[].reqConcurrent",
        Kind::Integer(1, 10_000),
        "64",
        "Requests open at it at once; zot's default is 3.",
    )
    .limit("further ones wait"),
    honoured(
        "extensions.sync.registries[].maxManifestBytes",
        Kind::Size(KIB, 8 * MIB),
        "4MiB",
        "The largest manifest taken from it.",
    )
    .limit("a larger one is not stored, the next url is asked; after the last, the answer is 502"),
    later(
        "extensions.sync.registries[].maxRetries",
        ANY_COUNT,
        "",
        "How often a failed attempt is repeated.",
    ),
    later(
        "extensions.sync.registries[].retryDelay",
        ANY_DURATION,
        "",
        "How long before the first repetition.",
    ),
    later(
        "extensions.sync.registries[].maxRetryDelay",
        ANY_DURATION,
        "",
        "How long before the later ones at most.",
    ),
    later(
        "extensions.sync.registries[].pollInterval",
        ANY_DURATION,
        "0s",
        "How often everything is mirrored.",
    ),
    pending(
        "extensions.sync.registries[].onlySigned",
        Kind::Bool,
        "false",
        "Whether what is not signed is left out.",
    ),
    later(
        "extensions.sync.registries[].syncLegacyCosignTags",
        Kind::Bool,
        "false",
        "Whether signatures in tags are mirrored too; zot's default is true.",
    ),
    inert(
        "extensions.sync.registries[].preserveDigest",
        Kind::Bool,
        "Whether Docker's manifests stay what they are.",
        "every manifest is stored byte for byte as it comes, so a digest never changes",
    ),
    later("extensions.sync.registries[].syncTimeout", ANY_DURATION, "", "How long a whole image may take."),
    later("extensions.sync.registries[].reqPerSec", ANY_COUNT, "", "How many requests a second it is sent."),
    later(
        "extensions.sync.registries[].disableHTTP2",
        Kind::Bool,
        "false",
        "Whether only HTTP/1.1 is spoken to it.",
    ),
    later(
        "extensions.sync.registries[].maxIdleConnsPerHost",
        ANY_COUNT,
        "",
        "How many idle connections are kept.",
    ),
    later(
        "extensions.sync.registries[].credentialHelper",
        Kind::Text,
        "",
        "What makes temporary credentials: ecr, gcp or oauth2.",
    ),
    helper("extensions.sync.registries[].oauth2CredentialHelper", Kind::Section, "How oauth2 makes them."),
    helper("extensions.sync.registries[].oauth2CredentialHelper.tokenURL", Kind::Text, "The url of tokens."),
    helper("extensions.sync.registries[].oauth2CredentialHelper.assertionFile", Kind::Path, "The assertion."),
    helper(
        "extensions.sync.registries[].oauth2CredentialHelper.signingFile",
        Kind::Path,
        "The key that signs one.",
    ),
    helper("extensions.sync.registries[].oauth2CredentialHelper.grantType", Kind::Text, "The grant."),
    helper("extensions.sync.registries[].oauth2CredentialHelper.clientID", Kind::Text, "The client's name."),
    helper(
        "extensions.sync.registries[].oauth2CredentialHelper.clientSecretFile",
        Kind::Path,
        "The client's secret.",
    ),
    helper("extensions.sync.registries[].oauth2CredentialHelper.scopes", WORDS, "What is asked for."),
    helper("extensions.sync.registries[].oauth2CredentialHelper.username", Kind::Text, "The user."),
    helper("extensions.sync.registries[].oauth2CredentialHelper.audience", Kind::Text, "The audience."),
    helper(
        "extensions.sync.registries[].oauth2CredentialHelper.subjectTokenType",
        Kind::Text,
        "The type of the token given.",
    ),
    helper(
        "extensions.sync.registries[].oauth2CredentialHelper.requestedTokenType",
        Kind::Text,
        "The type of the token asked for.",
    ),
    pending(
        "extensions.sync.registries[].namespaces",
        WORDS,
        "",
        "The registries it stands for; the default is the hosts of its urls.",
    ),
    pending(
        "extensions.sync.registries[].fallThrough",
        Kind::Choice(&["notFound", "never", "any"]),
        "notFound",
        "After which answers the next upstream is asked.",
    ),
    pending(
        "extensions.sync.registries[].fetch",
        Kind::Choice(&["implied", "explicit"]),
        "implied",
        "Whether reading gives the right to cause a fetch.",
    ),
    pending(
        "extensions.sync.registries[].onUpstreamDenied",
        Kind::Choice(&["keep", "follow"]),
        "keep",
        "What a refusal by the upstream does to a cached tag.",
    ),
    pending(
        "extensions.sync.registries[].deniedStaleMax",
        ANY_DURATION,
        "",
        "How long a cached tag is served after such a refusal.",
    ),
    later(
        "extensions.sync.registries[].onUpstreamDelete",
        Kind::Choice(&["keep", "follow"]),
        "keep",
        "What the upstream's 404 does to a cached tag.",
    ),
    later(
        "extensions.sync.registries[].staleMaxAge",
        ANY_DURATION,
        "",
        "How old a tag may be served while it is down.",
    ),
    later(
        "extensions.sync.registries[].staleWhileRevalidate",
        ANY_DURATION,
        "",
        "How old a tag may be served while it is asked.",
    ),
    later("extensions.sync.registries[].negativeTtl", ANY_DURATION, "", "How long a 404 is remembered."),
    later(
        "extensions.sync.registries[].onDemandTimeout",
        ANY_DURATION,
        "",
        "How long a client waits for the start of an attempt.",
    ),
    later(
        "extensions.sync.registries[].maxRetryAfter",
        ANY_DURATION,
        "",
        "The longest Retry-After that is obeyed.",
    ),
    later("extensions.sync.registries[].cache", Kind::Section, "", "How much of it is kept."),
    later(
        "extensions.sync.registries[].cache.maxBytes",
        Kind::Size(0, u64::MAX),
        "",
        "How many bytes are kept.",
    ),
    later("extensions.sync.registries[].cache.maxAge", ANY_DURATION, "", "How long after the last pull."),
    later("extensions.sync.registries[].storage", Kind::Like("storage"), "", "A store of its own."),
    later(
        "extensions.sync.registries[].authRealms",
        WORDS,
        "",
        "Token issuers that may be sent its credentials.",
    ),
    later("extensions.sync.registries[].platforms", WORDS, "", "The platforms that are mirrored."),
    later(
        "extensions.sync.registries[].mirrorDeleteMax",
        ANY_COUNT,
        "",
        "How many tags mirroring may remove at once.",
    ),
    later(
        "extensions.sync.registries[].overlay",
        Kind::Bool,
        "false",
        "Whether its tags are merged with pushed ones.",
    ),
    later(
        "extensions.sync.registries[].trustMembership",
        Kind::Bool,
        "false",
        "Whether its word is enough to serve bytes that are here.",
    ),
    later(
        "extensions.sync.registries[].rangeWait",
        Kind::Size(0, TIB),
        "",
        "How far ahead a range waits for a fill.",
    ),
    later(
        "extensions.sync.registries[].rangeFetchMax",
        Kind::Size(0, TIB),
        "",
        "How much one cold range fetches.",
    ),
    later(
        "extensions.sync.registries[].coldRange",
        Kind::Choice(&["fetch", "wait"]),
        "fetch",
        "Whether a range of a cold blob is fetched by itself.",
    ),
    later(
        "extensions.sync.registries[].minThroughput",
        Kind::Size(0, TIB),
        "",
        "Bytes a second below which it failed.",
    ),
    later("extensions.sync.backgroundFills", ANY_COUNT, "", "Schedules of repetitions at once."),
    later(
        "extensions.sync.unknownNamespace",
        Kind::Choice(&["route", "hosted"]),
        "route",
        "What becomes of a `ns` that no upstream claims.",
    ),
];

const fn helper(path: &'static str, kind: Kind, meaning: &'static str) -> Key {
    later(path, kind, "", meaning)
}
