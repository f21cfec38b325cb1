//! The section `extensions.sync`.

use std::time::Duration;

use super::{ANY_COUNT, ANY_DURATION, HOUR, KIB, MIB, RATE, SECOND, SECTIONS, TIB, WORDS, YEAR};
use crate::config::key::{Key, honoured, inert};
use crate::config::kind::Kind;
use crate::upstream::options::Grant;

/// A wait for an upstream: not so short that none can answer, not so long that it is no limit.
const WAIT: Kind = Kind::Duration(Duration::from_millis(1), HOUR);
/// A wait for something large.
const WAIT_LONG: Kind = Kind::Duration(SECOND, YEAR);

pub(super) const KEYS: &[Key] = &[
    honoured("extensions.sync.enable", Kind::Bool, "true", "Whether the registries below are asked."),
    honoured(
        "extensions.sync.credentialsFile",
        Kind::Path,
        "",
        "A JSON file of accounts by the host of an upstream's url, as `{\"host:port\": {\"username\": \"…\", \"password\": \"…\"}}`; it is read again when it changes.",
    ),
    honoured(
        "extensions.sync.downloadDir",
        Kind::Path,
        "",
        "The folder in which fills of stores in buckets are staged; stores in folders stage their own.",
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
        "A folder whose `ca.crt` holds authorities to trust beside the system's, and whose `client.cert` and `client.key` are shown to it.",
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
    honoured("extensions.sync.registries[].content[].destination", Kind::Text, "", "The path under which they appear here."),
    honoured(
        "extensions.sync.registries[].content[].stripPrefix",
        Kind::Bool,
        "false",
        "Whether what stands before the glob's first `*` is left out here.",
    ),
    honoured("extensions.sync.registries[].content[].tags", Kind::Section, "", "Which tags are mirrored; pulls may ask for any."),
    honoured("extensions.sync.registries[].content[].tags.regex", Kind::Regex, "", "Those that match somewhere."),
    honoured("extensions.sync.registries[].content[].tags.excludeRegex", Kind::Regex, "", "Not those that match somewhere."),
    honoured("extensions.sync.registries[].content[].tags.semver", Kind::Bool, "false", "Only those that are versions, such as `v1.26.0`."),
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
        "How long the head of its answer, the next bytes of a blob, or the whole of anything smaller may take.",
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
    honoured(
        "extensions.sync.registries[].maxRetries",
        ANY_COUNT,
        "2",
        "How often a failed attempt is repeated; an attempt asks every url once.",
    )
    .limit("the answer is what the last attempt failed with; the next request attempts anew"),
    honoured("extensions.sync.registries[].retryDelay", ANY_DURATION, "1s", "How long before the first repetition; before a later one twice as long as before the one that it follows."),
    honoured(
        "extensions.sync.registries[].maxRetryDelay",
        ANY_DURATION,
        "",
        "How long before a later repetition at most; the default is `retryDelay`.",
    )
    .limit("no wait is longer, unless the upstream asks for it"),
    honoured("extensions.sync.registries[].pollInterval", ANY_DURATION, "0s", "How often what `content` names is mirrored; 0 never. An upstream whose prefixes have globs must have a catalog."),
    honoured("extensions.sync.registries[].onlySigned", Kind::Bool, "false", "Whether only images that have a signature are taken from it; who signed is not looked at."),
    honoured("extensions.sync.registries[].syncLegacyCosignTags", Kind::Bool, "true", "Whether signatures in tags are mirrored with their image."),
    inert(
        "extensions.sync.registries[].preserveDigest",
        Kind::Bool,
        "Whether Docker's manifests stay what they are.",
        "every manifest is stored byte for byte as it comes, so a digest never changes",
    ),
    honoured("extensions.sync.registries[].syncTimeout", WAIT_LONG, "3h", "How long one tag may take to be mirrored.").limit("the next tag is mirrored; this one when it is its turn again"),
    honoured("extensions.sync.registries[].reqPerSec", RATE, "", "Requests a second that it is sent; without it, as many as there are.")
        .limit("further ones wait for their turn, as long as for an answer: then the answer is 504"),
    honoured(
        "extensions.sync.registries[].disableHTTP2",
        Kind::Bool,
        "false",
        "Whether only HTTP/1.1 is spoken to it.",
    ),
    honoured(
        "extensions.sync.registries[].maxIdleConnsPerHost",
        Kind::Integer(0, 10_000),
        "64",
        "Idle connections that are kept to each of its hosts; zot's default is 2.",
    )
    .limit("further ones are closed after their request"),
    honoured(
        "extensions.sync.registries[].credentialHelper",
        Kind::Helper,
        "",
        "The docker credential helper that knows its account: the program `docker-credential-NAME`; `ecr` and `gcp` are those of their clouds, and `oauth2` asks a token endpoint instead.",
    ),
    honoured(
        "extensions.sync.registries[].oauth2CredentialHelper",
        Kind::Section,
        "",
        "Where the temporary tokens of the credential helper `oauth2` come from; one is had for all urls of the upstream, and renewed before it ends.",
    ),
    honoured(
        "extensions.sync.registries[].oauth2CredentialHelper.tokenURL",
        Kind::Url,
        "",
        "The url of the token endpoint, which is asked without following redirects; its certificate must verify, whatever `tlsVerify` says.",
    )
    .required(),
    honoured(
        "extensions.sync.registries[].oauth2CredentialHelper.assertionFile",
        Kind::Path,
        "",
        "A file with a signed assertion (a JWT), such as a projected token of Kubernetes; it is read for each exchange. Either this or `signingFile`.",
    ),
    honoured(
        "extensions.sync.registries[].oauth2CredentialHelper.signingFile",
        Kind::Path,
        "",
        "A JSON file by which an assertion is signed for each exchange: `privateKeyFile` (PEM), `algorithm` (such as `ES256`), and `keyId`, `issuer`, `subject` (default: `clientID`), `audience` (default: `tokenURL`).",
    ),
    honoured(
        "extensions.sync.registries[].oauth2CredentialHelper.grantType",
        Kind::Choice(&Grant::NAMES),
        "client_credentials",
        "What the assertion is exchanged as: the client's proof of who it is or a grant (RFC 7523), or a token for another one (RFC 8693).",
    ),
    honoured(
        "extensions.sync.registries[].oauth2CredentialHelper.clientID",
        Kind::Word,
        "",
        "The client's name at the endpoint.",
    ),
    honoured(
        "extensions.sync.registries[].oauth2CredentialHelper.clientSecretFile",
        Kind::Path,
        "",
        "A file with the client's secret; it is read for each exchange.",
    ),
    honoured(
        "extensions.sync.registries[].oauth2CredentialHelper.scopes",
        WORDS,
        "",
        "What the token is asked for.",
    ),
    honoured(
        "extensions.sync.registries[].oauth2CredentialHelper.username",
        Kind::Word,
        "<token>",
        "The user whose password the token is, at the upstream or the token service that it names.",
    ),
    honoured(
        "extensions.sync.registries[].oauth2CredentialHelper.audience",
        Kind::Word,
        "",
        "For whom the token is, if the endpoint wants to know.",
    ),
    honoured(
        "extensions.sync.registries[].oauth2CredentialHelper.subjectTokenType",
        Kind::Word,
        "urn:ietf:params:oauth:token-type:jwt",
        "What the assertion is, in a token exchange.",
    ),
    honoured(
        "extensions.sync.registries[].oauth2CredentialHelper.requestedTokenType",
        Kind::Word,
        "",
        "What is wanted for it, in a token exchange.",
    ),
    honoured(
        "extensions.sync.registries[].namespaces",
        WORDS,
        "",
        "The registries it stands for, as clients name them in `ns` or as the first part of a name; the default is the hosts of its urls.",
    ),
    honoured(
        "extensions.sync.registries[].fallThrough",
        Kind::Choice(&["notFound", "never", "any"]),
        "notFound",
        "After which answers the next upstream is asked; after `any`, an outage of this one lets another one answer for its names.",
    ),
    honoured("extensions.sync.registries[].fetch", Kind::Choice(&["implied", "explicit"]), "implied", "Whether who may read may have it asked for what is not here, or must have the right to `fetch`."),
    honoured(
        "extensions.sync.registries[].onUpstreamDenied",
        Kind::Choice(&["keep", "follow"]),
        "keep",
        "Whether a cached tag is served although the upstream refuses access, or refused as well.",
    ),
    honoured(
        "extensions.sync.registries[].deniedStaleMax",
        ANY_DURATION,
        "24h",
        "How long after its last check a cached tag is served against a refusal.",
    )
    .limit("the answer is 403"),
    honoured(
        "extensions.sync.registries[].onUpstreamDelete",
        Kind::Choice(&["keep", "follow"]),
        "keep",
        "Whether a cached tag is served although the upstream has no such tag any more, or gone as well.",
    ),
    honoured(
        "extensions.sync.registries[].staleMaxAge",
        ANY_DURATION,
        "",
        "How long after its last check a cached tag is served while it cannot be checked; without it, for ever.",
    )
    .limit("the answer is what the check failed with"),
    honoured(
        "extensions.sync.registries[].staleWhileRevalidate",
        ANY_DURATION,
        "0s",
        "How long after its last check a cached tag is served at once and checked afterwards; 0 never.",
    ),
    honoured("extensions.sync.registries[].negativeTtl", ANY_DURATION, "10s", "How long it is remembered that something is not there or not for us; 0 not at all."),
    honoured(
        "extensions.sync.registries[].onDemandTimeout",
        ANY_DURATION,
        "20s",
        "How long after its request a client waits for an attempt to begin.",
    )
    .limit("it is told what the last attempt failed with, and the others go on in the background"),
    honoured("extensions.sync.registries[].maxRetryAfter", ANY_DURATION, "15m", "The longest Retry-After that is obeyed.")
        .limit("a longer one is this long"),
    honoured(
        "extensions.sync.registries[].breakerFailures",
        ANY_COUNT,
        "5",
        "Failures in a row after which a url is not asked for a while; 0 is never.",
    )
    .limit("the next url is asked at once; after the last, the answer is 503 with `Retry-After`"),
    honoured("extensions.sync.registries[].breakerDelay", WAIT, "10s", "How long it is not asked then, before one request tries."),
    honoured("extensions.sync.registries[].cache", Kind::Section, "", "How much of it is kept."),
    honoured("extensions.sync.registries[].cache.maxBytes", Kind::Size(1, u64::MAX), "", "How many bytes are kept; without it, all. What was mirrored is kept beside.").limit("the image that was pulled least recently goes"),
    honoured("extensions.sync.registries[].cache.maxAge", Kind::Duration(SECOND, YEAR), "", "How long after its last pull a manifest is kept; without it, for ever.").limit("it goes, with the blobs that no other needs"),
    honoured("extensions.sync.registries[].storage", Kind::Like("storage"), "", "A store of its own, with its own `rootDirectory`; what it does not say is as in `storage`."),
    honoured(
        "extensions.sync.registries[].authRealms",
        WORDS,
        "",
        "Hosts of token services that may be shown its account, beside its own host's and Docker Hub's.",
    ),
    honoured("extensions.sync.registries[].platforms", WORDS, "", "The platforms that are mirrored, such as `linux/amd64`; without it, all."),
    honoured("extensions.sync.registries[].mirrorDeleteMax", ANY_COUNT, "", "How many tags that it has no more may be removed from a repository at once, where `onUpstreamDelete` is `follow`; the default is a tenth of them.").limit("none of them is removed, and the log says so"),
    honoured("extensions.sync.registries[].overlay", Kind::Bool, "false", "Whether a name that was pushed to has its tags as well: what was pushed comes first, and a tag that is deleted here stays deleted. Without it, a name with anything pushed is hosted only."),
    honoured("extensions.sync.registries[].trustMembership", Kind::Bool, "false", "Whether bytes that are here for one repository of it are served for another without asking it; who may read one could then read the other's by digest."),
    honoured("extensions.sync.registries[].rangeWait", Kind::Size(0, TIB), "8MiB", "How far ahead of what has arrived of a blob a range may begin that waits for it.").limit("it is fetched by itself"),
    honoured("extensions.sync.registries[].rangeFetchMax", Kind::Size(KIB, TIB), "16MiB", "How much such a range fetches at a time; of one blob at most 4 at once.").limit("the rest is fetched when that has been read; further ones wait for their turn"),
    honoured("extensions.sync.registries[].coldRange", Kind::Choice(&["fetch", "wait"]), "fetch", "Whether such a range is fetched by itself, or waits for the blob all the same."),
    honoured(
        "extensions.sync.registries[].minThroughput",
        Kind::Size(0, TIB),
        "1KiB",
        "Bytes a second below which a body has failed, measured over 30 seconds.",
    )
    .limit("the attempt has failed, and the next one goes on where it stopped"),
    honoured(
        "extensions.sync.backgroundFills",
        Kind::Integer(0, 1_000_000),
        "1000",
        "Manifests, and apart from them blobs, whose repetitions go on at once without a client that waits.",
    )
    .limit("further ones end with the last attempt that a client waited for"),
    honoured(
        "extensions.sync.unknownNamespace",
        Kind::Choice(&["route", "hosted"]),
        "route",
        "Whether a `ns` that no upstream claims is as if there were none, or leads to what is hosted here alone.",
    ),
];
