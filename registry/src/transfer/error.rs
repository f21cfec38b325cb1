//! What can go wrong with images on their way in or out.

use std::io;
use std::path::PathBuf;

use crate::oci::{Digest, ManifestError, NameError, ReferenceError, Tag, TagError};
use crate::store;

/// Why something could not be imported or exported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be read or written.
    #[error("{operation} of {} failed", .path.display())]
    Io {
        /// The system call.
        operation: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// There is no such file or folder.
    #[error("{} is not there", .path.display())]
    Absent {
        /// Where.
        path: PathBuf,
    },
    /// A symbolic link, which could lead anywhere.
    #[error(
        "{} is a symbolic link, and links are not followed; `cp -rL` makes a copy without them",
        .path.display()
    )]
    Link {
        /// Where.
        path: PathBuf,
    },
    /// Neither a file nor a folder where one is needed.
    #[error("{} is not a {wanted}", .path.display())]
    Kind {
        /// Where.
        path: PathBuf,
        /// What is needed there.
        wanted: &'static str,
    },
    /// What is read whole is larger than that may be.
    #[error("{} has {size} bytes, more than the {max} that are read", .path.display())]
    TooLarge {
        /// Where.
        path: PathBuf,
        /// How many bytes it has.
        size: u64,
        /// The limit.
        max: u64,
    },
    /// There is more of something than is read.
    #[error("{} has more than {max} {what}", .path.display())]
    TooMany {
        /// Where.
        path: PathBuf,
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// A file is not the JSON that it has to be.
    #[error("{} cannot be read", .path.display())]
    Json {
        /// Where.
        path: PathBuf,
        /// What the JSON parser said.
        source: serde_json::Error,
    },
    /// A layout of another version.
    #[error("{} has the layout version {found:?}, not 1.0.0", .path.display())]
    Version {
        /// Where.
        path: PathBuf,
        /// The version.
        found: String,
    },
    /// An index names something that has no name here.
    #[error("{} names {digest:?} of the type {media_type:?}, which is no digest or type that is known", .path.display())]
    Entry {
        /// Where.
        path: PathBuf,
        /// The digest.
        digest: String,
        /// The type.
        media_type: String,
    },
    /// A link of a distribution's folder does not name a digest.
    #[error("{} does not name a digest", .path.display())]
    LinkText {
        /// Where.
        path: PathBuf,
    },
    /// The source has none of the forms that are known.
    #[error(
        "{} is neither an OCI image layout (a folder with `oci-layout`, or a tar of one), nor the folder of a zot or of a distribution registry",
        .path.display()
    )]
    Unrecognised {
        /// Where.
        path: PathBuf,
    },
    /// The source is a store of ours.
    #[error("{} is a store of wharfinger; to move it, copy the folder while no server has it", .path.display())]
    OwnStore {
        /// Where.
        path: PathBuf,
    },
    /// A tar that is something else.
    #[error("{}: {reason}", .path.display())]
    Tar {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A layout needs a name to be imported under.
    #[error("an OCI image layout does not say what it is called; give a NAME")]
    NameNeeded,
    /// A tag was given for a source that has its own.
    #[error("the repositories of {} have their own tags; give a prefix without one", .path.display())]
    TagUnwanted {
        /// Where.
        path: PathBuf,
    },
    /// A tag was given for several manifests.
    #[error(
        "{} holds several images, and the tag {tag} can name only one: {found}; give a NAME without a tag to import all",
        .path.display()
    )]
    Ambiguous {
        /// Where.
        path: PathBuf,
        /// The tag.
        tag: Tag,
        /// What it holds.
        found: String,
    },
    /// A layout names no image.
    #[error("{} holds no image", .path.display())]
    Empty {
        /// Where.
        path: PathBuf,
    },
    /// The name is not one of a repository.
    #[error("{text:?} is not the name of a repository")]
    Name {
        /// The text.
        text: String,
        /// Why not.
        source: NameError,
    },
    /// What stands behind the name is no tag.
    #[error("{text:?} is not a tag")]
    Tag {
        /// The text.
        text: String,
        /// Why not.
        source: TagError,
    },
    /// What stands behind the name is neither a tag nor a digest.
    #[error("{text:?} is neither a tag nor a digest")]
    Reference {
        /// The text.
        text: String,
        /// Why not.
        source: ReferenceError,
    },
    /// Content does not hash to its digest.
    #[error("{place} has the digest {found}, not {expected}")]
    Digest {
        /// Where.
        place: String,
        /// What it should have.
        expected: Digest,
        /// What it has.
        found: Digest,
    },
    /// Content has another size than what refers to it says.
    #[error("{place} has {found} bytes, not {expected}")]
    Size {
        /// Where.
        place: String,
        /// What it should have.
        expected: u64,
        /// What it has.
        found: u64,
    },
    /// The source does not have content that is needed.
    #[error("{by} needs {digest}, which is not there{}", more(.others))]
    Missing {
        /// What needs it.
        by: String,
        /// The content.
        digest: Digest,
        /// How much else is missing.
        others: usize,
    },
    /// Content that has to be a manifest is none.
    #[error("{digest} cannot be taken as a manifest")]
    Manifest {
        /// The content.
        digest: Digest,
        /// Why not.
        source: ManifestError,
    },
    /// Indexes, or manifests about manifests, are nested too deep.
    #[error("{digest} is nested in more than {max} indexes")]
    Depth {
        /// The manifest.
        digest: Digest,
        /// The limit.
        max: usize,
    },
    /// A tag is here and points elsewhere.
    #[error("the tag {tag} is here and points at {here}, not at {wanted}; --overwrite moves it")]
    TagTaken {
        /// The tag.
        tag: Tag,
        /// What it points at.
        here: Digest,
        /// What it should.
        wanted: Digest,
    },
    /// What is to be exported is not here.
    #[error("{what} is not here; only what was pushed or imported can be exported")]
    Unknown {
        /// What.
        what: String,
    },
    /// The target of an export cannot be used.
    #[error("{} {reason}", .path.display())]
    Target {
        /// Where.
        path: PathBuf,
        /// Why not.
        reason: &'static str,
    },
    /// The store refused or failed.
    #[error("the store failed")]
    Store(#[from] store::Error),
    /// The store's content could not be read or written.
    #[error("the store failed")]
    Backend(#[from] store::BackendError),
    /// The thread that did the work panicked.
    #[error("the work was given up")]
    Abandoned,
}

impl Error {
    /// Says whether nothing further can succeed: the disk is full, or the store fails.
    pub(super) const fn is_final(&self) -> bool {
        match self {
            Self::Backend(_) | Self::Abandoned => true,
            Self::Store(error) => matches!(error, store::Error::Backend(_) | store::Error::Abandoned),
            _ => false,
        }
    }
}

fn more(others: &usize) -> String {
    if *others == 0 { String::new() } else { format!(" ({others} more of its content are missing, too)") }
}

/// Runs what blocks on a thread that may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Error::Abandoned))
}
