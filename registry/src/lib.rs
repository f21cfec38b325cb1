//! Wharfinger: an OCI registry and a pull-through cache that answers for every byte.
//!
//! The layers, bottom to top, and what each may import are in `ARCHITECTURE.md`; `cargo xtask tidy`
//! fails on a new edge.

pub mod auth;
pub mod backend;
pub mod clock;
pub mod config;
pub mod extensions;
pub mod http;
mod mutants;
pub mod oci;
pub mod repository;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod transfer;
pub mod upstream;
