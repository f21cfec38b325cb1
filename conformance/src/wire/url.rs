//! Addresses: the target's origin, and the resolution of a Location header against it.
//!
//! It keeps path and query exactly as written. Normalising them would hide what a registry does with
//! `//`, `..` and percent-encoding, which is what several checks look for.

use thiserror::Error;

/// Whether an address is spoken to in clear text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Clear text.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// An absolute `http` or `https` address, with its path and query kept byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Clear text or TLS.
    pub scheme: Scheme,
    /// Host name or address; an IPv6 address stands without its brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path and query as they go into the request line; begins with `/`.
    pub target: String,
}

/// Says why a string is not an address that the suite can talk to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UrlError {
    /// The string begins neither with `http://` nor with `https://`.
    #[error("neither an http nor an https address: {0}")]
    Scheme(String),
    /// The host is missing.
    #[error("no host in {0}")]
    Host(String),
    /// The port is not a number from 1 to 65535.
    #[error("bad port in {0}")]
    Port(String),
}

impl Url {
    /// Parses an absolute `http://host[:port][/path]` or `https://…` address.
    ///
    /// *Errors*: every variant of [`UrlError`], as named there.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| UrlError::Scheme(text.to_owned()))?;
        let known = [Scheme::Http, Scheme::Https];
        let scheme = known.into_iter().find(|known| scheme.eq_ignore_ascii_case(known.name()));
        let scheme = scheme.ok_or_else(|| UrlError::Scheme(text.to_owned()))?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) =
            split_authority(authority, scheme).ok_or_else(|| UrlError::Port(text.to_owned()))?;
        if host.is_empty() {
            return Err(UrlError::Host(text.to_owned()));
        }
        let tail = tail.split('#').next().unwrap_or_default();
        let target = if tail.starts_with('/') { tail.to_owned() } else { format!("/{tail}") };
        Ok(Self { scheme, host, port, target })
    }

    /// Resolves a Location header against this address, as RFC 3986 §5.2 does without dot removal.
    ///
    /// *Errors*: every variant of [`UrlError`], when an absolute Location cannot be spoken to.
    pub fn join(&self, location: &str) -> Result<Self, UrlError> {
        if location.contains("://") && !location.starts_with('/') {
            return Self::parse(location);
        }
        if let Some(rest) = location.strip_prefix("//") {
            return Self::parse(&format!("{}://{rest}", self.scheme.name()));
        }
        let path = self.target.split('?').next().unwrap_or("/");
        let target = if location.starts_with('/') {
            location.to_owned()
        } else if location.starts_with('?') {
            format!("{path}{location}")
        } else {
            let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
            format!("{folder}{location}")
        };
        Ok(Self { target, ..self.clone() })
    }

    /// Returns this origin with another path and query.
    pub fn at(&self, target: &str) -> Self {
        Self { target: target.to_owned(), ..self.clone() }
    }

    /// Returns this address with one more query parameter, whose value must be URL-safe already.
    pub fn with_query(&self, key: &str, value: &str) -> Self {
        let mark = if self.target.contains('?') { '&' } else { '?' };
        self.at(&format!("{}{mark}{key}={value}", self.target))
    }

    /// Returns `host:port` as the Host header wants it.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Says whether both addresses are served by the same host and port in the same way.
    pub fn same_origin(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.host.eq_ignore_ascii_case(&other.host) && self.port == other.port
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", self.scheme.name(), self.authority(), self.target)
    }
}

fn split_authority(authority: &str, scheme: Scheme) -> Option<(String, u16)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, tail) = rest.split_once(']')?;
        return match tail.strip_prefix(':') {
            Some(port) => Some((host.to_owned(), parse_port(port)?)),
            None if tail.is_empty() => Some((host.to_owned(), scheme.port())),
            None => None,
        };
    }
    match authority.split_once(':') {
        Some((host, port)) => Some((host.to_owned(), parse_port(port)?)),
        None => Some((authority.to_owned(), scheme.port())),
    }
}

fn parse_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_it_can_talk_to() {
        let check = |text: &str, expect: Result<(&str, u16, &str), UrlError>| {
            let got = Url::parse(text);
            let got = got.as_ref().map(|u| (u.host.as_str(), u.port, u.target.as_str()));
            assert_eq!(got.map_err(Clone::clone), expect, "{text}");
        };
        check("http://localhost:5000", Ok(("localhost", 5000, "/")));
        check("HTTP://h/v2/?a=b", Ok(("h", 80, "/v2/?a=b")));
        check("http://[::1]:8080/x", Ok(("::1", 8080, "/x")));
        check("http://user:word@h:1/", Ok(("h", 1, "/")));
        check("https://h/x", Ok(("h", 443, "/x")));
        check("HTTPS://[::1]/", Ok(("::1", 443, "/")));
        check("ftp://h/", Err(UrlError::Scheme("ftp://h/".into())));
        check("http://:5/", Err(UrlError::Host("http://:5/".into())));
        check("http://h:x/", Err(UrlError::Port("http://h:x/".into())));
        check("http://h:0/", Err(UrlError::Port("http://h:0/".into())));
    }

    #[test]
    fn resolves_locations() {
        let base = Url::parse("http://h:5000/v2/a/blobs/uploads/?x=1").unwrap();
        let check = |location: &str, expect: &str| {
            assert_eq!(base.join(location).unwrap().to_string(), expect, "{location}");
        };
        check("/v2/a/blobs/uploads/1?s=%2F", "http://h:5000/v2/a/blobs/uploads/1?s=%2F");
        check("http://other:1/z", "http://other:1/z");
        check("//other:1/z", "http://other:1/z");
        check("id", "http://h:5000/v2/a/blobs/uploads/id");
        check("?s=2", "http://h:5000/v2/a/blobs/uploads/?s=2");
        check("https://other/z", "https://other:443/z");
        assert!(base.join("ftp://other/z").is_err());
        assert!(!base.same_origin(&base.join("https://h:5000/").unwrap()));
    }

    #[test]
    fn appends_queries_to_opaque_addresses() {
        let base = Url::parse("http://h:1/u").unwrap();
        assert_eq!(base.with_query("digest", "d").target, "/u?digest=d");
        assert_eq!(base.with_query("a", "1").with_query("b", "2").target, "/u?a=1&b=2");
    }
}
