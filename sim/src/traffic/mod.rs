//! Traffic: clients that pull through the target and write down exactly what they got.
//!
//! | module | says |
//! |---|---|
//! | `exchange` | one request and what came of it ([`Exchange`], [`Outcome`]) |
//! | `client` | the HTTP client: no retries, no redirects, no decompression ([`Client`]) |
//! | `pull` | who pulls what, when ([`Traffic`]) |

mod client;
mod exchange;
mod pull;

pub use self::{
    client::{Client, ClientError},
    exchange::{Exchange, Kind, Outcome, Upstream, Wanted},
    pull::Traffic,
};
