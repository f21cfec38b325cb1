//! The section `storage`.

use super::{ANY_COUNT, ANY_DURATION, GLOBS, SECOND, SECTIONS, TEXTS, TIB, YEAR};
use crate::config::key::{Key, honoured, inert, pending};
use crate::config::kind::{Kind, Names};

const NO_COLLECTION: &str = "this version removes nothing that was pushed";

pub(super) const KEYS: &[Key] = &[
    honoured(
        "storage.rootDirectory",
        Kind::Path,
        "wharfinger-data",
        "The folder of all content; a relative one starts at the working directory, and zot demands one.",
    ),
    honoured(
        "storage.commit",
        Kind::Bool,
        "true",
        "Whether answers wait until the disk has the bytes; zot's default is false, and without it a push may be lost with the power.",
    ),
    honoured(
        "storage.uploadExpiry",
        Kind::Duration(SECOND, YEAR),
        "24h",
        "How long an upload may stand still.",
    )
    .limit("the upload is removed, and a later request to it is answered 404"),
    honoured("storage.maxUploads", Kind::Integer(1, 10_000_000), "10000", "Upload sessions open at once.")
        .limit("a further one is answered 429"),
    honoured(
        "storage.memoryCacheBytes",
        Kind::Size(0, TIB),
        "32MiB",
        "Bytes of manifests and small records kept in memory.",
    )
    .limit("what was not asked for lately is read from the disk again"),
    honoured(
        "storage.verifyOnRead",
        Kind::Bool,
        "false",
        "Whether a GET hashes what it sends, and cuts a body that turns out wrong.",
    ),
    inert(
        "storage.dedupe",
        Kind::Bool,
        "Whether a blob of several repositories is stored once.",
        "the layout stores every blob once",
    ),
    inert(
        "storage.fastRestart",
        Kind::Bool,
        "Whether a start may skip the walk over the store.",
        "a start never walks over the store",
    ),
    inert("storage.gc", Kind::Bool, "Whether garbage is collected.", NO_COLLECTION),
    inert("storage.gcDelay", ANY_DURATION, "How old garbage must be.", NO_COLLECTION),
    inert("storage.gcInterval", ANY_DURATION, "How often garbage is looked for.", NO_COLLECTION),
    inert("storage.gcTimeWindow", Kind::Text, "The hours in which it may be looked for.", NO_COLLECTION),
    honoured(
        "storage.bucket",
        Kind::Section,
        "",
        "A bucket instead of a folder; `rootDirectory` is then where fills are staged, if `downloadDir` names no other place.",
    ),
    honoured(
        "storage.bucket.url",
        Kind::Word,
        "",
        "Where it is: `s3://NAME/PREFIX`, `gs://NAME/PREFIX` or `az://CONTAINER/PREFIX`.",
    )
    .required(),
    honoured(
        "storage.bucket.options",
        Kind::Map(Names::Any, &Kind::Text),
        "",
        "Settings of the provider's client, such as `region`, `endpoint` or `access_key_id`; what is not said is taken from the provider's environment variables.",
    ),
    honoured(
        "storage.redirectBlobURL",
        Kind::Bool,
        "false",
        "Whether a GET of a whole blob is answered by a redirect to the bucket.",
    ),
    pending("storage.maxRepos", ANY_COUNT, "0", "How many repositories there may be; 0 is any number."),
    honoured(
        "storage.shared",
        Kind::Bool,
        "",
        "Whether several processes use this store at once; a bucket's default is true, a folder's false.",
    ),
    honoured(
        "storage.minFree",
        Kind::Percent,
        "5%",
        "The share of the disk that is left free for pushes: below it nothing more is cached.",
    )
    .limit("what is fetched is passed on to its clients and not kept"),
    pending("storage.retention", Kind::Section, "", "Which tags and manifests are removed, and when."),
    pending("storage.retention.dryRun", Kind::Bool, "false", "Whether it only says what it would remove."),
    pending("storage.retention.delay", ANY_DURATION, "", "How long what is to be removed still stays."),
    pending("storage.retention.policies", SECTIONS, "", "Policies, of which the first that matches decides."),
    pending("storage.retention.policies[].repositories", GLOBS, "", "Globs over the repositories it is for."),
    pending(
        "storage.retention.policies[].deleteReferrers",
        Kind::Bool,
        "false",
        "Whether referrers go whose subject is gone.",
    ),
    pending(
        "storage.retention.policies[].deleteUntagged",
        Kind::Bool,
        "false",
        "Whether manifests without a tag go; zot's default is true.",
    ),
    pending("storage.retention.policies[].keepTags", SECTIONS, "", "Rules, any of which keeps a tag."),
    pending("storage.retention.policies[].keepTags[].patterns", TEXTS, "", "Regular expressions over tags."),
    pending(
        "storage.retention.policies[].keepTags[].pulledWithin",
        ANY_DURATION,
        "",
        "Keeps what was pulled within this time.",
    ),
    pending(
        "storage.retention.policies[].keepTags[].pushedWithin",
        ANY_DURATION,
        "",
        "Keeps what was pushed within this time.",
    ),
    pending(
        "storage.retention.policies[].keepTags[].mostRecentlyPushedCount",
        ANY_COUNT,
        "",
        "Keeps so many that were pushed last.",
    ),
    pending(
        "storage.retention.policies[].keepTags[].mostRecentlyPulledCount",
        ANY_COUNT,
        "",
        "Keeps so many that were pulled last.",
    ),
    pending(
        "storage.retention.policies[].keepUntagged",
        Kind::Section,
        "",
        "Rules, any of which keeps a manifest without a tag.",
    ),
    pending(
        "storage.retention.policies[].keepUntagged.pulledWithin",
        ANY_DURATION,
        "",
        "Keeps what was pulled within this time.",
    ),
    pending(
        "storage.retention.policies[].keepUntagged.pushedWithin",
        ANY_DURATION,
        "",
        "Keeps what was pushed within this time.",
    ),
    pending(
        "storage.retention.policies[].keepUntagged.mostRecentlyPushedCount",
        ANY_COUNT,
        "",
        "Keeps so many that were pushed last.",
    ),
    pending(
        "storage.retention.policies[].keepUntagged.mostRecentlyPulledCount",
        ANY_COUNT,
        "",
        "Keeps so many that were pulled last.",
    ),
    honoured(
        "storage.subPaths",
        Kind::Map(Names::Any, &Kind::Like("storage")),
        "",
        "Stores of their own by the first component of the names that are pushed here, such as `/team`, each with its own `rootDirectory`; what they do not say is as in `storage`. What is cached of an upstream is in its `storage`.",
    ),
];
