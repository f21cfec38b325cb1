//! How many connections each client has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::options::{Network, Options};
use crate::auth::Source;

/// Counts the connections of each client. There are as many entries as clients that have one, of which
/// `http.limits.maxConnections` is the bound.
pub(super) struct Connections {
    max: usize,
    trusted_proxies: Vec<Network>,
    open: Open,
}

type Open = Arc<Mutex<HashMap<Source, usize>>>;

/// A connection that is counted, until it is dropped.
pub(super) struct Counted(Option<(Source, Open)>);

impl Connections {
    pub(super) fn new(options: &Options) -> Self {
        let (max, trusted_proxies) = (options.connections_per_client_max, options.trusted_proxies.clone());
        Self { max, trusted_proxies, open: Open::default() }
    }

    /// Counts a connection, or returns `None` when it is one too many. Those of a trusted proxy are its
    /// clients', and are not counted.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Counted> {
        let address = address.to_canonical();
        if self.max == 0 || self.trusted_proxies.iter().any(|network| network.contains(address)) {
            return Some(Counted(None));
        }
        let source = Source::of(Some(address));
        let mut open = locked(&self.open);
        let count = open.entry(source).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Counted(Some((source, Arc::clone(&self.open)))))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Some((source, open)) = &self.0 else { return };
        let mut open = locked(open);
        if let Some(count) = open.get_mut(source) {
            *count -= 1;
            if *count == 0 {
                open.remove(source);
            }
        }
    }
}

fn locked(open: &Open) -> MutexGuard<'_, HashMap<Source, usize>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    //! Goal: a client has so many connections and no more, whatever others have, and nothing is left of one that
    //! has gone. Method: addresses without sockets.

    use super::*;

    fn connections(max: usize) -> Connections {
        let trusted_proxies = vec![Network::parse("10.0.0.0/8").unwrap()];
        Connections::new(&Options { connections_per_client_max: max, trusted_proxies, ..Options::default() })
    }

    fn enter(connections: &Connections, address: &str) -> Option<Counted> {
        connections.enter(address.parse().unwrap())
    }

    #[test]
    fn each_client_has_its_own() {
        let connections = connections(2);
        let held =
            ["192.0.2.1", "192.0.2.1", "192.0.2.2"].map(|address| enter(&connections, address).unwrap());
        assert!(
            enter(&connections, "192.0.2.1").is_none() && enter(&connections, "::ffff:192.0.2.1").is_none()
        );
        let proxied: Vec<_> = (0..9).map(|_| enter(&connections, "10.0.0.1").unwrap()).collect();
        let sixth = ["2001:db8::1", "2001:db8::2"].map(|address| enter(&connections, address).unwrap());
        assert!(enter(&connections, "2001:db8::3").is_none(), "one network is one client");
        let [first, ..] = held;
        drop(first);
        assert!(enter(&connections, "192.0.2.1").is_some());
        drop((proxied, sixth));
        assert!(enter(&connections, "2001:db8::3").is_some());
    }

    #[test]
    fn nothing_is_kept_of_those_who_left() {
        let connections = connections(1);
        drop(enter(&connections, "192.0.2.1"));
        assert!(locked(&connections.open).is_empty());
        assert!(enter(&self::connections(0), "192.0.2.1").is_some());
    }
}
