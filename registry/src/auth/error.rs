//! What can go wrong in the access layer.
//!
//! No variant and no message holds anything that a client sent as a secret, or might have sent as
//! one by mistake.

use super::credentials::AUTHORIZATION_BYTES_MAX;

/// Why the value of an `Authorization` header gives no credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The value has more than [`AUTHORIZATION_BYTES_MAX`] bytes.
    #[error("the Authorization header has {len} bytes, more than {AUTHORIZATION_BYTES_MAX}")]
    TooLong {
        /// How many it has.
        len: usize,
    },
    /// The scheme is not Basic. It is not repeated: a client that forgets the scheme sends its
    /// secret in that place.
    #[error("the Authorization header has a scheme other than Basic")]
    UnsupportedScheme,
    /// What follows the scheme is not base64.
    #[error("the Basic credentials are not base64")]
    Base64,
    /// There is no colon between user and password.
    #[error("the Basic credentials have no colon")]
    NoColon,
    /// The user is not UTF-8.
    #[error("the user of the Basic credentials is not UTF-8")]
    UserNotUtf8,
    /// User or password contains a control character, which RFC 7617 section 2 forbids.
    #[error("the Basic credentials contain a control character")]
    Control,
}

/// Why a login did not give an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// There is no such user, or the password is wrong; which one is told to nobody.
    #[error("the user or the password is wrong")]
    Refused,
    /// The header cannot be read.
    #[error("the Authorization header is malformed")]
    Malformed(#[source] CredentialsError),
    /// The header's scheme is not one that this registry takes.
    #[error("the scheme of the Authorization header is not supported")]
    UnsupportedScheme,
    /// Too many passwords wait to be verified, or this one waited too long; a retry may help.
    #[error("too many logins wait to be verified")]
    Overloaded,
}

impl From<CredentialsError> for LoginError {
    fn from(error: CredentialsError) -> Self {
        match error {
            CredentialsError::UnsupportedScheme => Self::UnsupportedScheme,
            CredentialsError::TooLong { .. }
            | CredentialsError::Base64
            | CredentialsError::NoColon
            | CredentialsError::UserNotUtf8
            | CredentialsError::Control => Self::Malformed(error),
        }
    }
}

/// Why somebody was not given a right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody is logged in, and logging in might help.
    #[error("credentials are needed")]
    Unauthenticated,
    /// The rights do not suffice, and logging in again would not change that.
    #[error("access is denied")]
    Denied,
}

/// Why a policy cannot be made of its options.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A glob over repository names is malformed.
    #[error("the repository glob {glob:?} is malformed")]
    Glob {
        /// The glob as written.
        glob: String,
        /// What is wrong with it.
        source: globset::Error,
    },
    /// The globs are too many or too large to be compiled together.
    #[error("the repository globs are too large")]
    Globs(#[source] globset::Error),
}

/// Why the access layer cannot be made of its options.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// The realm cannot stand in a challenge, where only printable ASCII may.
    #[error("the realm {realm:?} is not printable ASCII")]
    Realm {
        /// The realm as written.
        realm: String,
    },
    /// No password may be verified at all, so that every login would wait forever.
    #[error("the number of passwords verified at once is zero")]
    NoVerifications,
    /// The policy is faulty.
    #[error("the access control is faulty")]
    Policy(#[from] PolicyError),
}
