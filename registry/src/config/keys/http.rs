//! The section `http`, but for `http.auth` and `http.accessControl`.

use std::time::Duration;

use super::{ANY_DURATION, HOUR, KIB, MIB, RATE, SECTIONS, TEXTS, TIB};
use crate::config::key::{Key, honoured, inert, pending};
use crate::config::kind::Kind;

const MISSING: Kind = Kind::Choice(&["refuse", "accept"]);
const METHOD: Kind = Kind::Choice(&["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"]);

const MOST_ITEMS: u64 = 1_000_000;
const MILLISECOND: Duration = Duration::from_millis(1);

pub(super) const KEYS: &[Key] = &[
    honoured("http.address", Kind::Address, "127.0.0.1", "The IP address to listen on."),
    honoured(
        "http.port",
        Kind::Port,
        "5000",
        "The TCP port to listen on, a number or a string; 0 lets the kernel choose, and zot's default is 8080.",
    ),
    honoured(
        "http.realm",
        Kind::Quotable,
        "wharfinger",
        "The realm that challenges name; zot's default is empty.",
    ),
    honoured(
        "http.readTimeout",
        ANY_DURATION,
        "1m",
        "How long a request body may stand still; 0 is for ever.",
    )
    .limit("the connection is closed; zot bounds the whole request by it"),
    honoured(
        "http.writeTimeout",
        ANY_DURATION,
        "1m",
        "How long a response body may stand still; 0 is for ever.",
    )
    .limit("the connection is closed; zot bounds the whole response by it"),
    honoured("http.auth", Kind::Section, "", "Who somebody is."),
    honoured(
        "http.accessControl",
        Kind::Section,
        "",
        "Who may do what; an empty section lets nobody do anything.",
    ),
    honoured(
        "http.missingReferences",
        Kind::Section,
        "",
        "What becomes of a pushed manifest that refers to content which is not here.",
    ),
    honoured(
        "http.missingReferences.image",
        MISSING,
        "refuse",
        "What becomes of an image without its blobs.",
    ),
    honoured(
        "http.missingReferences.index",
        MISSING,
        "refuse",
        "What becomes of an index without its manifests.",
    ),
    honoured("http.limits", Kind::Section, "", "Limits of the wire."),
    honoured(
        "http.limits.maxManifestBytes",
        Kind::Size(KIB, 8 * MIB),
        "4MiB",
        "The largest manifest accepted.",
    )
    .limit("a larger one is answered 413"),
    honoured(
        "http.limits.maxBlobBytes",
        Kind::Size(0, 1_024 * TIB),
        "0",
        "The largest blob accepted; 0 is any size.",
    )
    .limit("a larger one is answered 413"),
    honoured(
        "http.limits.maxHeaderBytes",
        Kind::Size(8 * KIB, 16 * MIB),
        "64KiB",
        "The largest request head.",
    )
    .limit("a larger one is answered 431"),
    honoured(
        "http.limits.maxConnections",
        Kind::Integer(1, MOST_ITEMS),
        "16384",
        "Connections open at once.",
    )
    .limit("further ones wait in the kernel's backlog"),
    honoured(
        "http.limits.maxConnectionsPerClient",
        Kind::Integer(0, MOST_ITEMS),
        "0",
        "Connections of one client, by its address or the /64 of an IPv6 address; 0 is any number, and those of trusted proxies are not counted.",
    )
    .limit("further ones are closed"),
    honoured(
        "http.limits.maxRequestsPerSecond",
        Kind::Integer(0, 1_000_000),
        "0",
        "Requests a second of all clients together; 0 is any number. A second's worth may come at once, and the probes and the metrics endpoint are not counted.",
    )
    .limit("further requests are answered 429 with `Retry-After`"),
    honoured(
        "http.limits.maxTagsPerPush",
        Kind::Integer(0, 10_000),
        "100",
        "Tags that one manifest push may set.",
    )
    .limit("more are answered 414"),
    honoured("http.limits.maxRanges", Kind::Integer(0, 1_024), "16", "Ranges served of one request.")
        .limit("more are answered by the whole blob"),
    honoured(
        "http.limits.maxPageItems",
        Kind::Integer(1, MOST_ITEMS),
        "10000",
        "Names on one page of tags or repositories.",
    )
    .limit("a larger `n` is cut to it, and the rest follows by `Link`"),
    honoured(
        "http.limits.maxReferrersPageBytes",
        Kind::Size(KIB, 64 * MIB),
        "4MiB",
        "Bytes of one page of referrers.",
    )
    .limit("the rest follows by `Link`"),
    honoured(
        "http.limits.headerTimeout",
        Kind::Duration(MILLISECOND, HOUR),
        "75s",
        "How long a connection may wait for a request, and its head take to arrive; of HTTP/2, also how long one may \
         take in nothing of an answer.",
    )
    .limit("the connection is closed; of HTTP/2, it is told to go, and cut after as long again"),
    honoured(
        "http.limits.drainTimeout",
        ANY_DURATION,
        "30s",
        "How long SIGTERM waits for requests under way.",
    )
    .limit("what is still under way is cut off"),
    honoured(
        "http.ratelimit",
        Kind::Section,
        "",
        "How many requests the server takes in a second from each client, by its address or the /64 of an IPv6 address; a second's worth may come at once, and the probes are not counted. Behind proxies, see `http.trustedProxies`.",
    ),
    honoured(
        "http.ratelimit.rate",
        RATE,
        "",
        "Requests a second of a client, of all methods together; without it they have no common limit.",
    )
    .limit("further requests are answered 429 with `Retry-After`"),
    honoured(
        "http.ratelimit.methods",
        SECTIONS,
        "",
        "Rates of single methods, which hold beside that of all.",
    ),
    honoured("http.ratelimit.methods[].method", METHOD, "", "The method; HEAD is not part of GET.")
        .required(),
    honoured("http.ratelimit.methods[].rate", RATE, "", "Requests a second of this method.")
        .limit("further requests of the method are answered 429 with `Retry-After`")
        .required(),
    inert(
        "http.compat",
        TEXTS,
        "Foreign manifest formats to accept.",
        "Docker's manifests are stored byte for byte as pushed, without a switch",
    ),
    honoured(
        "http.externalUrl",
        Kind::Url,
        "",
        "The url under which clients reach this server, for where they get tokens; without it, they are sent to where they came.",
    ),
    honoured(
        "http.trustedProxies",
        Kind::List(&Kind::Network),
        "",
        "Networks of proxies that are believed when they say whom a request is from (`Forwarded`, `X-Forwarded-For`) and how it was asked for (`X-Forwarded-Proto`, `X-Forwarded-Host`); ours, and by default nobody is.",
    ),
    pending("http.allowOrigin", Kind::Text, "", "The origin that browsers may call from."),
    honoured(
        "http.tls",
        Kind::Section,
        "",
        "TLS of the listener; the files are read again when they change.",
    ),
    honoured(
        "http.tls.cert",
        Kind::Path,
        "",
        "The certificate in PEM form, the server's own first and those of its authorities behind it.",
    )
    .required(),
    honoured("http.tls.key", Kind::Path, "", "Its key in PEM form, not encrypted.").required(),
    honoured(
        "http.tls.cacert",
        Kind::Path,
        "",
        "The authorities of client certificates in PEM form: a client may show one, and one that it shows must be of theirs.",
    ),
    honoured(
        "http.tls.minVersion",
        Kind::Choice(&["1.2", "1.3"]),
        "1.2",
        "The oldest version of TLS that is spoken, in quotes.",
    ),
    honoured(
        "http.tls.handshakeTimeout",
        Kind::Duration(MILLISECOND, HOUR),
        "10s",
        "How long a handshake may take.",
    )
    .limit("the connection is closed"),
];
