//! Hostile input to access control: whoever comes with what he should not have gets nothing, and learns nothing.
//!
//! | module | says |
//! |---|---|
//! | `tokens` | tokens that were forged |
//! | `scopes` | good tokens, used for more than they are for |
//! | `logins` | Authorization headers, user names and passwords that are odd |
//! | `secrets` | what refusals must not repeat, or write into their headers |
//! | `strangers` | what those who may not read can find out |
//! | `sessions` | uploads of somebody else |
//! | `disguises` | headers that only a proxy may set |
//! | `framing` | requests that two servers read differently |
//! | `tools` | what they have in common |

pub(super) mod disguises;
pub(super) mod framing;
pub(super) mod logins;
pub(super) mod scopes;
pub(super) mod secrets;
pub(super) mod sessions;
pub(super) mod strangers;
pub(super) mod tokens;
mod tools;
