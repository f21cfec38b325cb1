//! Real clients and real servers against the wharfinger program: `cargo xtask e2e`.
//!
//! *Goal*: what docker, containerd, skopeo, podman, buildah and curl do works, and what CNCF distribution serves can
//! be pulled through, on this machine, with the program that users run.
//!
//! *Method*: each test starts a server of its own on a free port with a folder of its own; whatever a
//! test starts is ended with it, also when it fails. Every command and its output is printed, which the
//! test runner shows on failure, and a server shows the end of its log then. Images are made here:
//! nothing is downloaded. A test whose programs or whose container engine are missing says that it is
//! skipped.

#![cfg(feature = "e2e")]
#![expect(clippy::unwrap_used, reason = "Helpers of tests may unwrap as tests do.")]

mod buildah;
mod container;
mod containerd;
mod curl;
mod deploy;
mod derived;
mod docker;
mod encrypted;
mod login;
mod outage;
mod podman;
mod proxy;
mod replays;
mod routing;
mod skopeo;
mod storm;
mod support;
mod transfer;
