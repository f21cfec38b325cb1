//! What is asked of a bucket: objects that are replaced whole, if they are what they were.
//!
//! *Consistency:* what was written is what is read and listed next, by anybody (S3, Google and Azure
//! promise it). A request whose answer was lost may still be carried out, at any later time.

use std::fmt;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::backend::Error;

/// A bucket.
#[async_trait::async_trait]
pub trait Bucket: fmt::Debug + Send + Sync + 'static {
    /// Returns an object, or only its first bytes; `None` when there is none.
    async fn get(&self, name: &str, bytes_max: Option<u64>) -> Result<Option<Object>, Error>;

    /// Returns an object's size in bytes, or `None` when there is none.
    async fn size(&self, name: &str) -> Result<Option<u64>, Error>;

    /// Returns bytes of an object that is there, as they come.
    fn stream(&self, name: &str, range: Range<u64>) -> BoxStream<'static, Result<Bytes, Error>>;

    /// Writes an object if the condition holds, and returns its version; `None` when it does not hold.
    ///
    /// *Errors:* after one the object may be written, also later.
    async fn put(&self, name: &str, bytes: Bytes, when: Put) -> Result<Option<Version>, Error>;

    /// Removes objects, whatever they are; those that are not there too.
    ///
    /// For names that are never used again: it may be carried out at any later time.
    async fn remove(&self, names: Vec<String>) -> Result<(), Error>;

    /// Returns what stands directly below a prefix that has no slash at its end.
    async fn children(&self, prefix: &str) -> Result<Children, Error>;

    /// Returns all objects below a prefix.
    fn walk(&self, prefix: &str) -> BoxStream<'static, Result<Meta, Error>>;

    /// Begins to upload an object in parts, and returns the upload's name.
    async fn begin(&self, name: &str) -> Result<String, Error>;

    /// Uploads the part with this number, counted from 0, and returns its tag. All but the last have at
    /// least 5 MiB.
    async fn part(&self, name: &str, upload: &str, number: usize, bytes: Bytes) -> Result<String, Error>;

    /// Makes an object of its parts.
    async fn complete(&self, name: &str, upload: &str, tags: &[String]) -> Result<(), Error>;

    /// Gives an upload up, with its parts; one that is not there too.
    async fn abort(&self, name: &str, upload: &str) -> Result<(), Error>;

    /// Returns a url that anybody can read the object by for a while, or `None` where there is none.
    async fn link(&self, name: &str, valid_for: Duration) -> Result<Option<String>, Error>;
}

/// An object that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its bytes, or the first of them.
    pub bytes: Bytes,
    /// How many bytes it has in all.
    pub size: u64,
    /// Which of the things that stood under its name it is.
    pub version: Version,
}

/// What an object is written over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// Nothing: there is no such object.
    New,
    /// This version of it.
    Over(Version),
    /// Whatever is there; only where the bucket honours no conditions, or for a name that is never used again.
    Any,
}

/// Which of the things that stood under a name an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The entity tag.
    pub tag: Option<String>,
    /// The generation, where a bucket counts them.
    pub generation: Option<String>,
}

/// What stands directly below a prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Children {
    /// The last components of longer prefixes.
    pub prefixes: Vec<String>,
    /// The last components of objects, with their sizes in bytes.
    pub objects: Vec<(String, u64)>,
}

/// An object in a walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Its name.
    pub name: String,
    /// Its size, in bytes.
    pub size: u64,
    /// When it was written, by the bucket's clock.
    pub written_at: SystemTime,
}
