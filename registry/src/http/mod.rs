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
//! | `ratelimit` | how many requests a second are answered at all |
//! | `access_log` | one line and some metrics per request |
//! | `health` | `/livez`, `/readyz`, `/startupz` |
//! | `app` | what requests share, and the axum router |
//! | `listener` | connections: protocols, limits, idle timeouts, draining |

mod access_log;
mod api_keys;
mod app;
mod auth;
mod base;
mod blobs;
mod body;
mod catalog;
mod dispatch;
pub mod error;
mod headers;
mod health;
pub mod listener;
mod manifests;
pub mod options;
mod origin;
pub mod query;
mod ranges;
mod ratelimit;
mod referrers;
pub mod route;
mod tags;
mod uploads;

pub use app::App;
