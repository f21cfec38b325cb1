//! What the tests share: the server's process, a client of bare sockets, waiting, skipping.
//!
//! Nothing here uses the registry's own code: a fault in it must not hide itself.

mod host;
mod process;
mod random;
mod strace;
mod wait;
mod wire;

pub(crate) use host::{Skip, needs_package, skipped};
pub(crate) use process::{Folder, Launch, Server, program};
pub(crate) use random::Random;
pub(crate) use strace::{Strace, can_trace};
pub(crate) use wait::eventually;
pub(crate) use wire::{Answer, Connection, digest_of, hex};
