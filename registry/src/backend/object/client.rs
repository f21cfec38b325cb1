//! The object stores of S3, Google and Azure as a bucket.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{
    BackoffConfig, ClientOptions, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, PutPayload, RetryConfig, UpdateVersion,
};

use super::bucket::{Bucket, Children, Meta, Object, Put, Version};
use super::options::{BucketOptions, Provider};
use crate::backend::{Error, Key};
use crate::telemetry::WithCauses;

/// A bucket of a provider.
#[derive(Clone)]
pub struct Client {
    store: Arc<dyn ObjectStore>,
    parts: Arc<dyn MultipartStore>,
    signer: Arc<dyn Signer>,
    options: BucketOptions,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Client").field(&self.options).finish()
    }
}

/// How often a request is asked again, at most.
const RETRIES_MAX: usize = 4;
/// How often a removal whose connection broke is asked again: it is a POST, which the client does not repeat.
const REMOVALS_AGAIN_MAX: usize = 2;
/// How long after the first request another one may be begun.
const RETRY_WINDOW: Duration = Duration::from_secs(30);
/// How long a request waits for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request waits for its answer, and between two pieces of it.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

impl Client {
    /// Makes one; nothing is asked of the bucket yet.
    ///
    /// What the settings leave open is taken from the provider's environment variables.
    ///
    /// *Errors:* settings that contradict each other, or are incomplete.
    pub fn new(options: BucketOptions) -> Result<Self, io::Error> {
        let wrong = |error: object_store::Error| io::Error::new(io::ErrorKind::InvalidInput, error);
        let (store, parts, signer) = match options.provider {
            Provider::S3 => shared(s3(&options).map_err(wrong)?),
            Provider::Google => shared(google(&options).map_err(wrong)?),
            Provider::Azure => shared(azure(&options).map_err(wrong)?),
        };
        Ok(Self { store, parts, signer, options })
    }

    fn path(&self, name: &str) -> Path {
        let prefix = self.options.prefix.as_str();
        let whole = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        // Every component is visible ASCII, so nothing is escaped that a key may have.
        Path::from_iter(whole.split('/').filter(|part| !part.is_empty()))
    }

    fn below(&self, prefix: &str) -> Option<Path> {
        let path = self.path(prefix);
        (!path.as_ref().is_empty()).then_some(path)
    }

    /// Takes the bucket's own prefix off a name.
    fn name(&self, path: &Path) -> Option<String> {
        let prefix = self.options.prefix.as_str();
        let whole = path.as_ref();
        let name = if prefix.is_empty() { whole } else { whole.strip_prefix(prefix)?.strip_prefix('/')? };
        Some(name.to_owned())
    }

    fn meta(&self, meta: &ObjectMeta) -> Option<Meta> {
        let name = self.name(&meta.location)?;
        Some(Meta { name, size: meta.size, written_at: meta.last_modified.into() })
    }
}

type Stores = (Arc<dyn ObjectStore>, Arc<dyn MultipartStore>, Arc<dyn Signer>);

fn shared<T: ObjectStore + MultipartStore + Signer>(store: T) -> Stores {
    let store = Arc::new(store);
    (Arc::<T>::clone(&store), Arc::<T>::clone(&store), store)
}

fn retries() -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(5),
        base: 2.0,
    };
    RetryConfig { backoff, max_retries: RETRIES_MAX, retry_timeout: RETRY_WINDOW }
}

fn http() -> ClientOptions {
    ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_read_timeout(READ_TIMEOUT)
}

fn s3(options: &BucketOptions) -> object_store::Result<object_store::aws::AmazonS3> {
    let builder = AmazonS3Builder::from_env().with_client_options(http()).with_retry(retries());
    options
        .settings
        .iter()
        .fold(builder, |builder, (key, value)| match key.parse::<AmazonS3ConfigKey>() {
            Ok(key) => builder.with_config(key, value),
            Err(_) => builder,
        })
        .with_bucket_name(&options.name)
        .build()
}

fn google(options: &BucketOptions) -> object_store::Result<object_store::gcp::GoogleCloudStorage> {
    let builder = GoogleCloudStorageBuilder::from_env().with_client_options(http()).with_retry(retries());
    options
        .settings
        .iter()
        .fold(builder, |builder, (key, value)| match key.parse::<GoogleConfigKey>() {
            Ok(key) => builder.with_config(key, value),
            Err(_) => builder,
        })
        .with_bucket_name(&options.name)
        .build()
}

fn azure(options: &BucketOptions) -> object_store::Result<object_store::azure::MicrosoftAzure> {
    let builder = MicrosoftAzureBuilder::from_env().with_client_options(http()).with_retry(retries());
    options
        .settings
        .iter()
        .fold(builder, |builder, (key, value)| match key.parse::<AzureConfigKey>() {
            Ok(key) => builder.with_config(key, value),
            Err(_) => builder,
        })
        .with_container_name(&options.name)
        .build()
}

