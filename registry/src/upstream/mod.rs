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
//! | `exchange` | one of them at one url: tokens, redirects, statuses |
//! | `pace` | how many requests a second it is sent |
//! | `schedule` | when a failed attempt is repeated |
//! | `health` | which urls are not asked for a while |
//! | `lists` | tags and referrers, page after page |
//! | `token` | Bearer tokens, and whom they are fetched from |
//! | `credentials` | whose account an upstream is asked with |
//! | `oauth2` | accounts that are temporary tokens |
//! | `assertion` | what such tokens are given for |
//! | `flight` | one question that many wait for |
//! | `mirror` | which repositories, tags and platforms are mirrored |
//! | `route` | which upstreams answer for a name |

pub mod assertion;
pub mod client;
pub mod credentials;
pub mod error;
mod exchange;
pub mod flight;
pub mod health;
pub mod lists;
pub mod mirror;
pub mod oauth2;
pub mod options;
mod pace;
pub mod reqwest_transport;
pub mod route;
pub mod schedule;
pub mod token;
pub mod transport;

pub use client::{Id, RemoteBlob, RemoteManifest, Upstream, Url, Worst};
pub use error::{Error, Fault, Phase};
pub use route::{Asking, Candidate, Routes};
pub use schedule::Schedule;
pub use transport::Transport;
