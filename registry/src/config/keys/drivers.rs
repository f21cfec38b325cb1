//! The sections `storage.storageDriver` and `storage.cacheDriver`: what zot's drivers are told.
//!
//! Keys of drivers that stand nowhere here are faults: what they ask for would not be done.

use super::{ANY_COUNT, TIB, WORDS};
use crate::config::key::{Key, honoured, inert, refused};
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
    store(
        "storage.storageDriver",
        Kind::Section,
        "A bucket instead of a folder, by the keys of zot's drivers; `storage.bucket` says the same in our own.",
    ),
    store(
        "storage.storageDriver.name",
        Kind::Choice(&["s3", "gcs", "azure"]),
        "The driver; those of folders are what `rootDirectory` is for.",
    )
    .required(),
    store("storage.storageDriver.rootdirectory", Kind::Text, "What all names of objects begin with."),
    store("storage.storageDriver.region", Kind::Text, "s3: the region."),
    store("storage.storageDriver.regionendpoint", Kind::Text, "s3: the endpoint, where it is not Amazon's."),
    store("storage.storageDriver.bucket", Kind::Text, "s3, gcs: the bucket."),
    store(
        "storage.storageDriver.forcepathstyle",
        Kind::Bool,
        "s3: whether the bucket stands in the path; it does unless this says false.",
    ),
    store(
        "storage.storageDriver.secure",
        Kind::Bool,
        "s3: whether an endpoint without a scheme is asked by TLS; it is unless this says false.",
    ),
    store("storage.storageDriver.skipverify", Kind::Bool, "s3: whether its certificate may be any."),
    store("storage.storageDriver.accesskey", Kind::Text, "s3: the access key."),
    store("storage.storageDriver.secretkey", Kind::Text, "s3: the secret key."),
    store("storage.storageDriver.sessiontoken", Kind::Text, "s3: the token of a session."),
    store("storage.storageDriver.encrypt", Kind::Bool, "s3: whether the bucket encrypts what it keeps."),
    store("storage.storageDriver.keyid", Kind::Text, "s3: the key of KMS by which it does."),
    tuning("storage.storageDriver.v4auth", Kind::Bool, "s3: whether requests are signed by version 4."),
    tuning("storage.storageDriver.chunksize", Kind::Integer(0, TIB), "s3: the size of a part."),
    tuning(
        "storage.storageDriver.multipartcopychunksize",
        Kind::Integer(0, TIB),
        "s3: the size of a copied part.",
    ),
    tuning(
        "storage.storageDriver.multipartcopymaxconcurrency",
        Kind::Integer(0, TIB),
        "s3: how many parts are copied at once.",
    ),
    tuning(
        "storage.storageDriver.multipartcopythresholdsize",
        Kind::Integer(0, TIB),
        "s3: from which size on parts are copied.",
    ),
    tuning("storage.storageDriver.loglevel", Kind::Text, "s3: what the driver logs."),
    tuning("storage.storageDriver.useragent", Kind::Text, "s3: what the driver calls itself."),
    refused(
        "storage.storageDriver.storageclass",
        Kind::Text,
        "s3: the class of new objects.",
        "set the class by a lifecycle rule of the bucket",
    ),
    refused(
        "storage.storageDriver.objectacl",
        Kind::Text,
        "s3: the canned list of who may read objects.",
        "set the bucket's policy instead; `redirectBlobURL` needs no public objects",
    ),
    store("storage.storageDriver.credentialsFile", Kind::Path, "gcs: the file with the account."),
    store("storage.storageDriver.keyfile", Kind::Path, "gcs: the same, by distribution's name."),
    store("storage.storageDriver.accountname", Kind::Text, "azure: the account."),
    store("storage.storageDriver.container", Kind::Text, "azure: the container."),
    store(
        "storage.storageDriver.serviceurl",
        Kind::Text,
        "azure: the endpoint, where it is not Azure's own.",
    ),
    store("storage.storageDriver.accountkey", Kind::Text, "azure: the account's key."),
    store("storage.storageDriver.credentials", Kind::Section, "azure: how to log in."),
    store(
        "storage.storageDriver.credentials.type",
        Kind::Choice(&["shared_key", "client_secret", "default_credentials"]),
        "azure: by which kind of credentials; a shared key is the default.",
    ),
    store("storage.storageDriver.credentials.clientid", Kind::Text, "azure: the client."),
    store("storage.storageDriver.credentials.tenantid", Kind::Text, "azure: its tenant."),
    store("storage.storageDriver.credentials.secret", Kind::Text, "azure: its secret."),
];

const fn cache(path: &'static str, kind: Kind, meaning: &'static str) -> Key {
    inert(path, kind, meaning, NO_CACHE_DATABASE)
}

const fn store(path: &'static str, kind: Kind, meaning: &'static str) -> Key {
    honoured(path, kind, "", meaning)
}

const fn tuning(path: &'static str, kind: Kind, meaning: &'static str) -> Key {
    inert(path, kind, meaning, "the object store's client decides it")
}