/// Sorts what the client says; what a condition or a missing object is has been sorted out before.
fn failed(operation: &'static str, name: &str, error: object_store::Error) -> Error {
    use object_store::Error as E;
    let key = Key::new(name);
    match error {
        error if is_denied(&error) => {
            let kind = io::ErrorKind::PermissionDenied;
            let source = match has_words(&error, SKEWED) {
                true => io::Error::new(kind, Skewed { source: error }),
                false => io::Error::new(kind, error),
            };
            Error::Denied { operation, key, source }
        }
        E::NotFound { .. } => {
            Error::Io { operation, key, source: io::Error::new(io::ErrorKind::NotFound, error) }
        }
        E::NotSupported { .. } | E::NotImplemented { .. } => {
            Error::Io { operation, key, source: io::Error::new(io::ErrorKind::Unsupported, error) }
        }
        E::InvalidPath { .. } | E::UnknownConfigurationKey { .. } => {
            Error::Io { operation, key, source: io::Error::new(io::ErrorKind::InvalidInput, error) }
        }
        error => Error::Unreachable { operation, key, source: io::Error::other(error) },
    }
}

/// Requests are signed with the time, and the bucket finds that it is wrong.
#[derive(Debug, thiserror::Error)]
#[error("the bucket finds this machine's clock wrong by minutes; set it right")]
struct Skewed {
    source: object_store::Error,
}

/// Words of S3 and Azure for it.
const SKEWED: &[&str] = &["RequestTimeTooSkewed", "Request date header too old"];
/// What the client says of a removal of several objects that was refused, or of one of them: it has no kind of
/// error for Azure's whole batch, nor for a part of anybody's. A test holds it to its words.
const REMOVAL_DENIED: &[&str] =
    &["status code: 401", "status code: 403", "(code: 401)", "(code: 403)", "(code: AccessDenied)"];

fn is_denied(error: &object_store::Error) -> bool {
    use object_store::Error as E;
    match error {
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => true,
        E::Generic { .. } => has_words(error, REMOVAL_DENIED),
        _ => false,
    }
}

fn has_words(error: &object_store::Error, words: &[&str]) -> bool {
    let text = WithCauses(error).to_string();
    words.iter().any(|words| text.contains(words))
}

/// Counts and times a request.
async fn ask<T>(
    operation: &'static str,
    request: impl Future<Output = object_store::Result<T>>,
) -> object_store::Result<T> {
    use object_store::Error as E;
    let begun = Instant::now();
    let answered = request.await;
    let outcome = match &answered {
        Ok(_) => "ok",
        Err(E::NotFound { .. }) => "missing",
        Err(E::Precondition { .. } | E::AlreadyExists { .. } | E::NotModified { .. }) => "refused",
        Err(error) if is_denied(error) => "denied",
        Err(_) => "failed",
    };
    metrics::counter!("wharfinger_bucket_requests_total", "operation" => operation, "outcome" => outcome)
        .increment(1);
    metrics::histogram!("wharfinger_bucket_request_seconds", "operation" => operation)
        .record(begun.elapsed().as_secs_f64());
    answered
}

#[async_trait::async_trait]
impl Bucket for Client {
    async fn get(&self, name: &str, bytes_max: Option<u64>) -> Result<Option<Object>, Error> {
        let path = self.path(name);
        let range = bytes_max.map(|max| GetRange::Bounded(0..max));
        let options = GetOptions { range, ..GetOptions::default() };
        let read = async {
            let found = self.store.get_opts(&path, options).await?;
            let (size, tag, generation) =
                (found.meta.size, found.meta.e_tag.clone(), found.meta.version.clone());
            let bytes = found.bytes().await?;
            Ok(Object { bytes, size, version: Version { tag, generation } })
        };
        match ask("get", read).await {
            Ok(object) => Ok(Some(object)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("get", name, error)),
        }
    }

