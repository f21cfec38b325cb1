//! Networks of IP addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Without a bit behind the prefix.
    first: IpAddr,
    prefix: u8,
}

impl Network {
    /// Parses `<address>/<prefix>`, or one address.
    ///
    /// Returns `None` for anything else, and for an address with bits behind the prefix: whoever writes
    /// `10.1.2.3/8` means either less or more than that says.
    pub fn parse(text: &str) -> Option<Self> {
        let (first, prefix) = match text.split_once('/') {
            Some((first, prefix)) => (first, Some(prefix)),
            None => (text, None),
        };
        let first: IpAddr = first.parse().ok()?;
        let bits = if first.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok()?,
            Some(_) => return None,
        };
        let is_network = prefix <= bits && cut(first, prefix) == first;
        is_network.then_some(Self { first, prefix }.canonical())
    }

    /// Returns it with addresses as clients have them here: an IPv4 address is one, however it is written.
    fn canonical(self) -> Self {
        match (self.first.to_canonical(), self.prefix.checked_sub(96)) {
            (first @ IpAddr::V4(_), Some(prefix)) if self.first.is_ipv6() => Self { first, prefix },
            _ => self,
        }
    }

    /// Says whether an address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.first.is_ipv4() == address.is_ipv4() && cut(address, self.prefix) == self.first
    }

    /// Says whether every address of its kind is one of them.
    pub const fn is_everything(&self) -> bool {
        self.prefix == 0
    }
}

/// Returns an address without the bits behind a prefix.
fn cut(address: IpAddr, prefix: u8) -> IpAddr {
    let prefix = u32::from(prefix);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

/// Shows it as it parses.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    //! Goal: a network has the addresses that begin with its bits, and no others. Method: a table, and the
    //! ends of each network.

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_have_ends() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", vec!["10.0.0.0", "10.255.255.255"], vec!["9.255.255.255", "11.0.0.0", "::a00:0"]),
            ("192.0.2.7", vec!["192.0.2.7"], vec!["192.0.2.6", "192.0.2.8"]),
            ("192.0.2.6/31", vec!["192.0.2.6", "192.0.2.7"], vec!["192.0.2.5", "192.0.2.8"]),
            ("0.0.0.0/0", vec!["0.0.0.0", "255.255.255.255"], vec!["::", "::1"]),
            ("2001:db8::/32", vec!["2001:db8::", "2001:db8:ffff::1"], vec!["2001:db7::", "10.0.0.1"]),
            ("::/0", vec!["::", "ffff::"], vec!["0.0.0.0"]),
            ("::1", vec!["::1"], vec!["::", "::2"]),
            // As addresses of clients are: IPv4 wherever they can be.
            ("::ffff:10.0.0.0/104", vec!["10.0.0.0", "10.255.255.255"], vec!["11.0.0.0", "::a00:0"]),
        ] {
            let network = Network::parse(text).unwrap();
            for each in inside {
                assert!(network.contains(address(each)), "{each} is in {text}");
            }
            for each in outside {
                assert!(!network.contains(address(each)), "{each} is not in {text}");
            }
            assert_eq!(Network::parse(&network.to_string()), Some(network), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "10.1.2.3/8",
            "10.0.0/8",
            "::/129",
            "2001:db8::1/32",
            "localhost",
            "10.0.0.0/256",
            " 10.0.0.0/8",
            "[::1]",
            "fe80::1%eth0",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
