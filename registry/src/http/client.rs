//! Who a request is from, when proxies stand between.
//!
//! What a proxy says of its client counts when the proxy is trusted (`http.trustedProxies`), and so does
//! what it says of another trusted proxy. Anybody else could say anything, so the headers of a stranger are
//! not looked at, and what stands to the left of a stranger in a list was his to write.
//!
//! *Spec:* RFC 7239 section 5.2 and 6; `X-Forwarded-For`, `-Proto` and `-Host` as proxies send them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Once;

use http::header::{FORWARDED, HeaderMap, HeaderName};
use http::uri::{Authority, Scheme};

use super::network::Network;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Entries of a list of proxies that are looked at, from the right; no chain of proxies is so long.
const HOPS_MAX: usize = 32;
/// The longest authority that a proxy may name, in bytes: a host has 253, and a port.
const AUTHORITY_BYTES_MAX: usize = 259;

/// Who a request is from, and how it was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Client {
    /// Its address; `None` when the request did not come through the listener.
    pub(super) address: Option<IpAddr>,
    /// The scheme that it used, if a trusted proxy says so.
    pub(super) scheme: Option<Scheme>,
    /// The authority that it used, if a trusted proxy says so.
    pub(super) authority: Option<Authority>,
}

/// Tells who a request is from.
///
/// The address is that of the first who is not trusted, from the right. Whose address cannot be read (`unknown`,
/// an obfuscated name) stands behind the proxy that says so, and has its address. Where both headers are there
/// and do not agree, one of them was the client's own and passed through: neither is believed, and the address is
/// the nearest proxy's.
///
/// Scheme and authority are those that stand first. A client that writes them itself changes what it is told
/// itself, and nothing else.
pub(super) fn client(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[Network]) -> Client {
    let Some(peer) = peer.map(|address| address.to_canonical()) else { return Client::default() };
    if !is_trusted(peer, trusted) {
        return Client { address: Some(peer), ..Client::default() };
    }
    let standard = headers.contains_key(FORWARDED).then(|| {
        outermost(peer, trusted, entries(headers, &FORWARDED).map(|entry| node(parameter(entry, "for")?)))
    });
    let common = headers
        .contains_key(X_FORWARDED_FOR)
        .then(|| outermost(peer, trusted, entries(headers, &X_FORWARDED_FOR).map(node)));
    let address = match (standard, common) {
        (Some(one), Some(other)) if one != other => peer,
        (Some(address), _) | (None, Some(address)) => address,
        (None, None) => peer,
    };
    let said = |name, key| {
        first(headers, name).or_else(|| first(headers, &FORWARDED).and_then(|entry| parameter(entry, key)))
    };
    Client {
        address: Some(address),
        scheme: said(&X_FORWARDED_PROTO, "proto").and_then(scheme),
        authority: said(&X_FORWARDED_HOST, "host").and_then(authority),
    }
}

/// Tells once that somebody who is not trusted says whom his requests are from: behind an ingress all clients are
/// one then, to limits, logs and those who guess passwords.
pub(super) fn tell_unbelieved(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[Network]) {
    static TOLD: Once = Once::new();
    let says = [X_FORWARDED_FOR, FORWARDED].into_iter().find(|name| headers.contains_key(name));
    let (Some(peer), Some(header)) = (peer.map(|it| it.to_canonical()), says) else { return };
    if !is_trusted(peer, trusted) {
        TOLD.call_once(|| {
            tracing::warn!(
                client.address = %peer,
                http.header = %header,
                "says whom its requests are from and is not believed: if it is a proxy of yours, name it in \
                 http.trustedProxies, or limits, back-off and the audit log take all its clients for one"
            );
        });
    }
}

fn is_trusted(address: IpAddr, trusted: &[Network]) -> bool {
    trusted.iter().any(|network| network.contains(address))
}

/// Returns who stands furthest out, as far as those who are trusted say.
fn outermost(peer: IpAddr, trusted: &[Network], nodes: impl Iterator<Item = Option<IpAddr>>) -> IpAddr {
    let mut nearest = peer;
    for node in nodes {
        match node {
            Some(address) if is_trusted(address, trusted) => nearest = address,
            Some(address) => return address,
            None => break,
        }
    }
    nearest
}

/// Iterates over the entries of a list, from the right, however many headers it is in.
///
/// A comma separates also between quotes. No parameter that is looked at has one, and a client that opens a
/// quote and does not close it would hide what the proxies behind it add.
fn entries<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().rev();
    // What is no text is an entry that says nothing, and not one that is passed over.
    let lines = lines.map(|line| str::from_utf8(line.as_bytes()).unwrap_or("?"));
    lines.flat_map(|line| line.rsplit(',')).take(HOPS_MAX).map(str::trim).filter(|entry| !entry.is_empty())
}

/// Returns the first entry of a list.
fn first<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()?.split(',').next().map(str::trim)
}

/// Returns the value of a parameter of an entry; of one that stands twice, nothing is known.
fn parameter<'a>(entry: &'a str, name: &str) -> Option<&'a str> {
    let pairs = entry.split(';').filter_map(|pair| pair.split_once('='));
    let mut values =
        pairs.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
    let value = values.next().filter(|_| values.next().is_none())?;
    match value.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"'),
        None => Some(value),
    }
}

/// Reads the address of a node.
///
/// *Shape:* `<v4>`, `<v4>:<port>`, `<v6>`, `[<v6>]`, `[<v6>]:<port>`; the port may be obfuscated.
fn node(text: &str) -> Option<IpAddr> {
    let address = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        let is_whole = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        IpAddr::V6(host.parse::<Ipv6Addr>().ok().filter(|_| is_whole)?)
    } else if let Some((host, port)) = text.split_once(':').filter(|(_, port)| !port.contains(':')) {
        IpAddr::V4(host.parse::<Ipv4Addr>().ok().filter(|_| is_port(port))?)
    } else {
        text.parse().ok()?
    };
    Some(address.to_canonical())
}

/// Says whether a text is a port, or a name in its place.
fn is_port(text: &str) -> bool {
    let is_number = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    is_number || text.strip_prefix('_').is_some_and(|name| !name.is_empty() && name.bytes().all(is_plain))
}

fn scheme(text: &str) -> Option<Scheme> {
    [("https", Scheme::HTTPS), ("http", Scheme::HTTP)]
        .into_iter()
        .find_map(|(name, scheme)| text.eq_ignore_ascii_case(name).then_some(scheme))
}

fn authority(text: &str) -> Option<Authority> {
    let is_host = text.len() <= AUTHORITY_BYTES_MAX && !text.contains('@');
    is_host.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
