//! Keys and tokens for the tests of this layer: made at random, once for a process.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{CertificateParams, KeyPair, RsaKeySize, SignatureAlgorithm};
use serde_json::{Value, json};

use crate::auth::credentials::BearerToken;

/// Who signs.
pub(in crate::auth) struct Signer {
    pub(in crate::auth) algorithm: Algorithm,
    pub(in crate::auth) encoding: EncodingKey,
    pub(in crate::auth) public: String,
    pub(in crate::auth) certificate: String,
    pub(in crate::auth) private: String,
    raw: Vec<u8>,
}

pub(in crate::auth) static RSA: LazyLock<Signer> = LazyLock::new(|| {
    let pair = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    Signer::of(&pair, Algorithm::RS256)
});
pub(in crate::auth) static P256: LazyLock<Signer> =
    LazyLock::new(|| Signer::new(&rcgen::PKCS_ECDSA_P256_SHA256, Algorithm::ES256));
pub(in crate::auth) static P384: LazyLock<Signer> =
    LazyLock::new(|| Signer::new(&rcgen::PKCS_ECDSA_P384_SHA384, Algorithm::ES384));
pub(in crate::auth) static ED25519: LazyLock<Signer> =
    LazyLock::new(|| Signer::new(&rcgen::PKCS_ED25519, Algorithm::EdDSA));

impl Signer {
    pub(in crate::auth) fn new(of: &'static SignatureAlgorithm, algorithm: Algorithm) -> Self {
        Self::of(&KeyPair::generate_for(of).unwrap(), algorithm)
    }

    fn of(pair: &KeyPair, algorithm: Algorithm) -> Self {
        let (private, raw) = (pair.serialize_pem(), pair.public_key_raw().to_vec());
        let encoding = match algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_pem(private.as_bytes()),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(private.as_bytes()),
            _ => EncodingKey::from_ec_pem(private.as_bytes()),
        };
        let certificate = CertificateParams::new(vec!["issuer.example".to_owned()]).unwrap();
        let certificate = certificate.self_signed(pair).unwrap().pem();
        Self {
            algorithm,
            encoding: encoding.unwrap(),
            public: pair.public_key_pem(),
            certificate,
            private,
            raw,
        }
    }

    /// Returns the key for a set, under a name.
    pub(in crate::auth) fn jwk(&self, id: &str) -> Value {
        let mut value = match self.algorithm {
            Algorithm::EdDSA => {
                json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": BASE64_URL_SAFE_NO_PAD.encode(&self.raw)})
            }
            algorithm => json!(Jwk::from_encoding_key(&self.encoding, algorithm).unwrap()),
        };
        value["kid"] = id.into();
        value["use"] = "sig".into();
        value
    }

    /// Signs a head and claims as they are.
    pub(in crate::auth) fn sign(&self, head: &Value, claims: &str) -> BearerToken {
        let message = format!("{}.{}", encode(&head.to_string()), encode(claims));
        let algorithm = head["alg"].as_str().and_then(|it| it.parse().ok());
        let algorithm = algorithm.filter(|it: &Algorithm| it.family() == self.encoding.family());
        let signature = jsonwebtoken::crypto::sign(
            message.as_bytes(),
            &self.encoding,
            algorithm.unwrap_or(self.algorithm),
        );
        BearerToken::of(format!("{message}.{}", signature.unwrap()))
    }

    /// Signs claims under the name of a key.
    pub(in crate::auth) fn token(&self, id: &str, claims: &Value) -> BearerToken {
        self.sign(&json!({"alg": self.algorithm, "kid": id, "typ": "JWT"}), &claims.to_string())
    }
}

pub(in crate::auth) fn encode(text: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(text)
}
