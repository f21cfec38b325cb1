//! An honest in-memory registry, the upstream of every scenario.
//!
//! | module | says |
//! |---|---|
//! | `registry` | [`Origin`]: content, faults, journal |
//! | `seed` | images and indexes made from a seed ([`ImageSpec`], [`SeededImage`]) |
//! | `payload` | the bodies of responses |
//! | `server` | listening, refusing, stopping ([`Running`]) |
//! | `journal` | what was asked and what was sent ([`Journal`], [`Entry`]) |
//! | `route`, `query` | the endpoint that a request means, its parameters |
//! | `dispatch` | endpoint and method to handler |
//! | `blobs`, `manifests`, `uploads`, `tags`, `referrers` | one handler file per noun |
//! | `store` | the content, by repository |
//! | `lie` | what a dishonest origin does instead ([`Lie`]) |
//! | `loose` | how a careless one reads the head of a request |
//! | `variant` | what an honest origin may do instead ([`Variant`]) |
//! | `access` | accounts, rights and tokens ([`Access`]) |
//! | `blob_host` | redirects of blobs ([`BlobHost`]) |
//! | `refusal` | the OCI error bodies |

mod access;
mod blob_host;
mod blobs;
mod dispatch;
mod journal;
mod lie;
mod loose;
mod manifest;
mod manifests;
mod payload;
mod query;
mod range;
mod referrers;
mod refusal;
mod registry;
mod route;
mod seed;
mod server;
mod store;
mod tags;
mod uploads;
mod variant;

#[cfg(test)]
pub(crate) use self::journal::Arrival;
pub(crate) use self::journal::LiveExchange;
pub use self::{
    access::{Access, Account, Action, Right, Scheme, TokenOptions},
    blob_host::BlobHost,
    journal::{Entry, Journal},
    lie::{Lie, UnknownLie},
    registry::{CLIENT_NAME, CLIENT_PASSWORD, Nature, Origin, Places},
    seed::{ImageSpec, IndexSpec, SeededBlob, SeededImage, SeededIndex},
    server::{Running, ServeError},
    variant::{UnknownVariant, Variant},
};
