//! What a registry keeps: blobs, uploads, manifests, tags, referrers, repositories.
//!
//! The truth is the records and content of the backend, under the keys of `layout`; every cache
//! here is derived from them and can be lost (P12). What is answered was made durable first (P2),
//! in an order that leaves nothing half-visible (P3): `docs/storage-layout.md` draws it.
//!
//! | file | what it is |
//! |---|---|
//! | `replicas` | claims that other processes see |
//! | `layout` | the one maker of keys |
//! | `record` | what is written under them |
//! | `blobs` | content and which repository may serve it |
//! | `fills` | content that is being fetched, and goes on after a restart |
//! | `uploads`, `session` | pushes of blobs under way |
//! | `manifests` | manifests: put, get, delete |
//! | `tags` | names for manifests |
//! | `referrers` | manifests about manifests |
//! | `repositories` | which repositories hold something |
//! | `index` | which manifest refers to what, derived |
//! | `room` | whether the disk has room for what is cached |
//! | `cached` | what is cached of an upstream, and its removal |
//! | `collect`, `linking` | removing content that nothing links |
//! | `scrub` | looking at every stored byte and record |
//! | `quarantine` | moving aside what is not what its digest says |
//! | `gc` | finding and removing garbage |
//! | `retention` | which hosted tags and manifests a policy lets go |
//! | `asked` | which blobs clients have asked for lately, which keeps them |
//! | `filter` | a set of fixed size |
//! | `claims` | who works on a digest: pushes together, a delete alone |
//! | `derived` | caches that never outlive the truth |

mod asked;
pub mod blobs;
pub mod cached;
mod claims;
mod collect;
mod core;
mod derived;
pub mod error;
pub mod fills;
mod filter;
pub mod gc;
mod index;
pub mod layout;
mod linking;
pub mod manifests;
pub mod options;
pub mod quarantine;
mod record;
pub mod referrers;
mod replicas;
pub mod repositories;
pub mod retention;
mod room;
pub mod scrub;
mod session;
mod system;
pub mod tags;
pub mod uploads;

pub use core::Store;

/// What the layers above hold of content, so that they need not know the backend.
pub use crate::backend::{Content, Error as BackendError, ReadAt, Stage};
pub use error::Error;
pub use layout::{RepositoryKey, Space};
