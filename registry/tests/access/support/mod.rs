//! OpenLDAP, the pipe before it, and what is shared with other tests.

#![expect(dead_code, reason = "These tests use a part of what is shared.")]

#[path = "../../e2e/support/command.rs"]
pub(crate) mod command;
#[path = "../../e2e/support/daemon.rs"]
pub(crate) mod daemon;
#[path = "../../it/support/log.rs"]
pub(crate) mod log;
#[path = "../../bucket/support/program.rs"]
pub(crate) mod program;
#[path = "../../e2e/support/skip.rs"]
pub(crate) mod skip;

pub(crate) mod pipe;
pub(crate) mod slapd;
