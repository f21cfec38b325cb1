//! Retention: which hosted tags and manifests a policy lets go, and their removal.
//!
//! | file | what it is |
//! |---|---|
//! | `decide` | what goes of a repository: records in, decisions out |
//! | `in_force` | which retention holds now |
//! | `carry_out` | removing it, if it still is as it was judged |

mod carry_out;
pub mod decide;
mod in_force;

pub(super) use carry_out::{KnownPulls, Pulls};
pub(super) use in_force::{Current, InForce};
