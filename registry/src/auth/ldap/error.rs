//! What can go wrong with a directory. No variant holds a password, and no message of a directory's is
//! repeated: it may quote what it was sent.

use std::path::PathBuf;
use std::time::Duration;

use crate::auth::options::ldap::{AccountError, LdapFault};

/// Why a directory did not say whether a user exists or a password is right. Whether it is right is as
/// unknown as before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// It was asked, in vain.
    #[error("the directory cannot be asked")]
    Failed(#[source] Trouble),
    /// It failed a moment ago, and is not asked again yet.
    #[error("the directory failed a moment ago")]
    Resting {
        /// When it will be.
        retry_after: Duration,
    },
    /// Too many logins wait for it.
    #[error("too many logins wait for the directory")]
    Overloaded,
}

/// What happened when a directory was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// No connection came about.
    #[error("no connection: {reason}")]
    Connect {
        /// What the system says.
        reason: String,
    },
    /// No TLS session came about, as with a certificate that is not trusted.
    #[error("no TLS session: {reason}")]
    Tls {
        /// What the TLS library says.
        reason: String,
    },
    /// A step took too long.
    #[error("no {step} within {}ms", .after.as_millis())]
    Timeout {
        /// What was waited for.
        step: Step,
        /// For how long.
        after: Duration,
    },
    /// The connection ended in the middle.
    #[error("the connection broke off during a {step}")]
    Lost {
        /// What was waited for.
        step: Step,
    },
    /// The account that searches was refused.
    #[error("the bind account is refused with result {code} ({})", name(*code))]
    Account {
        /// The directory's result.
        code: u32,
    },
    /// The search was refused.
    #[error("the search below the base DN ends with result {code} ({})", name(*code))]
    Search {
        /// The directory's result.
        code: u32,
    },
    /// A password could not be checked.
    #[error("a login ends with result {code} ({})", name(*code))]
    Bind {
        /// The directory's result.
        code: u32,
    },
}

/// A step of asking a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// To be connected, with TLS if there is to be TLS.
    Connection,
    /// To be logged in.
    Bind,
    /// To find a user.
    Search,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connection => "connection",
            Self::Bind => "bind",
            Self::Search => "search",
        })
    }
}

impl Trouble {
    /// Tells whether this is about one connection, so that another may do better.
    pub(super) const fn is_of_connection(&self) -> bool {
        matches!(self, Self::Timeout { .. } | Self::Lost { .. } | Self::Connect { .. } | Self::Tls { .. })
    }
}

/// Returns the name of a result code.
///
/// *Spec:* RFC 4511 section 4.1.9.
const fn name(code: u32) -> &'static str {
    match code {
        1 => "operationsError",
        2 => "protocolError",
        3 => "timeLimitExceeded",
        4 => "sizeLimitExceeded",
        7 => "authMethodNotSupported",
        8 => "strongerAuthRequired",
        10 => "referral",
        11 => "adminLimitExceeded",
        13 => "confidentialityRequired",
        32 => "noSuchObject",
        34 => "invalidDNSyntax",
        48 => "inappropriateAuthentication",
        49 => "invalidCredentials",
        50 => "insufficientAccessRights",
        51 => "busy",
        52 => "unavailable",
        53 => "unwillingToPerform",
        _ => "see RFC 4511",
    }
}

/// Why a directory cannot be made of its options.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A word is not what it should be.
    #[error("http.auth.ldap.{key} {fault}")]
    Word {
        /// The key, below `http.auth.ldap`.
        key: &'static str,
        /// What is wrong with it.
        fault: LdapFault,
    },
    /// Nobody may search, so that every login would wait forever.
    #[error("the pool of connections to the directory has no place")]
    NoPool,
    /// There is no bind account.
    #[error("the bind account of the directory is not known")]
    Account(#[from] AccountError),
    /// The authorities cannot be read.
    #[error("the authorities of the directory's certificate in {} cannot be read", .path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::pki_types::pem::Error,
    },
    /// There is nobody to trust.
    #[error("there is no authority that the directory's certificate could be from")]
    NoAuthorities,
    /// The TLS library does not take the settings.
    #[error("no TLS settings for the directory")]
    Tls(#[from] rustls::Error),
}
