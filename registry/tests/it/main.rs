//! The integration tests: the real layers together, in this process.
//!
//! | module | what it holds |
//! |---|---|
//! | `http` | one file per noun: the real router over memory, statuses, headers and bodies |
//! | `store` | the store as a state machine against a model |
//! | `bucket` | the whole registry over a bucket in memory |
//! | `crash` | a push, a tag move, a delete, cut at every operation of the disk |
//! | `garbage` | garbage collection by the real program |
//! | `proxy` | pull-through from `sim`'s origin over real sockets |
//! | `program` | the program itself, with files that were damaged behind its back |
//! | `conformance` | the suite against this registry |
//! | `scale` | many names: what a page costs, and walks through all of them |
//! | `tls` | TLS of the listener, with certificates made here |
//! | `transfer` | import and export, with what others have on a disk |

#![cfg(test)]
// A test holds the whole server in its future.
#![recursion_limit = "256"]

mod bucket;
mod conformance;
mod crash;
mod garbage;
mod http;
mod program;
mod proxy;
mod scale;
mod store;
mod support;
mod tls;
mod transfer;
