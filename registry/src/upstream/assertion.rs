//! Assertions: signed statements (JWTs) of who this registry is, for a token endpoint.
//!
//! One comes ready in a file that another program renews, or is signed here, anew and for one use. The files
//! are read for each exchange, so that a renewed key needs no restart; what they hold is in no error (P11).
//!
//! *Spec:* RFC 7523 §3 for the claims, RFC 7515 for the form.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::{Algorithm, AlgorithmFamily, EncodingKey, Header};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};

use super::options::{Assertion, Oauth2};
use crate::clock::Timestamp;

/// The largest file of a secret, in bytes.
const SECRET_BYTES_MAX: u64 = 64 * 1024;
/// How long an assertion is valid: one exchange, and clocks that differ.
const LIFETIME: Duration = Duration::from_secs(300);
/// The algorithms that sign with a private key.
const ALGORITHMS: &str = "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA";

/// Why there is no assertion.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AssertionError {
    /// A file cannot be read, or is too large.
    #[error("{} cannot be read", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: Arc<io::Error>,
    },
    /// A file that should hold a secret holds none that can be sent.
    #[error("{} holds no text that can be sent", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file that says how to sign cannot be understood. It is not quoted: a key may have been put there.
    #[error("{} is no JSON object with privateKeyFile and algorithm (and, if need be, keyId, issuer, subject, audience)", .path.display())]
    Form {
        /// The file.
        path: PathBuf,
    },
    /// The algorithm is none that is known here.
    #[error("the algorithm in {} is none of {ALGORITHMS}", .path.display())]
    Algorithm {
        /// The file that names it.
        path: PathBuf,
    },
    /// Neither the file nor `clientID` says who signs.
    #[error("{} names no issuer and no subject; they are clientID's unless it does, and that is not set", .path.display())]
    Nobody {
        /// The file.
        path: PathBuf,
    },
    /// The key is none, or is for another algorithm.
    #[error("{} holds no private key in PEM form (PKCS#8, PKCS#1 or SEC1, not encrypted) for {algorithm:?}", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What it should sign with.
        algorithm: Algorithm,
    },
}

/// What the signing file says; the keys are zot's.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signing {
    private_key_file: PathBuf,
    algorithm: String,
    key_id: Option<String>,
    issuer: Option<String>,
    subject: Option<String>,
    audience: Option<String>,
}

#[derive(Serialize)]
struct Claims<'s> {
    iss: &'s str,
    sub: &'s str,
    aud: &'s str,
    iat: u64,
    exp: u64,
    /// A use of its own: an endpoint may refuse the same one twice.
    jti: String,
}

/// Returns an assertion for one exchange. It reads files and signs, and so blocks.
///
/// *Errors:* [`AssertionError`].
pub(super) fn make(options: &Oauth2, now: Timestamp) -> Result<String, AssertionError> {
    match &options.assertion {
        Assertion::Ready(path) => read_secret(path),
        Assertion::Signed(path) => sign(path, options, now),
    }
}

/// Reads a file that holds one secret, without the space around it.
///
/// *Errors:* [`AssertionError::Read`], [`AssertionError::Empty`].
pub(super) fn read_secret(path: &Path) -> Result<String, AssertionError> {
    let empty = || AssertionError::Empty { path: path.to_owned() };
    let text = String::from_utf8(read(path)?).map_err(|_| empty())?;
    let text = text.trim();
    if text.is_empty() { Err(empty()) } else { Ok(text.to_owned()) }
}

fn read(path: &Path) -> Result<Vec<u8>, AssertionError> {
    let failed = |source| AssertionError::Read { path: path.to_owned(), source: Arc::new(source) };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(failed(io::Error::other(format!("it has more than {SECRET_BYTES_MAX} bytes"))));
    }
    Ok(bytes)
}

fn sign(path: &Path, options: &Oauth2, now: Timestamp) -> Result<String, AssertionError> {
    let form = |_| AssertionError::Form { path: path.to_owned() };
    let signing: Signing = serde_json::from_slice(&read(path)?).map_err(form)?;
    let algorithm =
        algorithm(&signing.algorithm).ok_or_else(|| AssertionError::Algorithm { path: path.to_owned() })?;
    let client = options.client_id.as_deref();
    let named = signing.issuer.as_deref().or(client).zip(signing.subject.as_deref().or(client));
    let (iss, sub) = named.ok_or_else(|| AssertionError::Nobody { path: path.to_owned() })?;
    let iat = now.since(Timestamp::from_millis(0)).as_secs();
    let claims = Claims {
        iss,
        sub,
        aud: signing.audience.as_deref().unwrap_or(&options.token_url),
        iat,
        exp: iat + LIFETIME.as_secs(),
        jti: uuid::Uuid::new_v4().to_string(),
    };
    let pem = read(&signing.private_key_file)?;
    let no_key = || AssertionError::Key { path: signing.private_key_file.clone(), algorithm };
    let key = key(algorithm, &pem).ok_or_else(no_key)?;
    let header = Header { kid: signing.key_id, ..Header::new(algorithm) };
    jsonwebtoken::encode(&header, &claims, &key).map_err(|_| no_key())
}

/// Returns the algorithm of a name, unless it signs with a shared secret.
fn algorithm(name: &str) -> Option<Algorithm> {
    let known: Algorithm = name.parse().ok()?;
    (!AlgorithmFamily::Hmac.algorithms().contains(&known)).then_some(known)
}

fn key(algorithm: Algorithm, pem: &[u8]) -> Option<EncodingKey> {
    match algorithm {
        Algorithm::ES256 | Algorithm::ES384 => {
            elliptic(algorithm, pem).or_else(|| EncodingKey::from_ec_pem(pem).ok())
        }
        Algorithm::EdDSA => EncodingKey::from_ed_pem(pem).ok(),
        _ => EncodingKey::from_rsa_pem(pem).ok(),
    }
}

/// Reads a key in the form that `openssl ecparam` writes, which the library does not know.
fn elliptic(algorithm: Algorithm, pem: &[u8]) -> Option<EncodingKey> {
    let PrivateKeyDer::Sec1(der) = PrivateKeyDer::from_pem_slice(pem).ok()? else { return None };
    let curve = match algorithm {
        Algorithm::ES384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        _ => &ECDSA_P256_SHA256_FIXED_SIGNING,
    };
    let pair = EcdsaKeyPair::from_private_key_der(curve, der.secret_sec1_der()).ok()?;
    Some(EncodingKey::from_ec_der(pair.to_pkcs8v1().ok()?.as_ref()))
}

#[cfg(test)]
mod tests;
