//! Images in and out without a server: what is imported and exported, and what is refused.
//!
//! | module | what it holds |
//! |---|---|
//! | `images` | random images, as a store has them, and what is seen of a store |
//! | `layout` | layouts written by hand, with whatever is wrong in them |
//! | `round_trip` | out of a store and into another one |
//! | `shapes` | the folders of a zot and of a distribution, tags, what is imported twice |
//! | `hostile` | sources that lie, and what is said of them |
//! | `targets` | where an export goes, and what a broken one leaves |

mod hostile;
mod images;
pub(crate) mod layout;
mod round_trip;
mod shapes;
mod targets;

use std::path::Path;
use std::sync::{Arc, Mutex};

use wharfinger::backend::memory::MemoryDisk;
use wharfinger::oci::{Digest, RepositoryName};
use wharfinger::store::options::Options;
use wharfinger::store::{RepositoryKey, Store};
use wharfinger::transfer::import::{self, Existing, import};
use wharfinger::transfer::report::Outcome;
use wharfinger::transfer::{Error, Failure, Progress, Report, Source};

/// Hears everything, and keeps what is said.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) notes: Mutex<Vec<String>>,
    bytes: Mutex<(u64, u64)>,
}

impl Progress for Heard {
    fn expect(&self, bytes: u64) {
        self.bytes.lock().unwrap().0 += bytes;
    }

    fn advance(&self, bytes: u64) {
        let mut heard = self.bytes.lock().unwrap();
        heard.1 += bytes;
        assert!(heard.1 <= heard.0, "more was read than was announced: {heard:?}");
    }

    fn begin(&self, _: &str) {}

    fn end(&self, _: &str, _: &Digest, _: Outcome) {}

    fn fail(&self, failure: &Failure) {
        self.note(&failure.what);
    }

    fn note(&self, text: &str) {
        self.notes.lock().unwrap().push(text.to_owned());
    }
}

/// Opens a store in memory.
async fn store() -> Store {
    store_with(Options::default()).await
}

async fn store_with(options: Options) -> Store {
    use wharfinger::backend::fs::{Durability, FsBackend};
    let backend = FsBackend::open(Arc::new(MemoryDisk::new()), Durability::Synced).await.unwrap();
    Store::open(Arc::new(backend), options, wharfinger::clock::Clock::system()).await.unwrap()
}

/// Returns how a test imports unless it says otherwise.
pub(crate) fn options(name: &str) -> import::Options {
    let name = (!name.is_empty()).then(|| RepositoryName::parse(name).unwrap());
    import::Options { name, tag: None, existing: Existing::Keep, manifest_bytes_max: 64 * 1024 }
}

/// Imports a path into a store.
pub(crate) async fn take_in(store: &Store, path: &Path, options: &import::Options) -> Result<Report, Error> {
    let source = Arc::new(Source::open(path)?);
    let store_of = |_: &RepositoryKey| store.clone();
    import(&source, &store_of, options, &Heard::default()).await
}

/// Returns an error with everything that it says.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
