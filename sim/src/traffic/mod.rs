//! Traffic: clients that pull through the target and write down exactly what they got.
//!
//! | module | says |
//! |---|---|
//! | `exchange` | one request and what came of it ([`Exchange`], [`Outcome`]) |
//! | `client` | the HTTP client: no retries, no redirects, no decompression ([`Client`]) |
//! | `record` | who asks what, when, and the record of it ([`Traffic`], [`Scene`]) |
//! | `pull` | whole images: together, joining late, leaving early |
//! | `part` | heads, ranges, and one question of each kind |
//! | `push` | images that are brought, tags that move, and repositories that are none of one's business |

mod client;
mod exchange;
mod part;
mod pull;
mod push;
mod record;

pub use self::{
    client::{Client, ClientError, Login},
    exchange::{Ask, Exchange, Kind, Outcome, Upstream, Wanted},
    part::Question,
    record::{Scene, Traffic},
};
