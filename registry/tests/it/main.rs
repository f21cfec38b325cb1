//! The integration tests: the real layers together, in this process.
//!
//! | module | what it holds |
//! |---|---|
//! | `http` | one file per noun: the real router over memory, statuses, headers and bodies |
//! | `store` | the store as a state machine against a model |
//! | `crash` | a push, a tag move, a delete, cut at every operation of the disk |
//! | `garbage` | garbage collection by the real program |
//! | `proxy` | pull-through from `sim`'s origin over real sockets |
//! | `conformance` | the suite against this registry |

#![cfg(test)]
// A test holds the whole server in its future.
#![recursion_limit = "256"]

mod conformance;
mod crash;
mod garbage;
mod http;
mod proxy;
mod store;
mod support;
