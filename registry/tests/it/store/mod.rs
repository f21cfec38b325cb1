//! The store as a state machine against a model, under races, and the audit that the crash tests share.
//!
//! | module | what it holds |
//! |---|---|
//! | `contents` | the few things that tests store |
//! | `audit` | everything that a store serves, held against P1 and P3 |
//! | `model` | what a store should do, in memory and in a page |
//! | `damage` | what the disk has lost, and what a crash has left |
//! | `fills` | content that is being fetched |
//! | `machine` | the store and the model side by side, operation by operation |
//! | `replicas` | several processes over one bucket |
//! | `collecting` | what is asked of a garbage collection |
//! | `garbage` | garbage collection, and who meets it |
//! | `races` | many tasks on few names |
//! | `skew` | a wall clock that jumps |
//! | `scrub` | what is wrong with a store, found and made good |

pub(crate) mod audit;
pub(crate) mod collecting;
pub(crate) mod contents;
mod damage;
mod fills;
pub(crate) mod garbage;
mod machine;
mod model;
mod races;
mod replicas;
pub(crate) mod scrub;
mod skew;
