//! Who somebody is.

use std::fmt;
use std::sync::Arc;

/// Whoever sent a request, once the credentials have been verified.
///
/// Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// Somebody who sent no credentials.
    Anonymous,
    /// A user who proved to be the one of that name.
    Account(Arc<str>),
}

impl Identity {
    /// Returns the name of the account, if there is one.
    pub fn account(&self) -> Option<&str> {
        match self {
            Self::Anonymous => None,
            Self::Account(user) => Some(user),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.account().unwrap_or("anonymous"))
    }
}
