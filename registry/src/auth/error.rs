//! What can go wrong in the access layer.
//!
//! No variant and no message holds anything that a client sent as a secret, or might have sent as
//! one by mistake.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::api_keys::{KEYS_MAX, LABEL_CHARS_MAX, SCOPE_BYTES_MAX, SCOPES_MAX};
use super::credentials::AUTHORIZATION_BYTES_MAX;
use super::expression::ExpressionError;
use super::keep::KeepError;
use super::ldap::DirectoryError;

/// Why the value of an `Authorization` header gives no credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The value has more than [`AUTHORIZATION_BYTES_MAX`] bytes.
    #[error("the Authorization header has {len} bytes, more than {AUTHORIZATION_BYTES_MAX}")]
    TooLong {
        /// How many it has.
        len: usize,
    },
    /// The scheme is neither Basic nor Bearer. It is not repeated: a client that forgets the scheme sends its
    /// secret in that place.
    #[error("the Authorization header has a scheme other than Basic and Bearer")]
    UnsupportedScheme,
    /// What follows the scheme is not base64.
    #[error("the Basic credentials are not base64")]
    Base64,
    /// What follows the scheme Bearer is not a token.
    #[error("the Bearer credentials are no token")]
    Token,
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
    /// The token is none of ours, is not for this, or has expired; a new one may help.
    #[error("the token is not valid")]
    Token(#[source] TokenError),
    /// What keeps accounts or keys cannot be reached, and nothing else knows; a retry may help.
    #[error("accounts cannot be looked up now")]
    Unavailable,
    /// Too many logins have failed before this one, which was not looked at; a retry after the wait may help.
    #[error("too many logins have failed; try again later")]
    Held {
        /// How long until one is looked at again.
        wait: Duration,
    },
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
            | CredentialsError::Token
            | CredentialsError::UserNotUtf8
            | CredentialsError::Control => Self::Malformed(error),
        }
    }
}

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is not a token of the form that is taken.
    #[error("it is malformed")]
    Malformed,
    /// It names no key, or one that is not known any more.
    #[error("its key is not known")]
    KeyUnknown,
    /// The signature is not the key's, or of an algorithm that the key is not for.
    #[error("its signature is not right")]
    Signature,
    /// It is of another issuer.
    #[error("its issuer is not trusted")]
    Issuer,
    /// It is for another service, or a refresh token.
    #[error("it is for another audience")]
    Audience,
    /// It has expired.
    #[error("it has expired")]
    Expired,
    /// It is not valid yet.
    #[error("it is not valid yet")]
    TooEarly,
    /// It lacks a claim that is needed, or has one that cannot be read.
    #[error("a claim is missing or is not of its kind")]
    Claims,
    /// Its claims come to no account, or are not those that the configuration asks for.
    #[error("its claims are not those that are asked for")]
    Mapping,
    /// What it would have to be verified with cannot be had now.
    #[error("the keys of its issuer cannot be had")]
    Unavailable,
}

impl TokenError {
    /// Tells why the library does not take a token.
    pub(super) fn of(error: &jsonwebtoken::errors::Error) -> Self {
        use jsonwebtoken::errors::ErrorKind;
        match error.kind() {
            ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => Self::Signature,
            ErrorKind::InvalidIssuer => Self::Issuer,
            ErrorKind::InvalidAudience => Self::Audience,
            ErrorKind::ExpiredSignature => Self::Expired,
            ErrorKind::ImmatureSignature => Self::TooEarly,
            ErrorKind::MissingRequiredClaim(_) | ErrorKind::Json(_) => Self::Claims,
            _ => Self::Malformed,
        }
    }
}

/// Why there is no key as a user wants it, or none that he may see.
#[derive(Debug, thiserror::Error)]
pub enum ApiKeyError {
    /// What is wanted cannot be read.
    #[error("the body is no JSON object of label, scopes and expirationDate")]
    Wish,
    /// The label is too long, or has control characters.
    #[error("the label has more than {LABEL_CHARS_MAX} characters, or control characters")]
    Label,
    /// There are too many scopes.
    #[error("there are more than {SCOPES_MAX} scopes")]
    Scopes,
    /// A scope is malformed.
    #[error(
        "scopes[{index}] is no glob over repository names of at most {SCOPE_BYTES_MAX} bytes, with or without :pull,push,delete"
    )]
    Scope {
        /// Which, from 0.
        index: usize,
    },
    /// The date is malformed.
    #[error("expirationDate is no date of RFC 3339")]
    Date,
    /// The date has passed.
    #[error("expirationDate has passed")]
    Past,
    /// The user has as many as he may have.
    #[error("there are {KEYS_MAX} keys already; revoke one")]
    TooMany,
    /// It would be for another user.
    #[error("a key can be made for oneself alone")]
    Others,
    /// The user has no such key.
    #[error("there is no such key")]
    Unknown,
    /// What keeps keys cannot be reached.
    #[error("keys cannot be read or written now")]
    Keep(#[from] KeepError),
}

/// Why somebody was not given a right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody is logged in, and logging in might help.
    #[error("credentials are needed")]
    Unauthenticated,
    /// The account would have the right, and its token was not issued for it; another token would help.
    #[error("the token is not for this")]
    InsufficientScope,
    /// The rights do not suffice, and logging in again would not change that.
    #[error("access is denied")]
    Denied,
    /// A condition of the policy alone stands between, and says this.
    #[error("access is denied: {message}")]
    Condition {
        /// What the configuration has for who is kept out by it.
        message: Arc<str>,
    },
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
    /// A condition is no expression.
    #[error("{place}.conditions[{index}] {source}")]
    Condition {
        /// The rule, as it stands in the configuration.
        place: String,
        /// Which of its conditions, from 0.
        index: usize,
        /// What is wrong with it.
        source: ExpressionError,
    },
}

/// Why the access layer cannot be made of its options.
#[derive(Debug, thiserror::Error)]
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
    /// The file of the keys that sign tokens cannot be used.
    #[error("the key file {} cannot be used", .path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: std::io::Error,
    },
    /// The directory cannot be asked with these options.
    #[error("the directory of accounts cannot be used")]
    Directory(#[from] DirectoryError),
    /// The keys that verify an issuer's tokens cannot be used.
    #[error("the keys of an issuer of tokens cannot be used")]
    IssuerKeys(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An expression over the claims of identity tokens is none.
    #[error("a claimMapping cannot be used")]
    Mapping(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An authority that an issuer's certificate is to be of is no certificate.
    #[error("the certificate authority of an issuer of tokens cannot be used")]
    Authority(#[source] reqwest::Error),
    /// The client that asks issuers for their keys cannot be made.
    #[error("no client can be made for the issuers of tokens")]
    Client(#[source] reqwest::Error),
    /// The policy is faulty.
    #[error("the access control is faulty")]
    Policy(#[from] PolicyError),
}
