//! The section `storage`.

use super::{ANY_COUNT, ANY_DURATION, GLOBS, SECOND, SECTIONS, TIB, YEAR};
use crate::config::key::{Key, honoured, inert, pending};
use crate::config::kind::{Kind, Names};

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
    honoured(
        "storage.gc",
        Kind::Bool,
        "true",
        "Whether the server looks for garbage: blobs that no manifest needs, and content that nothing links. Without a policy under `retention` no manifest and no tag is ever removed; zot removes manifests without a tag.",
    ),
    honoured(
        "storage.gcDelay",
        Kind::Duration(SECOND, YEAR),
        "1h",
        "How long garbage stays after it was last pushed, mounted or asked for: the time a client has between a blob and the manifest that needs it.",
    )
    .limit("a client that is slower may be told that a blob is missing, and pushes it again"),
    honoured(
        "storage.gcInterval",
        Kind::Duration(SECOND, YEAR),
        "1h",
        "How long the server waits between two looks for garbage.",
    ),
    honoured(
        "storage.gcTimeWindow",
        Kind::Hours,
        "",
        "The hours, in UTC, in which it may begin to look for garbage, such as `01:00-05:00`; without it, all.",
    ),
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
    honoured("storage.retention", Kind::Section, "", "Which tags and manifests are removed, and when: with each look for garbage, and by `wharfinger gc`."),
    honoured("storage.retention.dryRun", Kind::Bool, "false", "Whether it only logs and counts what it would remove."),
    honoured("storage.retention.delay", ANY_DURATION, "24h", "How old a manifest without a tag, or a referrer without its subject, must be to go."),
    honoured("storage.retention.policies", SECTIONS, "", "Policies, of which the first that matches decides."),
    honoured("storage.retention.policies[].repositories", GLOBS, "", "Globs over the repositories it is for."),
    honoured(
        "storage.retention.policies[].deleteReferrers",
        Kind::Bool,
        "false",
        "Whether referrers go whose subject is not there.",
    ),
    honoured(
        "storage.retention.policies[].deleteUntagged",
        Kind::Bool,
        "false",
        "Whether manifests go that no tag points at and no index needs; zot's default is true.",
    ),
    honoured("storage.retention.policies[].keepTags", SECTIONS, "", "Rules, any of which keeps a tag; a tag that none keeps is deleted. Without rules, all tags are kept."),
    honoured("storage.retention.policies[].keepTags[].patterns", Kind::List(&Kind::Regex), "", "Regular expressions over tags, any of which makes the rule one for the tag; without one it is for all. A rule that says nothing else keeps its tags."),
    honoured(
        "storage.retention.policies[].keepTags[].pulledWithin",
        ANY_DURATION,
        "",
        "Keeps what was pulled within this time.",
    ),
    honoured(
        "storage.retention.policies[].keepTags[].pushedWithin",
        ANY_DURATION,
        "",
        "Keeps what was pushed within this time.",
    ),
    honoured(
        "storage.retention.policies[].keepTags[].mostRecentlyPushedCount",
        ANY_COUNT,
        "",
        "Keeps so many that were pushed last.",
    ),
    honoured(
        "storage.retention.policies[].keepTags[].mostRecentlyPulledCount",
        ANY_COUNT,
        "",
        "Keeps so many that were pulled last; all, before pulls have been noted for as long as `delay`.",
    ),
    honoured(
        "storage.retention.policies[].keepUntagged",
        Kind::Section,
        "",
        "Rules, any of which keeps a manifest without a tag.",
    ),
    honoured(
        "storage.retention.policies[].keepUntagged.pulledWithin",
        ANY_DURATION,
        "",
        "Keeps what was pulled within this time.",
    ),
    honoured(
        "storage.retention.policies[].keepUntagged.pushedWithin",
        ANY_DURATION,
        "",
        "Keeps what was pushed within this time.",
    ),
    honoured(
        "storage.retention.policies[].keepUntagged.mostRecentlyPushedCount",
        ANY_COUNT,
        "",
        "Keeps so many that were pushed last.",
    ),
    honoured(
        "storage.retention.policies[].keepUntagged.mostRecentlyPulledCount",
        ANY_COUNT,
        "",
        "Keeps so many that were pulled last; all, before pulls have been noted for as long as `delay`.",
    ),
    honoured(
        "storage.subPaths",
        Kind::Map(Names::Any, &Kind::Like("storage")),
        "",
        "Stores of their own by the first component of the names that are pushed here, such as `/team`, each with its own `rootDirectory`; what they do not say is as in `storage`. What is cached of an upstream is in its `storage`.",
    ),
];
