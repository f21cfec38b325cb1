//! The suite's own HTTP/1.1 client, which sends what it is told and reports what it saw.
//!
//! Map: `url` (addresses and Location resolution), `request` (what is sent), `response` (what came
//! back), `connection` (bytes on the socket), `transcript` (the record kept for the report). There is
//! no retry, no redirect and no decompression here: a registry is judged by its own bytes.

mod connection;
mod request;
mod response;
mod transcript;
mod url;

pub use connection::{Connection, WireError};
pub use request::{Body, Request, Version};
pub use response::{Framing, Response};
pub use transcript::{Exchange, PREVIEW_BYTES_MAX};
pub use url::{Url, UrlError};
