//! Goal: an assertion says what RFC 7523 wants, is signed as its file says, and its errors hold no secret.
//! Method: keys of every kind and form, made here; signatures are verified by another way than they were made.

use aws_lc_rs::encoding::{AsDer as _, EcPrivateKeyRfc5915Der, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, EcdsaSigningAlgorithm, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA512, RsaKeyPair, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;

struct Stand {
    folder: tempfile::TempDir,
    options: Oauth2,
}

impl Stand {
    fn new(signing: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("signing.json");
        let mut signing = signing.clone();
        signing["privateKeyFile"] = json!(folder.path().join("key.pem"));
        std::fs::write(&file, signing.to_string()).unwrap();
        let options = Oauth2 {
            token_url: "https://sts.example/token".to_owned(),
            assertion: Assertion::Signed(file),
            client_id: Some("wharf".to_owned()),
            ..Oauth2::default()
        };
        Self { folder, options }
    }

    fn make(&self, pem: &str) -> Result<String, AssertionError> {
        std::fs::write(self.folder.path().join("key.pem"), pem).unwrap();
        make(&self.options, Timestamp::from_millis(1_700_000_000_999))
    }
}

fn pem(tag: &str, der: &[u8]) -> String {
    format!("-----BEGIN {tag}-----\n{}\n-----END {tag}-----\n", STANDARD.encode(der))
}

/// A key in the forms in which it may come, and its public half.
fn elliptic_pair(curve: &'static EcdsaSigningAlgorithm) -> ([String; 2], Vec<u8>) {
    let pair = EcdsaKeyPair::generate(curve).unwrap();
    let pkcs8 = pair.to_pkcs8v1().unwrap();
    let sec1: EcPrivateKeyRfc5915Der<'_> = pair.private_key().as_der().unwrap();
    let forms = [pem("PRIVATE KEY", pkcs8.as_ref()), pem("EC PRIVATE KEY", sec1.as_ref())];
    (forms, pair.public_key().as_ref().to_vec())
}

fn rsa_pair() -> (String, Vec<u8>) {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let pkcs8: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    (pem("PRIVATE KEY", pkcs8.as_ref()), pair.public_key().as_ref().to_vec())
}

fn edwards_pair() -> (String, Vec<u8>) {
    let pair = Ed25519KeyPair::generate().unwrap();
    (pem("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref()), pair.public_key().as_ref().to_vec())
}

/// Verifies a token, and returns its header and claims.
fn verify(token: &str, algorithm: &'static dyn VerificationAlgorithm, public: &[u8]) -> (Value, Value) {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = message.split_once('.').unwrap();
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    let key = signature::UnparsedPublicKey::new(algorithm, public);
    key.verify(message.as_bytes(), &decode(signature)).unwrap();
    let json = |part: &str| serde_json::from_slice(&decode(part)).unwrap();
    (json(header), json(claims))
}

#[test]
fn every_kind_of_key_signs() {
    let (p256, p256_public) = elliptic_pair(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let (p384, p384_public) = elliptic_pair(&ECDSA_P384_SHA384_FIXED_SIGNING);
    let ((rsa, rsa_public), (edwards, edwards_public)) = (rsa_pair(), edwards_pair());
    let verifiers: [(&str, &String, &'static dyn VerificationAlgorithm, &[u8]); 7] = [
        ("ES256", &p256[0], &ECDSA_P256_SHA256_FIXED, &p256_public),
        ("ES256", &p256[1], &ECDSA_P256_SHA256_FIXED, &p256_public),
        ("ES384", &p384[0], &ECDSA_P384_SHA384_FIXED, &p384_public),
        ("ES384", &p384[1], &ECDSA_P384_SHA384_FIXED, &p384_public),
        ("RS256", &rsa, &RSA_PKCS1_2048_8192_SHA256, &rsa_public),
        ("PS512", &rsa, &RSA_PSS_2048_8192_SHA512, &rsa_public),
        ("EdDSA", &edwards, &ED25519, &edwards_public),
    ];
    for (algorithm, key, verifier, public) in verifiers {
        let token = Stand::new(&json!({"algorithm": algorithm})).make(key).unwrap();
        let (header, mut claims) = verify(&token, verifier, public);
        assert_eq!(header, json!({"typ": "JWT", "alg": algorithm}));
        assert_eq!(claims["jti"].take().as_str().unwrap().len(), 36);
        let (url, at) = ("https://sts.example/token", 1_700_000_000);
        let expect =
            json!({"iss": "wharf", "sub": "wharf", "aud": url, "iat": at, "exp": at + 300, "jti": null});
        assert_eq!(claims, expect, "{algorithm}");
    }
}

#[test]
fn the_file_says_whose_it_is_and_each_one_is_used_once() {
    let (key, public) = elliptic_pair(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let claimed =
        json!({"algorithm": "ES256", "keyId": "k1", "issuer": "i", "subject": "s", "audience": "a"});
    let mut stand = Stand::new(&claimed);
    stand.options.client_id = None;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let token = stand.make(&key[0]).unwrap();
        let (header, claims) = verify(&token, &ECDSA_P256_SHA256_FIXED, &public);
        assert_eq!(header["kid"], "k1");
        assert_eq!([&claims["iss"], &claims["sub"], &claims["aud"]], ["i", "s", "a"]);
        assert!(seen.insert(claims["jti"].to_string()), "the same assertion twice");
    }
}

#[test]
fn p11_what_cannot_sign_is_told_without_the_secret() {
    let (p256, _) = elliptic_pair(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let (edwards, _) = edwards_pair();
    let secret = |key: &str| key.lines().nth(1).unwrap()[20..60].to_owned();
    for (signing, key, expect) in [
        (json!({"algorithm": "HS256"}), p256[0].as_str(), "the algorithm in "),
        (json!({"algorithm": "none"}), &p256[0], "the algorithm in "),
        (json!({}), &p256[0], "is no JSON object with privateKeyFile and algorithm"),
        (json!({"algorithm": 7}), &p256[0], "is no JSON object with privateKeyFile and algorithm"),
        (json!({"algorithm": "RS256"}), &p256[0], "holds no private key in PEM form"),
        (json!({"algorithm": "ES384"}), &p256[0], "holds no private key in PEM form"),
        (json!({"algorithm": "ES384"}), &p256[1], "holds no private key in PEM form"),
        (json!({"algorithm": "ES256"}), &edwards, "holds no private key in PEM form"),
        (json!({"algorithm": "ES256"}), "", "holds no private key in PEM form"),
        (json!({"algorithm": "EdDSA"}), "hunter2", "holds no private key in PEM form"),
    ] {
        let error = Stand::new(&signing).make(key).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(expect), "{signing}: {text}");
        assert!(!text.contains("hunter2") && (key.len() < 80 || !text.contains(&secret(key))), "{text}");
    }
    let mut nobody = Stand::new(&json!({"algorithm": "ES256", "issuer": "i"}));
    nobody.options.client_id = None;
    assert!(matches!(nobody.make(&p256[0]), Err(AssertionError::Nobody { .. })));
}

#[test]
fn a_secret_is_read_without_the_space_around_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    assert!(matches!(read_secret(&file), Err(AssertionError::Read { .. })));
    let large = "x".repeat(SECRET_BYTES_MAX as usize + 1);
    for (content, expect) in [
        (&b" a secret\r\n"[..], Some("a secret")),
        (b"", None),
        (b"\n\n", None),
        (b"\xff", None),
        (large.as_bytes(), None),
    ] {
        std::fs::write(&file, content).unwrap();
        assert_eq!(read_secret(&file).ok().as_deref(), expect);
    }
}
