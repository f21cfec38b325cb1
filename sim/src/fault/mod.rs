//! Faults that an upstream can have: what they are, which requests they hit, and the pipe that cuts bytes.
//!
//! | module | says |
//! |---|---|
//! | `kind` | what goes wrong ([`Fault`], [`At`]) |
//! | `rule` | which request it happens to ([`Rule`], [`Selector`]) |
//! | `registry` | the installed rules and the [`Guard`] that takes one out again |
//! | `head` | faults of the response's head, applied in the origin's service |
//! | `pipe` | faults of the response's bytes, applied between the service and the socket |

mod head;
mod kind;
pub(crate) mod pipe;
mod registry;
mod rule;
mod wire;

pub use self::{
    head::ORIGIN_WORDS,
    kind::{At, Destination, DigestHeader, Fault, Realm},
    registry::Guard,
    rule::{Place, Rule, Selector},
};
pub(crate) use self::{
    head::{Surroundings, answer_instead, spoil, wait_before},
    registry::{Faults, Hit},
};
