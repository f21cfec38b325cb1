//! The wire: from a request to a call of the repository layer, and back.
//!
//! | file | what it is |
//! |---|---|
//! | `route` | every URL: parsing and rendering |
//! | `query` | query strings |
//! | `dispatch` | who asks, for what; one arm per noun |
//! | `base`, `blobs`, `manifests`, `uploads`, `tags`, `referrers`, `catalog` | one file per noun |
//! | `ranges` | answering a `Range` |
//! | `body` | request and response bodies |
//! | `headers` | header names and values |
//! | `error` | every failure's code, status, headers and log level |
//! | `peer`, `client`, `network` | who is at the other end, and whom trusted proxies say it stands for |
//! | `asker`, `audit` | what is known of who asks, and what of it is recorded |
//! | `ratelimit`, `connections` | how many requests a second are answered at all, and how many connections a client has |
//! | `access_log` | one line and some metrics per request |
//! | `auth` | the endpoint of tokens |
//! | `origin` | where clients reach this registry, and what a challenge names |
//! | `guard` | pages beside the API that only some may read |
//! | `health` | `/livez`, `/readyz`, `/startupz` |
//! | `app` | what requests share, and the axum router |
//! | `listener` | connections: protocols, limits, draining |
//! | `idle`, `unused` | connections that stand still, and those that nobody uses |
//! | `tls` | handshakes, and certificates that are read again when their files change |
//! | `peer` | who is at the other end of a connection |
//! | `watched` | files that are looked at for changes |

mod access_log;
mod api_keys;
mod app;
mod asker;
mod audit;
mod auth;
mod base;
mod blobs;
mod body;
mod catalog;
mod client;
mod connections;
mod dispatch;
pub mod error;
mod guard;
mod headers;
mod health;
mod idle;
pub mod listener;
mod manifests;
mod network;
pub mod options;
mod origin;
pub mod peer;
pub mod query;
mod ranges;
mod ratelimit;
mod referrers;
pub mod route;
mod tags;
pub mod tls;
mod unused;
mod uploads;
pub mod watched;

pub use app::App;
