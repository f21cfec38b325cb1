//! What the tests share: servers that end with their test, commands that show what they said, and
//! content that is made here.

pub(crate) mod command;
pub(crate) mod containerd;
pub(crate) mod daemon;
pub(crate) mod engine;
pub(crate) mod layout;
pub(crate) mod podman;
pub(crate) mod random;
pub(crate) mod registry;
pub(crate) mod server;
pub(crate) mod skip;
pub(crate) mod static_build;
pub(crate) mod tls;
pub(crate) mod upstream;
pub(crate) mod valve;
pub(crate) mod wire;
