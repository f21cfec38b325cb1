//! The public keys of an issuer, of a file of PEM or of a JSON Web Key Set.
//!
//! Each key is for the algorithms of its kind and for no other; a symmetric one is none, whatever a set says.
//!
//! *Spec:* RFC 7517, RFC 7518 section 6, RFC 8037; RFC 5280 section 4.1, of which only the public key is read: who
//! signed a certificate and until when it holds is the operator's to know, who put it there.

use std::fmt;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use rustls::pki_types::pem::{PemObject as _, SectionKind};
use serde::Deserialize;
use serde_json::Value;

/// The most keys of one file or set that are looked at.
pub(super) const KEYS_MAX: usize = 100;

const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];
const P256: &[Algorithm] = &[Algorithm::ES256];
const P384: &[Algorithm] = &[Algorithm::ES384];
const ED25519: &[Algorithm] = &[Algorithm::EdDSA];

/// Public keys, in the order of their source.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<PublicKey>);

/// A public key, and what it is for.
pub(super) struct PublicKey {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// Why a source gives no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeysError {
    /// It is not PEM.
    #[error("it is not in PEM form throughout")]
    Pem,
    /// A section is neither a certificate nor a public key, and may be a secret.
    #[error("it holds something other than certificates and public keys")]
    Section,
    /// It is no set.
    #[error("it is no JSON Web Key Set")]
    Set,
    /// Nothing in it verifies.
    #[error("it holds no key of RSA, P-256, P-384 or Ed25519")]
    NoKeys,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads the keys of a file of PEM: certificates, and public keys.
    ///
    /// *Errors:* every variant of [`KeysError`] but that of sets.
    pub(super) fn of_pem(bytes: &[u8]) -> Result<Self, KeysError> {
        let mut keys = Vec::new();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes).take(KEYS_MAX) {
            let (kind, der) = section.map_err(|_| KeysError::Pem)?;
            let info = match kind {
                SectionKind::PublicKey => Some(der.as_slice()),
                SectionKind::Certificate => der::key_of_certificate(&der),
                _ => return Err(KeysError::Section),
            };
            keys.push(info.and_then(PublicKey::of_info).ok_or(KeysError::NoKeys)?);
        }
        Self::of(keys)
    }

    /// Reads a set; what is in it and no key that verifies is left out, as RFC 7517 section 5 has it.
    ///
    /// *Errors:* [`KeysError::Set`], [`KeysError::NoKeys`].
    pub(super) fn of_set(bytes: &[u8]) -> Result<Self, KeysError> {
        let set: Set = serde_json::from_slice(bytes).map_err(|_| KeysError::Set)?;
        Self::of(set.keys.into_iter().take(KEYS_MAX).filter_map(PublicKey::of_jwk).collect())
    }

    fn of(keys: Vec<PublicKey>) -> Result<Self, KeysError> {
        if keys.is_empty() { Err(KeysError::NoKeys) } else { Ok(Self(keys)) }
    }

    /// Iterates over the keys that a token may mean: that of the name, and those that have none.
    pub(super) fn meant<'a>(&'a self, id: Option<&'a str>) -> impl Iterator<Item = &'a PublicKey> {
        self.0.iter().filter(move |key| key.id.is_none() || id.is_none() || key.id.as_deref() == id)
    }
}

impl PublicKey {
    /// Returns what verifies an algorithm, if the key is for it.
    pub(super) fn verifying(&self, algorithm: Algorithm) -> Option<&DecodingKey> {
        self.algorithms.contains(&algorithm).then_some(&self.key)
    }