    async fn size(&self, name: &str) -> Result<Option<u64>, Error> {
        match ask("head", self.store.head(&self.path(name))).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("head", name, error)),
        }
    }

    fn stream(&self, name: &str, range: Range<u64>) -> BoxStream<'static, Result<Bytes, Error>> {
        let (store, path, name) = (Arc::clone(&self.store), self.path(name), name.to_owned());
        let wanted = range.end - range.start;
        async move {
            let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
            match ask("get", store.get_opts(&path, options)).await {
                Ok(found) => whole(found.into_stream(), wanted, name),
                Err(error) => {
                    let error = failed("get", &name, error);
                    futures_util::stream::once(std::future::ready(Err(error))).boxed()
                }
            }
        }
        .into_stream()
        .flatten()
        .boxed()
    }

    async fn put(&self, name: &str, bytes: Bytes, when: Put) -> Result<Option<Version>, Error> {
        let is_over = matches!(when, Put::Over(_));
        let mode = match when {
            Put::New => PutMode::Create,
            Put::Over(version) => {
                PutMode::Update(UpdateVersion { e_tag: version.tag, version: version.generation })
            }
            Put::Any => PutMode::Overwrite,
        };
        let (path, options) = (self.path(name), PutOptions { mode, ..PutOptions::default() });
        match ask("put", self.store.put_opts(&path, PutPayload::from(bytes), options)).await {
            Ok(put) => Ok(Some(Version { tag: put.e_tag, generation: put.version })),
            // A conflict with a write that may fail is told as if an object were there, so the caller looks.
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(None)
            }
            // The object was there when its version was read, and nothing is ever there again without a write.
            // What is new, and not found, is a bucket that is not there.
            Err(object_store::Error::NotFound { .. } | object_store::Error::NotModified { .. })
                if is_over =>
            {
                Ok(None)
            }
            Err(error) => Err(failed("put", name, error)),
        }
    }

    async fn remove(&self, names: Vec<String>) -> Result<(), Error> {
        let mut tries = 0;
        loop {
            match self.remove_once(&names).await {
                Err(Error::Unreachable { .. }) if tries < REMOVALS_AGAIN_MAX => tries += 1,
                removed => return removed,
            }
        }
    }

    async fn children(&self, prefix: &str) -> Result<Children, Error> {
        let below = self.below(prefix);
        let found = ask("list", self.store.list_with_delimiter(below.as_ref()))
            .await
            .map_err(|error| failed("list", prefix, error))?;
        let prefixes = found.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_owned));
        let objects =
            found.objects.iter().filter_map(|meta| Some((meta.location.filename()?.to_owned(), meta.size)));
        Ok(Children { prefixes: prefixes.collect(), objects: objects.collect() })
    }

    fn walk(&self, prefix: &str) -> BoxStream<'static, Result<Meta, Error>> {
        let below = self.below(prefix);
        let (client, prefix) = (self.clone(), prefix.to_owned());
        self.store
            .list(below.as_ref())
            .map_err(move |error| failed("list", &prefix, error))
            .try_filter_map(move |meta| std::future::ready(Ok(client.meta(&meta))))
            .boxed()
    }

    async fn begin(&self, name: &str) -> Result<String, Error> {
        let path = self.path(name);
        ask("begin", self.parts.create_multipart(&path)).await.map_err(|error| failed("begin", name, error))
    }

    async fn part(&self, name: &str, upload: &str, number: usize, bytes: Bytes) -> Result<String, Error> {
        let (path, upload) = (self.path(name), upload.to_owned());
        ask("part", self.parts.put_part(&path, &upload, number, PutPayload::from(bytes)))
            .await
            .map(|part| part.content_id)
            .map_err(|error| failed("part", name, error))
    }

    async fn complete(&self, name: &str, upload: &str, tags: &[String]) -> Result<(), Error> {
        let (path, upload) = (self.path(name), upload.to_owned());
        let parts = tags.iter().map(|tag| PartId { content_id: tag.clone() }).collect();
        ask("complete", self.parts.complete_multipart(&path, &upload, parts))
            .await
            .map(drop)
            .map_err(|error| failed("complete", name, error))
    }

    async fn abort(&self, name: &str, upload: &str) -> Result<(), Error> {
        let (path, upload) = (self.path(name), upload.to_owned());
        match ask("abort", self.parts.abort_multipart(&path, &upload)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("abort", name, error)),
        }
    }

    async fn link(&self, name: &str, valid_for: Duration) -> Result<Option<String>, Error> {
        match self.signer.signed_url(http::Method::GET, &self.path(name), valid_for).await {
            Ok(url) => Ok(Some(url.into())),
            Err(error) => Err(failed("sign", name, error)),
        }
    }
}

impl Client {
    async fn remove_once(&self, names: &[String]) -> Result<(), Error> {
        let Some(first) = names.first() else { return Ok(()) };
        let paths: Vec<_> = names.iter().map(|name| Ok(self.path(name))).collect();
        let mut answers = self.store.delete_stream(futures_util::stream::iter(paths).boxed());
        let all = async {
            while let Some(answer) = answers.next().await {
                match answer {
                    Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        ask("delete", all).await.map_err(|error| failed("delete", first, error))
    }
}

/// Ends a stream with an error when the bucket sends less than was asked for.
fn whole(
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    wanted: u64,
    name: String,
) -> BoxStream<'static, Result<Bytes, Error>> {
    let short = {
        let name = name.clone();
        move |sent: u64| {
            let source =
                io::Error::new(io::ErrorKind::UnexpectedEof, "the bucket sent less than was asked for");
            (sent != wanted).then(|| Error::Unreachable { operation: "get", key: Key::new(&name), source })
        }
    };
    let counted = stream.map(Some).chain(futures_util::stream::once(std::future::ready(None)));
    counted
        .scan(0_u64, move |sent, piece| {
            let item = match piece {
                Some(Ok(bytes)) => {
                    *sent += bytes.len() as u64;
                    Some(Ok(bytes))
                }
                Some(Err(error)) => {
                    // It ends here, and is not short besides.
                    *sent = wanted;
                    Some(Err(failed("get", &name, error)))
                }
                None => short(*sent).map(Err),
            };
            std::future::ready(Some(item))
        })
        .filter_map(std::future::ready)
        .boxed()
}

#[cfg(test)]
mod tests;
