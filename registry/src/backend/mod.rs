//! Bytes in a place: the one trait over disks, memory and buckets.
//!
//! This layer knows nothing of registries. It promises when bytes are durable, and the layer above
//! builds custody (P2) and wholeness (P3) on exactly those promises; `contract` is the suite that
//! every implementation and every decorator runs.
//!
//! | file | what it is |
//! |---|---|
//! | `key` | where a thing is |
//! | `disk` | the system calls that the folder backend is built of, and the operating system's |
//! | `fs` | [`Backend`] over a disk: the commit protocol; the one door to blocking work |
//! | `stage` | files that grow: uploads and fills |
//! | `read` | reading content in chunks, one ahead |
//! | `memory` | a disk in memory, which can keep live and durable state apart |
//! | `object` | [`Backend`] over a bucket: S3, Google Cloud Storage, Azure |
//! | `shared` | a folder that several processes write to |
//! | `faulty` | a disk that fails, or stops for good, at the Nth operation |
//! | `metered` | counts and times |
//! | `planted` | wrong protocols, in builds for the harness alone |

pub mod contract;
pub mod disk;
pub mod error;
pub mod faulty;
pub mod fs;
pub mod key;
pub mod memory;
pub mod metered;
pub mod object;
#[cfg(feature = "mutants")]
mod planted;
pub mod read;
pub mod shared;
mod stage;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

pub use disk::Space;
pub use error::Error;
pub use key::Key;
pub use read::{Content, ReadAt};

/// A place for bytes.
///
/// *Shape:* two sorts of thing stand under keys. A *record* is small (at most
/// [`RECORD_BYTES_MAX`]), written whole and replaced atomically. *Content* is large, staged while
/// it arrives, and never changes once published.
///
/// *Durability:* unless the backend was opened not to commit, when a method that changes
/// something returns `Ok`, no crash of the process or the machine undoes it. A reader may see a
/// change before it is durable; who relies on what it did not write itself calls
/// [`settle`](Self::settle) first.
///
/// *Cancellation:* dropping a future may leave the operation done, or not; never half done.
#[async_trait::async_trait]
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// Returns a record, or `None` when the key is free.
    async fn read(&self, key: &Key) -> Result<Option<Bytes>, Error>;

    /// Writes a record, if the condition holds at the moment of writing.
    async fn write(&self, key: &Key, record: Bytes, when: When) -> Result<Outcome, Error>;

    /// Writes a record that survives the process, but not always the machine: after power loss it
    /// may be older, cut short, empty or gone, so its reader must be able to tell.
    async fn write_unsynced(&self, key: &Key, record: Bytes) -> Result<(), Error>;

    /// Deletes a record or content, if the condition holds at the moment of deleting.
    ///
    /// A free key is [`Outcome::Refused`].
    async fn delete(&self, key: &Key, when: When) -> Result<Outcome, Error>;

    /// Returns the size in bytes of a record or of content, or `None` when the key is free.
    async fn size(&self, key: &Key) -> Result<Option<u64>, Error>;

    /// Makes durable whatever is visible under the keys, whoever wrote it.
    async fn settle(&self, keys: &[Key]) -> Result<(), Error>;

    /// Returns the names of the direct children of a key, sorted bytewise; none when it has none.
    async fn list(&self, key: &Key) -> Result<Vec<String>, Error>;

    /// Opens content for reading, or returns `None` when the key is free.
    ///
    /// What was opened can be read to its end, even when it is deleted meanwhile.
    async fn open(&self, key: &Key) -> Result<Option<Content>, Error>;

    /// Begins to stage content under a key that is free.
    async fn stage(&self, key: &Key) -> Result<Box<dyn Stage>, Error>;

    /// Goes on with staged content, cut to its first `len` bytes.
    ///
    /// Returns `None` when there is none, when it is shorter than `len`, or where a bucket cannot cut it:
    /// at one of the last two lengths that it was synced at, it always can.
    async fn resume(&self, key: &Key, len: u64) -> Result<Option<Box<dyn Stage>>, Error>;

    /// Removes a key and everything below it; not atomic and not durable: for what a crash may
    /// bring back without harm, such as the remains of an upload.
    async fn sweep(&self, key: &Key) -> Result<(), Error>;

    /// Says of content that it is about to be removed, and returns what [`execute`](Self::execute) has to be
    /// shown; `None` when the key is free. Readers see no difference. Until somebody spares it that is the same
    /// for all who say so: processes that look in turn would else each undo what the other has said.
    async fn condemn(&self, key: &Key) -> Result<Option<Sentence>, Error>;

    /// Removes content that is condemned, unless somebody has spared it since. Publishing it again need not spare
    /// it: who relies on it does that.
    async fn execute(&self, key: &Key, sentence: &Sentence) -> Result<Outcome, Error>;

    /// Takes back what condemns content, for who relies on it, and says whether the key has content.
    async fn spare(&self, key: &Key) -> Result<bool, Error>;

    /// Returns how much room there is, or `None` where nothing bounds it.
    async fn space(&self) -> Result<Option<Space>, Error>;

    /// Removes what no key leads to any more, and what nobody has gone on with, for as long as `idle`.
    ///
    /// *Cancellation:* leaves some of it, which the next call finds.
    async fn reclaim(&self, idle: Duration) -> Result<Reclaimed, Error>;
}

/// By what one condemnation is told from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence(Bytes);

/// What a reclaim has removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Objects of content.
    pub objects: u64,
    /// Their sizes, in bytes.
    pub bytes: u64,
    /// Uploads in parts that were given up.
    pub uploads: u64,
}

/// The largest record, in bytes.
pub const RECORD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The condition of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// Always.
    Always,
    /// When the key is free.
    Absent,
    /// When the record is, byte for byte, this.
    Is(Bytes),
}

/// What became of a conditional change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was made, and is durable.
    Done,
    /// The condition did not hold; nothing was changed.
    Refused,
}

/// Content on its way in, under a key that readers of content do not use.
///
/// *Cancellation:* dropping it leaves what was appended where [`Backend::resume`] finds it.
#[async_trait::async_trait]
pub trait Stage: fmt::Debug + Send + Sync {
    /// Returns how many bytes were appended.
    fn len(&self) -> u64;

    /// Says whether nothing was appended.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends bytes; they are readable at once, and survive the process but not the machine.
    ///
    /// *Errors:* after any error the staged content must be discarded.
    async fn append(&mut self, bytes: Vec<Bytes>) -> Result<(), Error>;

    /// Makes durable what was appended.
    ///
    /// *Errors:* after an error nothing is known about the bytes on the disk, and asking again
    /// would lie; the staged content must be discarded.
    async fn sync(&mut self) -> Result<(), Error>;

    /// Returns a reader of what was appended so far and will be.
    fn reader(&self) -> std::sync::Arc<dyn ReadAt>;

    /// Moves the content to its final key, durably; [`sync`](Self::sync) is part of it.
    ///
    /// The content of a key is decided by the key, so for a key that is taken by content of the same
    /// size it is all one whether it keeps what it has ([`Outcome::Refused`]), which is durable then; of
    /// another size, it is broken and is replaced.
    async fn publish(self: Box<Self>, to: &Key) -> Result<Outcome, Error>;

    /// Removes the staged content.
    async fn discard(self: Box<Self>) -> Result<(), Error>;
}
