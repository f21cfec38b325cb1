//! The suite's own HTTP client, which sends what it is told and reports what it saw.
//!
//! Map: `url` (addresses and Location resolution), `dialer` (TCP and TLS), `request` (what is sent),
//! `response` (what came back), `connection` (requests and responses on one connection), `message` (where
//! a response ends), `bulk` (bodies too large to keep), `http2` (the same over HTTP/2), `transcript` (the
//! record kept for the report). There is no retry, no redirect and no decompression here: a registry is
//! judged by its own bytes.

mod bulk;
mod connection;
mod dialer;
mod http2;
mod message;
mod request;
mod response;
mod transcript;
mod url;

pub use bulk::Bulk;
pub use connection::{Connection, WireError};
pub use dialer::{Dialer, Trust, TrustError};
pub use http2::exchange_http2;
pub use request::{Body, Request, Version};
pub use response::{Framing, Response};
pub use transcript::{Exchange, PREVIEW_BYTES_MAX};
pub use url::{Scheme, Url, UrlError};
