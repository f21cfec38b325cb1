//! Where an upstream is: scheme, host and port, and nothing else. Pure.

/// A scheme, a host and perhaps a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    /// `http` or `https`.
    scheme: &'static str,
    /// The host in lower case, an IPv6 address in brackets, and `:port` where one was written.
    authority: String,
}

impl Origin {
    /// Returns the origin that `url` says, or none if it says anything else or anything more.
    ///
    /// *Shape*: `http(s)://host[:port]`, with at most a slash behind. Credentials, paths, queries
    /// and fragments make it none: none of them would be used.
    pub(super) fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let scheme = ["http", "https"].into_iter().find(|known| known.eq_ignore_ascii_case(scheme))?;
        let authority = rest.strip_suffix('/').unwrap_or(rest).to_ascii_lowercase();
        let (host, port) = split(&authority)?;
        let port_fits = port.is_none_or(|port| {
            port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse().is_ok_and(|port: u16| port != 0)
        });
        (is_host(host) && port_fits).then_some(Self { scheme, authority })
    }

    /// Returns the url of this origin, without a slash behind.
    pub(super) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// Returns the host and port as an upstream's default name; the brackets of an IPv6 address,
    /// which no name may have, are dropped.
    pub(super) fn name(&self) -> String {
        self.authority.replace(['[', ']'], "")
    }
}

fn split(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (_, port) = rest.split_once(']')?;
        let host = &authority[..authority.len() - port.len()];
        return match port.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => port.is_empty().then_some((host, None)),
        };
    }
    Some(match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    })
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    host.len() <= 253 && host.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::Origin;

    #[test]
    fn reads_origins() {
        let check = |url: &str, expect: &str, name: &str| {
            let origin = Origin::parse(url).unwrap_or_else(|| panic!("{url} is an origin"));
            assert_eq!((origin.url().as_str(), origin.name().as_str()), (expect, name));
        };
        check("https://gcr.lank8s.cn", "https://gcr.lank8s.cn", "gcr.lank8s.cn");
        check("https://gcr.lank8s.cn/", "https://gcr.lank8s.cn", "gcr.lank8s.cn");
        check("HTTP://Hub.Example:5000", "http://hub.example:5000", "hub.example:5000");
        check("http://127.0.0.1:8080", "http://127.0.0.1:8080", "127.0.0.1:8080");
        check("http://[::1]:5000", "http://[::1]:5000", "::1:5000");
        check("http://[::1]", "http://[::1]", "::1");
        check("http://docker_registry", "http://docker_registry", "docker_registry");
    }

    #[test]
    fn refuses_everything_else() {
        for url in [
            "",
            "gcr.io",
            "ftp://gcr.io",
            "https://",
            "https:///",
            "https://gcr.io/v2",
            "https://gcr.io//",
            "https://gcr.io?x",
            "https://gcr.io#x",
            "https://user:secret@gcr.io",
            "https://gcr.io:",
            "https://gcr.io:0",
            "https://gcr.io:+5",
            "https://gcr.io:65536",
            "https://gcr.io:5000:1",
            "https://.gcr.io",
            "https://gcr..io",
            "https://-gcr.io",
            "https://gcr.io ",
            "https://[::1",
            "https://[::1]x",
            "https://[gcr.io]",
            "https://größe.example",
        ] {
            assert_eq!(Origin::parse(url), None, "{url}");
        }
    }
}
