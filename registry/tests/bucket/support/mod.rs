//! What is shared with the end-to-end tests, and the program on a bucket.

#![expect(dead_code, reason = "These tests use a part of what is shared.")]

#[path = "../../e2e/support/command.rs"]
pub(crate) mod command;
#[path = "../../e2e/support/daemon.rs"]
pub(crate) mod daemon;
#[path = "../../e2e/support/layout.rs"]
pub(crate) mod layout;
#[path = "../../e2e/support/random.rs"]
mod random;
#[path = "../../e2e/support/skip.rs"]
pub(crate) mod skip;
#[path = "../../e2e/support/upstream.rs"]
pub(crate) mod upstream;

pub(crate) mod program;
