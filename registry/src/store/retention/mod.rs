//! Retention: which hosted tags and manifests a policy lets go, and their removal.
//!
//! | file | what it is |
//! |---|---|
//! | `decide` | what goes of a repository: records in, decisions out |
//! | `carry_out` | removing it, if it still is as it was judged |

mod carry_out;
pub mod decide;

pub(super) use carry_out::Pulls;
