//! The keys at the top, and the sections `log`, `scheduler` and `cluster`.

use super::{ANY_COUNT, TEXTS};
use crate::config::key::{Key, honoured, inert, refused};
use crate::config::kind::Kind;

const ONE_BUCKET: &str =
    "replicas do not forward requests to each other; they are to share one bucket instead (`storage.bucket`)";

pub(super) const KEYS: &[Key] = &[
    inert(
        "distSpecVersion",
        Kind::Text,
        "The version of the distribution specification the file was written for.",
        "the server speaks the version that it was built for",
    ),
    honoured("log", Kind::Section, "", "What is logged, and how."),
    honoured(
        "log.level",
        Kind::Choice(&["trace", "debug", "info", "warn", "error"]),
        "info",
        "The least severe level that is written; zot's default is debug.",
    ),
    honoured(
        "log.format",
        Kind::Choice(&["auto", "human", "json"]),
        "auto",
        "The form of a line: for eyes, one JSON object, or the first on a terminal and the second elsewhere.",
    ),
    honoured(
        "log.output",
        Kind::Path,
        "stderr",
        "Where the log goes: `stderr`, `stdout`, or a file, which may be renamed away; zot's default is stdout.",
    ),
    honoured(
        "log.audit",
        Kind::Text,
        "",
        "A file, or `stderr`, that records who changed what, who was refused and who could not log in; without it nothing is recorded.",
    ),
    inert(
        "scheduler",
        Kind::Section,
        "The pool of zot's background tasks.",
        "background work has its own limits",
    ),
    inert("scheduler.numWorkers", ANY_COUNT, "The size of that pool.", "background work has its own limits"),
    refused(
        "cluster",
        Kind::Section,
        "zot's scale-out cluster, which forwards requests to their owner.",
        ONE_BUCKET,
    ),
    refused("cluster.members", TEXTS, "The members of the cluster.", ONE_BUCKET),
    refused("cluster.hashKey", Kind::Text, "The key by which members own repositories.", ONE_BUCKET),
    refused("cluster.tls", Kind::Section, "TLS between the members.", ONE_BUCKET),
    refused("cluster.tls.cert", Kind::Path, "The certificate of a member.", ONE_BUCKET),
    refused("cluster.tls.key", Kind::Path, "The key of a member.", ONE_BUCKET),
    refused("cluster.tls.cacert", Kind::Path, "The authority of the members.", ONE_BUCKET),
    honoured("storage", Kind::Section, "", "Where and how content is stored."),
    honoured("http", Kind::Section, "", "Where to listen, who may do what, and the limits of the wire."),
    honoured(
        "extensions",
        Kind::Section,
        "",
        "What goes beyond the specification; an empty section enables an extension with its defaults.",
    ),
    honoured("extensions.metrics", Kind::Section, "", "The metrics endpoint."),
    honoured(
        "extensions.metrics.enable",
        Kind::Bool,
        "true",
        "Whether there is a metrics endpoint; zot has none unless it is configured.",
    ),
    honoured("extensions.metrics.prometheus", Kind::Section, "", "The endpoint in Prometheus's format."),
    honoured("extensions.metrics.prometheus.path", Kind::Endpoint, "/metrics", "Its path."),
    honoured("extensions.sync", Kind::Section, "", "Other registries whose content is served and cached."),
];
