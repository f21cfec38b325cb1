//! The other end of a connection.

use std::net::SocketAddr;

/// Who is at the other end of a connection, as the listener knows it. It stands in the extensions of every
/// request that came over that connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    address: SocketAddr,
}

impl Peer {
    /// Says who is there.
    pub const fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Returns the address that the connection came from.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}
