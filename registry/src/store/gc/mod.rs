//! Garbage: what nothing needs any more is found and removed while the store serves (ADR 10).
//!
//! Without a policy of retention no hosted manifest and no tag is ever removed. A run looks at each repository
//! once: links that no manifest of it needs go first, and then content that no link of any repository is left
//! of. What clients were told of within `gcDelay` stays, so that they can push what needs it.
//!
//! The decisions, each in one function: [`links`]'s `unlink` for a link, `Store::remove_unlinked` for content.
//!
//! | file | what it is |
//! |---|---|
//! | `run` | what is asked of a run, and its course |
//! | `report` | what went |
//! | `retain` | hosted tags and manifests that a policy lets go |
//! | `links` | the blobs that a repository no longer needs |
//! | `content` | content that nothing links |
//! | `remains` | small keys that point to nothing, uploads that stand still |
//! | `orphans` | what is cached of upstreams that are no longer configured |

mod content;
mod links;
mod orphans;
mod remains;
pub mod report;
mod retain;
pub mod run;

pub use report::{Amount, Item, Kind, Report};
pub use run::{Mode, Orphans, Request};

pub use super::asked::Clients;
