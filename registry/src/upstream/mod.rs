//! Other registries, as a client: asking them, and telling apart what they answer.
//!
//! Nothing here stores or decides what a client of ours sees; it answers with the upstream's
//! content and its claims, or with an [`Error`] that names the upstream as it is configured.
//!
//! | file | what it is |
//! |---|---|
//! | `transport` | the seam: one HTTP exchange |
//! | `reqwest_transport` | the real one, and what its errors mean |
//! | `client` | the questions a cache asks |
//! | `lists` | tags and referrers, page after page |
//! | `token` | Bearer tokens, fetched without credentials |
//! | `route` | which upstreams answer for a name |

pub mod client;
pub mod error;
mod lists;
pub mod options;
pub mod reqwest_transport;
pub mod route;
pub mod token;
pub mod transport;

pub use client::{RemoteBlob, RemoteManifest, Upstream};
pub use error::{Error, Fault, Phase};
pub use route::Routes;
pub use transport::Transport;
