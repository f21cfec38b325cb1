//! Clients that push and pull, and remember what they were promised.
//!
//! Each client owns a repository and sends one request at a time, so that what the repository
//! holds is known up to that one request: its `before` and its `after`. An audit reads everything
//! that was ever there, holds it against the two, and what it saw becomes the client's new belief.

mod audit;
mod client;
mod model;
mod pulls;
mod traffic;

pub(crate) use audit::{Leniency, audit};
pub(crate) use client::{Pusher, Stop};
pub(crate) use model::Pool;
pub(crate) use pulls::{Puller, Upstream};
pub(crate) use traffic::{script, traffic};
