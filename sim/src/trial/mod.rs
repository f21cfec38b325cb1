//! Trials: a whole life of a cache in virtual time, made of a seed and judged afterwards.
//!
//! A seed makes a [`Plan`]: what the upstream holds and when it moves, what clients ask and when, what goes
//! wrong with which request, how the cache is configured. Whoever has a cache in the same process carries it
//! out, with a [`World`] as the upstream, and writes a [`History`] of what clients saw; [`judge`] says which
//! promises were broken. A plan is JSON, replays exactly, and [`shrink`]s to the smallest that still fails.
//!
//! Faults have stable identities (*the second request for this blob at this url*), so that taking one away
//! does not change what happens to the others; several may meet in one answer. Nothing here waits or knows the cache: a world answers with
//! what is to be sent, and when.

mod history;
mod judge;
mod plan;
mod reply;
mod seed;
mod shrink;
mod world;

pub use history::{Eviction, Happened, History, Phase, Seen};
pub use judge::{Broken, judge};
pub use plan::{Ask, Event, Fault, Happening, Kind, Loss, Move, Op, Plan, Settings, Target};
pub use reply::{End, Outcome, Piece, Reply};
pub use shrink::shrink;
pub use world::{Entry, Host, Question, TokenEntry, World};
