//! What the directory of accounts can be told, resolved from `http.auth.ldap`.

use std::fmt;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

/// The largest file with the bind account, in bytes.
const ACCOUNT_BYTES_MAX: u64 = 64 * 1024;

/// The most that a directory is asked for at once.
pub const POOL_MAX: u64 = 256;

/// Settings of a directory of accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LdapOptions {
    /// The host: a name or an IP address (`address`).
    pub host: String,
    /// Its port (`port`); without the key, the one of [`Security::port`].
    pub port: u16,
    /// How it is spoken to (`insecure`, `startTLS`).
    pub security: Security,
    /// Whether its certificate is checked (`skipVerify`).
    pub verification: Verification,
    /// The authorities of its certificate (`caCert`); none means the system's.
    pub ca_file: Option<PathBuf>,
    /// Who searches (`credentialsFile`, or `bindDN` and `bindPassword`).
    pub account: AccountSource,
    /// Below what users stand (`baseDN`).
    pub base_dn: String,
    /// How deep below it (`subtreeSearch`).
    pub depth: Depth,
    /// The attribute that holds a user's name (`userAttribute`).
    pub user_attribute: String,
    /// A filter that users must pass (`userFilter`).
    pub user_filter: Option<String>,
    /// The attribute that holds a user's groups (`userGroupAttribute`); none means that a user has none.
    pub group_attribute: Option<String>,
    /// How long each step may take: a connection, a search, a bind, the wait for a turn (`timeout`).
    pub timeout: Duration,
    /// Searches at once, over as many connections, and passwords checked at once (`poolSize`).
    pub pool_size: usize,
    /// How long a verified password is remembered (`http.auth.cacheTtl`).
    pub cache_ttl: Duration,
    /// Verified passwords remembered at once (`http.auth.cacheEntries`).
    pub cache_entries_max: u64,
}

/// How a directory is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// With TLS from the first byte.
    Ldaps,
    /// With TLS from the first message on, by RFC 4511 section 4.14.
    StartTls,
    /// Without TLS.
    Plain,
}

/// Whether the certificate of a directory is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    /// It must be one of an authority's, for this host.
    Checked,
    /// It may be any.
    Skipped,
}

/// How deep below the base users stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Right below it.
    OneLevel,
    /// At any depth.
    Subtree,
}

/// Where the account that searches comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountSource {
    /// Nowhere: the search is anonymous.
    Anonymous,
    /// A file, as [`BindAccount::read`] reads it.
    File(PathBuf),
    /// The configuration.
    Written(BindAccount),
}

/// The account that searches.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct BindAccount {
    /// Its distinguished name.
    #[serde(rename = "bindDN")]
    pub dn: String,
    /// Its password.
    #[serde(rename = "bindPassword")]
    pub password: String,
}

/// Why a file gives no bind account. What is wrong in it is not quoted: it holds a password.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The file cannot be read.
    #[error("{} cannot be read", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file is no JSON object with both strings, or one of them is empty.
    #[error("{} is not {{\"bindDN\": …, \"bindPassword\": …}} with two non-empty strings", .path.display())]
    Form {
        /// The file.
        path: PathBuf,
    },
}

/// What is wrong with the words of [`LdapOptions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LdapFault {
    /// The host is more or less than a host.
    #[error("is no host name and no IP address; scheme and port have keys of their own")]
    Host,
    /// TLS names its peer by a host name or an IPv4 address.
    #[error("an IPv6 address can only be asked without TLS; give the host's name")]
    HostForTls,
    /// The attribute is no attribute.
    #[error("is no name of an attribute: letters, digits, \"-\", \".\" and \";\"")]
    Attribute,
    /// The filter is no filter.
    #[error("is no LDAP filter such as \"(objectClass=person)\"")]
    Filter,
}

impl Security {
    /// Returns the port that a directory has by custom.
    pub const fn port(self) -> u16 {
        match self {
            Self::Ldaps => 636,
            Self::StartTls | Self::Plain => 389,
        }
    }
}

impl Default for LdapOptions {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: Security::Ldaps.port(),
            security: Security::Ldaps,
            verification: Verification::Checked,
            ca_file: None,
            account: AccountSource::Anonymous,
            base_dn: String::new(),
            depth: Depth::OneLevel,
            user_attribute: String::new(),
            user_filter: None,
            group_attribute: None,
            timeout: Duration::from_secs(5),
            pool_size: 4,
            cache_ttl: Duration::from_secs(60),
            cache_entries_max: 1_024,
        }
    }
}

impl LdapOptions {
    /// Returns what is wrong with each word, by the name of its key.
    pub fn faults(&self) -> Vec<(&'static str, LdapFault)> {
        let mut faults = Vec::new();
        match host(&self.host) {
            None => faults.push(("address", LdapFault::Host)),
            Some(Host::Ipv6) if self.security != Security::Plain => {
                faults.push(("address", LdapFault::HostForTls));
            }
            Some(_) => {}
        }
        let attributes = [("userAttribute", Some(&self.user_attribute))];
        for (key, attribute) in
            attributes.into_iter().chain([("userGroupAttribute", self.group_attribute.as_ref())])
        {
            if attribute.is_some_and(|attribute| !is_attribute(attribute)) {
                faults.push((key, LdapFault::Attribute));
            }
        }
        if self.user_filter.as_deref().is_some_and(|filter| ldap3::parse_filter(enclosed(filter)).is_err()) {
            faults.push(("userFilter", LdapFault::Filter));
        }
        faults
    }

