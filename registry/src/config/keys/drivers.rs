//! The sections `storage.storageDriver` and `storage.cacheDriver`: what zot's drivers are told.
//!
//! A driver may be told more than stands here; what stands here is checked to be of its type.

use super::{ANY_COUNT, WORDS};
use crate::config::key::{Key, inert, pending};
use crate::config::kind::Kind;

const NO_CACHE_DATABASE: &str = "there is no cache database; the stored objects are the only truth";

pub(super) const KEYS: &[Key] = &[
    inert(
        "storage.remoteCache",
        Kind::Bool,
        "Whether the cache database is a remote one.",
        NO_CACHE_DATABASE,
    ),
    inert("storage.cacheDriver", Kind::Open, "The database of zot's cache.", NO_CACHE_DATABASE),
    cache("storage.cacheDriver.name", Kind::Text, "Which database it is: redis or dynamodb."),
    cache("storage.cacheDriver.url", Kind::Text, "redis: its url."),
    cache("storage.cacheDriver.addr", WORDS, "redis: the addresses of its nodes."),
    cache("storage.cacheDriver.keyprefix", Kind::Text, "redis: the prefix of its keys."),
    cache("storage.cacheDriver.master_name", Kind::Text, "redis: the name of the sentinel's master."),
    cache("storage.cacheDriver.db", ANY_COUNT, "redis: the number of the database."),
    cache("storage.cacheDriver.username", Kind::Text, "redis: the user."),
    cache("storage.cacheDriver.password", Kind::Text, "redis: the password."),
    cache("storage.cacheDriver.endpoint", Kind::Text, "dynamodb: its endpoint."),
    cache("storage.cacheDriver.region", Kind::Text, "dynamodb: its region."),
    cache("storage.cacheDriver.cacheTablename", Kind::Text, "dynamodb: a table's name."),
    cache("storage.cacheDriver.repoMetaTablename", Kind::Text, "dynamodb: a table's name."),
    cache("storage.cacheDriver.imageMetaTablename", Kind::Text, "dynamodb: a table's name."),
    cache("storage.cacheDriver.repoBlobsInfoTablename", Kind::Text, "dynamodb: a table's name."),
    cache("storage.cacheDriver.userDataTablename", Kind::Text, "dynamodb: a table's name."),
    cache("storage.cacheDriver.apiKeyTablename", Kind::Text, "dynamodb: a table's name."),
    cache("storage.cacheDriver.versionTablename", Kind::Text, "dynamodb: a table's name."),
    store("storage.storageDriver", Kind::Open, "A bucket instead of a folder."),
    store("storage.storageDriver.name", Kind::Word, "The driver: s3, gcs or azure."),
    store("storage.storageDriver.rootdirectory", Kind::Text, "The prefix of all keys."),
    store("storage.storageDriver.region", Kind::Text, "s3: the region."),
    store("storage.storageDriver.regionendpoint", Kind::Text, "s3: the endpoint, where it is not Amazon's."),
    store("storage.storageDriver.bucket", Kind::Text, "s3, gcs: the bucket."),
    store("storage.storageDriver.forcepathstyle", Kind::Bool, "s3: whether the bucket stands in the path."),
    store("storage.storageDriver.secure", Kind::Bool, "s3: whether it is asked by TLS."),
    store("storage.storageDriver.skipverify", Kind::Bool, "s3: whether its certificate may be any."),
    store("storage.storageDriver.accesskey", Kind::Text, "s3: the access key."),
    store("storage.storageDriver.secretkey", Kind::Text, "s3: the secret key."),
    store("storage.storageDriver.credentialsFile", Kind::Path, "gcs: the file with the account."),
    store("storage.storageDriver.keyfile", Kind::Path, "gcs: the same, by distribution's name."),
    store("storage.storageDriver.accountname", Kind::Text, "azure: the account."),
    store("storage.storageDriver.container", Kind::Text, "azure: the container."),
    store("storage.storageDriver.accountkey", Kind::Text, "azure: the account's key."),
    store("storage.storageDriver.credentials", Kind::Open, "azure: how to log in."),
    store(
        "storage.storageDriver.credentials.type",
        Kind::Choice(&["shared_key", "client_secret", "default_credentials"]),
        "azure: by which kind of credentials.",
    ),
];

const fn cache(path: &'static str, kind: Kind, meaning: &'static str) -> Key {
    inert(path, kind, meaning, NO_CACHE_DATABASE)
}

const fn store(path: &'static str, kind: Kind, meaning: &'static str) -> Key {
    pending(path, kind, "", meaning)
}