    fn of_jwk(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return None;
        }
        let of_kind = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => RSA,
            AlgorithmParameters::EllipticCurve(it) if it.curve == EllipticCurve::P256 => P256,
            AlgorithmParameters::EllipticCurve(it) if it.curve == EllipticCurve::P384 => P384,
            AlgorithmParameters::OctetKeyPair(it) if it.curve == EllipticCurve::Ed25519 => ED25519,
            _ => return None,
        };
        let named = jwk.common.key_algorithm.map(Algorithm::try_from);
        let algorithms = match named {
            None => of_kind.to_vec(),
            Some(Ok(named)) if of_kind.contains(&named) => vec![named],
            Some(_) => return None,
        };
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Self { id: jwk.common.key_id, algorithms, key })
    }

    /// Reads a `SubjectPublicKeyInfo`.
    fn of_info(info: &[u8]) -> Option<Self> {
        let (kind, bits) = der::parts_of_key(info)?;
        let (algorithms, key) = match kind {
            der::Kind::Rsa => (RSA, DecodingKey::from_rsa_der(bits)),
            der::Kind::P256 => (P256, DecodingKey::from_ec_der(bits)),
            der::Kind::P384 => (P384, DecodingKey::from_ec_der(bits)),
            der::Kind::Ed25519 => (ED25519, DecodingKey::from_ed_der(bits)),
        };
        Some(Self { id: None, algorithms: algorithms.to_vec(), key })
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey").field("id", &self.id).field("algorithms", &self.algorithms).finish()
    }
}

/// As much of DER as finds a public key.
mod der {
    const SEQUENCE: u8 = 0x30;
    const OBJECT: u8 = 0x06;
    const BITS: u8 = 0x03;
    const VERSION: u8 = 0xa0;

    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
    const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    const CURVE_P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    const CURVE_P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
    const ED: &[u8] = &[0x2b, 0x65, 0x70];

    /// What a key is of.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) enum Kind {
        Rsa,
        P256,
        P384,
        Ed25519,
    }

    /// Returns the `SubjectPublicKeyInfo` of a certificate.
    pub(super) fn key_of_certificate(certificate: &[u8]) -> Option<&[u8]> {
        let (content, _) = take(certificate, SEQUENCE)?;
        let (mut fields, _) = take(content, SEQUENCE)?;
        if fields.first() == Some(&VERSION) {
            fields = take(fields, VERSION)?.1;
        }
        // The serial number, the signature's algorithm, the issuer, the validity, the subject.
        for _ in 0..5 {
            fields = skip(fields)?;
        }
        let rest = skip(fields)?;
        Some(&fields[..fields.len() - rest.len()])
    }

    /// Returns the kind and the bits of a `SubjectPublicKeyInfo`.
    pub(super) fn parts_of_key(info: &[u8]) -> Option<(Kind, &[u8])> {
        let (fields, _) = take(info, SEQUENCE)?;
        let (algorithm, rest) = take(fields, SEQUENCE)?;
        let (object, parameters) = take(algorithm, OBJECT)?;
        let curve = || take(parameters, OBJECT).map(|(curve, _)| curve);
        let kind = match object {
            RSA => Kind::Rsa,
            ED => Kind::Ed25519,
            EC if curve() == Some(CURVE_P256) => Kind::P256,
            EC if curve() == Some(CURVE_P384) => Kind::P384,
            _ => return None,
        };
        let (bits, _) = take(rest, BITS)?;
        // The first byte says how many bits of the last do not count.
        let (0, bits) = bits.split_first().map(|(unused, bits)| (*unused, bits))? else { return None };
        Some((kind, bits))
    }

    /// Splits a value of a kind from what follows it.
    fn take(bytes: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
        if bytes.first() != Some(&kind) { None } else { split(bytes) }
    }

    fn skip(bytes: &[u8]) -> Option<&[u8]> {
        split(bytes).map(|(_, rest)| rest)
    }

    fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let (len, rest) = match *bytes.get(1)? {
            short @ 0..=0x7f => (usize::from(short), bytes.get(2..)?),
            // A key or a certificate has less than 16 MiB.
            long @ 0x81..=0x83 => {
                let digits = usize::from(long & 0x7f);
                let len = bytes.get(2..2 + digits)?.iter().fold(0, |len, it| len << 8 | usize::from(*it));
                (len, bytes.get(2 + digits..)?)
            }
            _ => return None,
        };
        rest.split_at_checked(len)
    }
}

#[cfg(test)]
mod tests;