    /// Returns the filter that users must pass, in its parentheses.
    pub(in super::super) fn enclosed_filter(&self) -> Option<String> {
        self.user_filter.as_deref().map(enclosed)
    }
}

/// A filter may be written without its outermost parentheses.
fn enclosed(filter: &str) -> String {
    let filter = filter.trim();
    if filter.starts_with('(') { filter.to_owned() } else { format!("({filter})") }
}

enum Host {
    Name,
    Ipv6,
}

fn host(text: &str) -> Option<Host> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(if address.is_ipv6() { Host::Ipv6 } else { Host::Name });
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.strip_suffix('.').unwrap_or(text).split('.').all(is_label).then_some(Host::Name)
}

/// *Spec:* RFC 4512 section 2.5: a name or numbers with dots, and options behind semicolons.
fn is_attribute(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b';'))
}

impl BindAccount {
    /// Reads the account from a file: a JSON object with `bindDN` and `bindPassword`, as zot has it.
    ///
    /// *Errors:* every variant of [`AccountError`].
    pub fn read(path: &Path) -> Result<Self, AccountError> {
        let failed = |source| AccountError::Read { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(ACCOUNT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
        let form = || AccountError::Form { path: path.to_owned() };
        if bytes.len() as u64 > ACCOUNT_BYTES_MAX {
            return Err(form());
        }
        let account: Self = serde_json::from_slice(&bytes).map_err(|_| form())?;
        // With an empty password the directory would take the bind for an anonymous one, and say
        // that it succeeded.
        if account.dn.is_empty() || account.password.is_empty() { Err(form()) } else { Ok(account) }
    }
}

impl fmt::Debug for BindAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BindAccount").field("dn", &self.dn).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    //! Goal: what cannot work is said before the server starts, and the account is shown to nobody.
    //! Method: tables, and real files.

    use super::*;

    fn options(host: &str) -> LdapOptions {
        LdapOptions {
            host: host.to_owned(),
            user_attribute: "uid".to_owned(),
            base_dn: "dc=example,dc=org".to_owned(),
            ..LdapOptions::default()
        }
    }

    #[test]
    fn a_host_is_a_host_alone() {
        for host in ["ldap", "ldap.example.org", "ldap.example.org.", "10.0.0.1", "a_b"] {
            assert_eq!(options(host).faults(), [], "{host}");
        }
        for host in ["", ".", "a..b", "ldaps://a", "a:636", "a/b", "a@b", "[::1]", "größe", "a b"] {
            assert_eq!(options(host).faults(), [("address", LdapFault::Host)], "{host}");
        }
        assert_eq!(options("::1").faults(), [("address", LdapFault::HostForTls)]);
        let plain = LdapOptions { security: Security::Plain, port: 389, ..options("::1") };
        assert_eq!(plain.faults(), []);
    }

    #[test]
    fn attributes_and_filters_are_read() {
        for (filter, expect) in [
            ("(objectClass=person)", Some("(objectClass=person)")),
            ("objectClass=person", Some("(objectClass=person)")),
            (" (&(a=b)(!(c=*))) ", Some("(&(a=b)(!(c=*)))")),
            ("(a=b)(c=d)", None),
            ("(a=b", None),
            ("a=b)(|(c=d)", None),
            ("", None),
        ] {
            let options = LdapOptions { user_filter: Some(filter.to_owned()), ..options("a") };
            let fault = expect.is_none().then_some(("userFilter", LdapFault::Filter));
            assert_eq!(options.faults(), Vec::from_iter(fault), "{filter}");
            assert!(expect.is_none() || options.enclosed_filter().as_deref() == expect, "{filter}");
        }
        for attribute in ["", "a b", "uid=*)(x", "é"] {
            let group_attribute = Some(attribute.to_owned());
            let options =
                LdapOptions { user_attribute: attribute.to_owned(), group_attribute, ..options("a") };
            let expect =
                [("userAttribute", LdapFault::Attribute), ("userGroupAttribute", LdapFault::Attribute)];
            assert_eq!(options.faults(), expect, "{attribute}");
        }
    }

    #[test]
    fn p11_an_account_is_read_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ldap.json");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            BindAccount::read(&path)
        };
        let account = read(r#"{"bindDN": "cn=reader", "bindPassword": "hunter2", "more": 1}"#).unwrap();
        assert_eq!((account.dn.as_str(), account.password.as_str()), ("cn=reader", "hunter2"));
        assert!(!format!("{account:?}").contains("hunter2"));
        let long = format!(r#"{{"bindDN": "a", "bindPassword": "{}"}}"#, "x".repeat(70_000));
        for text in [
            r#"{"bindDN": "a", "bindPassword": ""}"#,
            r#"{"bindDN": "", "bindPassword": "hunter2"}"#,
            r#"{"bindPassword": "hunter2"}"#,
            "hunter2",
            &long,
        ] {
            let error = read(text).unwrap_err();
            assert!(matches!(error, AccountError::Form { .. }));
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        let absent = BindAccount::read(&folder.path().join("absent"));
        assert!(matches!(absent, Err(AccountError::Read { .. })));
    }
}
