//! Goal: of a file or a set come exactly the keys that verify, each for its algorithms and no others.
//! Method: keys of every kind, made here, and what else people put into such files.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::auth::bearer::testing::{ED25519, P256, P384, RSA, Signer};

const ALL: [Algorithm; 13] = [
    Algorithm::HS256,
    Algorithm::HS384,
    Algorithm::HS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::EdDSA,
    Algorithm::EdDSA,
];

fn signers() -> [(&'static Signer, &'static [Algorithm]); 4] {
    [(&RSA, super::RSA), (&P256, super::P256), (&P384, super::P384), (&ED25519, super::ED25519)]
}

fn algorithms(key: &PublicKey) -> Vec<Algorithm> {
    let mut of_key: Vec<_> = ALL.into_iter().filter(|it| key.verifying(*it).is_some()).collect();
    of_key.dedup();
    of_key
}

fn sorted(of: &[Algorithm]) -> Vec<Algorithm> {
    let mut all: Vec<_> = ALL.into_iter().filter(|it| of.contains(it)).collect();
    all.dedup();
    all
}

#[test]
fn a_key_is_for_the_algorithms_of_its_kind() {
    for (signer, expect) in signers() {
        for pem in [&signer.public, &signer.certificate] {
            let keys = KeySet::of_pem(pem.as_bytes()).unwrap();
            assert_eq!((keys.0.len(), algorithms(&keys.0[0])), (1, sorted(expect)));
        }
        let mut jwk = signer.jwk("a");
        let keys = KeySet::of_set(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap();
        assert_eq!(algorithms(&keys.0[0]), [signer.algorithm]);
        jwk.as_object_mut().unwrap().remove("alg");
        let keys = KeySet::of_set(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap();
        assert_eq!(algorithms(&keys.0[0]), sorted(expect));
    }
}

#[test]
fn a_file_may_hold_several_and_words_between_them() {
    let text = format!("a note\n{}\n{}{}", RSA.certificate, P256.public, ED25519.certificate);
    assert_eq!(KeySet::of_pem(text.as_bytes()).unwrap().0.len(), 3);
}

#[test]
fn what_is_no_file_of_keys() {
    let check =
        |text: &str, expect| assert_eq!(KeySet::of_pem(text.as_bytes()).err(), Some(expect), "{text}");
    check("", KeysError::NoKeys);
    check("just words", KeysError::NoKeys);
    check(&RSA.certificate.replace("END", "BND"), KeysError::Pem);
    // A secret in this place is a mistake that somebody has to hear of.
    check(&format!("{}{}", P256.public, P256.private), KeysError::Section);
    check("-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n", KeysError::NoKeys);
    check("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", KeysError::NoKeys);
}

#[test]
fn a_set_gives_only_what_verifies() {
    let with = |name: &str, value: Value| {
        let mut jwk = P256.jwk("a");
        jwk[name] = value;
        jwk
    };
    let symmetric = json!({"kty": "oct", "k": "c2VjcmV0", "kid": "a", "alg": "HS256"});
    for jwk in [
        symmetric,
        json!({"kty": "strange", "kid": "a"}),
        json!(7),
        with("use", json!("enc")),
        with("alg", json!("RS256")),
        with("alg", json!("HS256")),
        with("alg", json!("ES384")),
        with("crv", json!("P-521")),
        with("x", json!("?")),
    ] {
        let alone = KeySet::of_set(json!({"keys": [jwk]}).to_string().as_bytes());
        assert_eq!(alone.err(), Some(KeysError::NoKeys), "{jwk}");
        let beside = json!({"keys": [jwk, RSA.jwk("b")]}).to_string();
        assert_eq!(KeySet::of_set(beside.as_bytes()).unwrap().0.len(), 1, "{jwk}");
    }
    for text in ["", "{}", "[]", r#"{"keys": {}}"#, "null"] {
        assert_eq!(KeySet::of_set(text.as_bytes()).err(), Some(KeysError::Set), "{text}");
    }
    let many = json!({"keys": vec![P256.jwk("a"); KEYS_MAX + 1]}).to_string();
    assert_eq!(KeySet::of_set(many.as_bytes()).unwrap().0.len(), KEYS_MAX);
}

#[test]
fn a_name_is_only_compared() {
    let set = json!({"keys": [P256.jwk("a"), RSA.jwk("../b")]}).to_string();
    let keys = KeySet::of_set(set.as_bytes()).unwrap();
    for (id, expect) in [(Some("a"), 1), (Some("../b"), 1), (Some("b"), 0), (Some(""), 0), (None, 2)] {
        assert_eq!(keys.meant(id).count(), expect, "{id:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0..400usize, by in any::<u8>()) {
        let _answered = (KeySet::of_pem(&bytes).is_ok(), KeySet::of_set(&bytes).is_ok());
        let mut der = pem_bytes(&P256.certificate);
        let at = at % der.len();
        der[at] ^= by;
        let _answered = der::key_of_certificate(&der).and_then(der::parts_of_key);
        let _answered = der::key_of_certificate(&bytes).or(Some(&bytes)).and_then(der::parts_of_key);
    }
}

fn pem_bytes(pem: &str) -> Vec<u8> {
    <(SectionKind, Vec<u8>)>::from_pem_slice(pem.as_bytes()).unwrap().1
}
