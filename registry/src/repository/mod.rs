//! What a repository does: pull, push, list, delete; and the fetching of what it lacks.
//!
//! Every method takes a grant and the repository's name from it, so that neither forgetting to
//! authorise nor authorising another name compiles. Nothing here knows HTTP.
//!
//! | file | what it is |
//! |---|---|
//! | `service` | what the methods share, and which side a name is on |
//! | `stores` | which store a repository is in |
//! | `pull` | manifests: hosted, cached, fetched |
//! | `blobs` | blobs: hosted, cached, fetched |
//! | `push` | uploads, mounts, manifests |
//! | `list` | tags, referrers, the catalog |
//! | `attempts` | asking an upstream for a manifest until there is an answer |
//! | `negative` | what upstreams do not have, for a short while |
//! | `adopt` | pushes that build on an upstream's layers |
//! | `delete` | tags, manifests, blobs |
//! | `evict` | keeping what is cached within its bound, and purging it |
//! | `mirror` | fetching what an upstream has before anybody asks |
//! | `refetch` | fetching again what a cache has lost |
//! | `overlay` | names that are hosted, and an upstream's as well |
//! | `signed` | taking only what is signed |
//! | `fill` | one fetch of one blob, followed by any number of readers |
//! | `freshness` | whether a cached tag may be served without asking |

mod adopt;
mod attempts;
pub mod blobs;
pub mod delete;
pub mod error;
pub mod evict;
pub mod fill;
pub mod freshness;
mod garbage;
pub mod list;
pub mod mirror;
mod negative;
pub mod options;
mod overlay;
pub mod pull;
pub mod push;
mod refetch;
mod service;
mod signed;
pub mod stores;

/// How long a reader waits for what is written for the next one: he has what he wants already.
const WRITE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

pub use error::Error;
pub use service::Repositories;
pub use stores::Stores;

/// What the wire sees of the layers below: content to send, uploads to feed, errors to tell apart.
pub use crate::store::referrers::{Referrers, ReferrersQuery};
pub use crate::store::uploads::{Body, BodyBroken, Chunk, UploadId};
pub use crate::store::{BackendError, Content, Error as StoreError};
pub use crate::upstream::Error as UpstreamError;
