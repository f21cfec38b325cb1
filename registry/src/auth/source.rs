//! Where somebody sits, as far as limits tell clients apart.

use std::net::{IpAddr, Ipv6Addr};

/// An address that limits count by.
///
/// *Shape:* an IPv4 address, or the first 64 bits of an IPv6 address: whoever has one of these has all that begin
/// with them, and would be a new client with each request. Requests that did not come over a connection have no
/// address, and are one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source(Option<IpAddr>);

impl Source {
    /// Where nobody knows.
    pub const UNKNOWN: Self = Self(None);

    /// Makes it of an address.
    pub fn of(address: Option<IpAddr>) -> Self {
        Self(address.map(|address| match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
            address @ IpAddr::V4(_) => address,
        }))
    }
}

#[cfg(test)]
mod tests {
    //! Goal: who has one address cannot be many clients. Method: a table of pairs.

    use super::*;

    #[test]
    fn one_network_is_one_source() {
        for (one, other, expect) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            let [one, other] = [one, other].map(|text| Source::of(Some(text.parse().unwrap())));
            assert_eq!(one == other, expect, "{one:?} {other:?}");
            assert_ne!(one, Source::UNKNOWN);
        }
        assert_eq!(Source::of(None), Source::UNKNOWN);
    }
}
