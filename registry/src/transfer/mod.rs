//! Images in and out without a server: what other registries and tools have on a disk, into a store, and back.
//!
//! What is read was written by others, so nothing of it is believed: every digest is computed while it is
//! copied, every path stays below the source, and everything that is read whole has a limit. What is written
//! goes the way of a push, so that a crash in the middle leaves what it leaves of a push: whole manifests, and
//! blobs that no manifest needs yet. It knows no registry beside it: the caller says which store a name is in.
//!
//! | file | what it is |
//! |---|---|
//! | `source` | what is read: its shape, its repositories, their manifests and content |
//! | `oci_layout` | a folder in the form of an OCI image layout |
//! | `tar` | the same in a tar |
//! | `zot` | the folder of a zot: a layout for each repository |
//! | `distribution` | the folder of a CNCF distribution |
//! | `folder` | files below a folder, and never outside it |
//! | `index` | the `index.json` of a layout, read and written |
//! | `import` | from a source into stores |
//! | `copy` | content from a source into a store, hashed on the way |
//! | `export` | from a store into a layout |
//! | `target` | the folder or tar that is written |
//! | `reference` | `NAME[:TAG|@DIGEST]` |
//! | `report` | what was done, and what could not be |
//!
//! *Spec:* image-spec `image-layout.md`.

mod copy;
mod distribution;
pub mod error;
pub mod export;
mod folder;
pub mod import;
mod index;
mod oci_layout;
pub mod reference;
pub mod report;
pub mod source;
mod tar;
mod target;
mod zot;

pub use error::Error;
pub use report::{Failure, Progress, Report};
pub use source::Source;
