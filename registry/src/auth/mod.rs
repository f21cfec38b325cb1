//! The access layer: who is asking, and what may they do.
//!
//! It answers with an [`Identity`] and with [`Grant`]s; it knows no HTTP beyond the value of an
//! `Authorization` header and of a challenge, and it touches no repository.
//!
//! | file | says |
//! |---|---|
//! | `access` | the façade: identify, grant, challenge |
//! | `credentials` | the value of an `Authorization` header |
//! | `challenge` | the value of a `WWW-Authenticate` header |
//! | `identity` | who somebody is |
//! | `recent` | passwords that were right a moment ago |
//! | `scope` | what a token or a key restricts its bearer to |
//! | `logins` | users and passwords: who is asked, in which order |
//! | `backoff` | who has to wait after failed logins |
//! | `source` | what tells clients apart, for limits |
//! | `token` | tokens of our own issuing, and the keys that sign them |
//! | `api_keys` | keys that users make for their programs |
//! | `bearer` | tokens of others' issuing, and the keys that verify them |
//! | `keep` | where the layer keeps its keys |
//! | `htpasswd` | the format of an htpasswd file |
//! | `apr1` | Apache's MD5 hashes |
//! | `sha_crypt` | the hashes of `crypt(3)` over SHA-2 |
//! | `fingerprint` | what a file is known by, so that a change of it is noticed |
//! | `account_file` | the htpasswd file in use, read again when it changes |
//! | `proof` | what secrets are remembered by |
//! | `remembered` | tokens that were verified: bounded in bytes, while they are good |
//! | `verdicts` | verdicts on passwords: bounded, remembered, asked for once for all who wait |
//! | `verification` | passwords against hashes: bounded, telling nothing by its timing |
//! | `certificate` | whom a client certificate names |
//! | `ldap` | accounts in a directory |
//! | `circumstances` | what a request is besides who asks and for what |
//! | `condition` | what has to hold for a rule of the policy |
//! | `expression` | the small language of conditions, and of what claims come to |
//! | `policy` | what each identity may do to each repository |
//! | `grant` | the proof of a right, which every repository method takes |
//! | `options` | what this layer can be told |
//! | `error` | what can go wrong here |

mod access;
mod account_file;
mod api_keys;
mod apr1;
mod backoff;
mod bearer;
mod certificate;
pub mod challenge;
mod circumstances;
mod condition;
mod credentials;
mod error;
mod expression;
mod fingerprint;
mod grant;
mod htpasswd;
mod identity;
pub mod keep;
pub mod ldap;
mod logins;
pub mod options;
mod policy;
mod proof;
mod recent;
mod remembered;
pub mod scope;
mod sha_crypt;
mod source;
mod token;
mod verdicts;
mod verification;

pub use access::{Access, Anew, Asking, Grants, KeyOwner};
pub use api_keys::{ApiKey, ApiKeySecret, ApiKeyWish, KEYS_MAX as API_KEYS_MAX};
#[doc(hidden)]
pub use bearer::{is_signed_by, maps_to_a_name};
pub use certificate::{CertificateError, Certificates};
pub use circumstances::{Circumstances, Request, Transport};
pub use credentials::{AUTHORIZATION_BYTES_MAX, Authorization, BearerToken, Credentials, Password};
pub use error::{AccessError, ApiKeyError, CredentialsError, LoginError, PolicyError, Refusal, TokenError};
pub use fingerprint::Fingerprint;
pub use grant::{Delete, Grant, Holder, Overwrite, Pull, Push, Right};
pub use identity::{Account, Identity};
pub use policy::{Accounts, Decision, Hindrance, Policy, Reason};
pub use source::Source;
pub use token::Issued;
