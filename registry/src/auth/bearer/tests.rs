//! Goal: a token is taken when its issuer signed it for this registry, and no other token is; what it grants is
//! what it says. Method: keys of every kind, a clock of the test's own, and every way in which a token can be wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::testing::{ED25519, P256, P384, RSA, Signer, encode};
use super::*;
use crate::auth::options::{AccessControl, Action};
use crate::clock::Timestamp;
use crate::oci::RepositoryName;

const NOW: u64 = 1_700_000_000;

struct Fixture {
    folder: tempfile::TempDir,
    clock: Clock,
    bearer: Bearer,
}

impl Fixture {
    /// Takes tokens of these keys, in a file of PEM.
    async fn of(pem: &str) -> Self {
        Self::open(pem, None, None).await
    }

    async fn open(pem: &str, issuer: Option<&str>, access: Option<AccessControl>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("issuer.pem");
        std::fs::write(&path, pem).unwrap();
        let bearer = BearerOptions {
            service: "registry.example".to_owned(),
            certificates: Some(path),
            issuer: issuer.map(str::to_owned),
            ..BearerOptions::default()
        };
        let options = Options { bearer: Some(bearer), access, ..Options::default() };
        let clock = Clock::manual(Timestamp::from_millis(NOW * 1000));
        let bearer = Bearer::open(&options, &clock).await.unwrap().unwrap();
        Self { folder, clock, bearer }
    }

    async fn error(&self, token: &BearerToken) -> Option<TokenError> {
        self.bearer.verify(token).await.err()
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://auth.example", "aud": "registry.example", "sub": "eve", "exp": NOW + 300, "nbf": NOW,
        "access": [{"type": "repository", "name": "team/app", "actions": ["pull"]}],
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn app() -> RepositoryName {
    RepositoryName::parse("team/app").unwrap()
}

#[tokio::test]
async fn a_token_of_every_kind_of_key_is_taken() {
    let all = [&*RSA, &*P256, &*P384, &*ED25519];
    let fixture = Fixture::of(&all.map(|it| it.certificate.as_str()).concat()).await;
    for signer in all {
        let identity = fixture.bearer.verify(&signer.token("any", &claims())).await.unwrap();
        assert_eq!(identity.account(), Some("eve"));
        let scope = identity.scope().unwrap();
        assert!(scope.covers(&app(), Action::Read) && !scope.covers(&app(), Action::Create));
    }
    for algorithm in ["RS384", "RS512", "PS256", "PS384", "PS512"] {
        let token = RSA.sign(&json!({"alg": algorithm}), &claims().to_string());
        assert!(fixture.bearer.verify(&token).await.is_ok(), "{algorithm}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_claims_is_told_apart() {
    let fixture = Fixture::open(&P256.public, Some("https://auth.example"), None).await;
    assert_eq!(fixture.error(&P256.token("a", &claims())).await, None);
    for (claims, expect) in [
        (with("iss", json!("https://auth.example/")), TokenError::Issuer),
        (with("iss", json!(["https://auth.example"])), TokenError::Issuer),
        (without("iss"), TokenError::Issuer),
        (with("aud", json!("registry.example.evil")), TokenError::Audience),
        (with("aud", json!(["a", "b"])), TokenError::Audience),
        (with("aud", json!([])), TokenError::Audience),
        (with("aud", json!({"registry.example": 1})), TokenError::Audience),
        (without("aud"), TokenError::Audience),
        (with("exp", json!(NOW)), TokenError::Expired),
        (with("exp", json!(0)), TokenError::Expired),
        (with("exp", json!(NOW as f64 - 0.5)), TokenError::Expired),
        (without("exp"), TokenError::Claims),
        (with("exp", json!("1800000000")), TokenError::Claims),
        (with("exp", json!(-1)), TokenError::Claims),
        (with("exp", json!(1e300)), TokenError::Claims),
        (with("nbf", json!(NOW + 61)), TokenError::TooEarly),
        (with("nbf", json!("now")), TokenError::Claims),
        (with("access", json!("repository:a:pull")), TokenError::Claims),
        (with("access", json!([{"type": "repository"}])), TokenError::Claims),
        (with("sub", json!("a\nb")), TokenError::Claims),
        (with("sub", json!("a".repeat(claims::NAME_BYTES_MAX + 1))), TokenError::Claims),
    ] {
        assert_eq!(fixture.error(&P256.token("a", &claims)).await, Some(expect), "{claims}");
    }
    for claims in
        [with("aud", json!(["a", "registry.example"])), without("nbf"), with("exp", json!(NOW as f64 + 9.5))]
    {
        assert_eq!(fixture.error(&P256.token("a", &claims)).await, None, "{claims}");
    }
}

#[tokio::test]
async fn forgeries_are_refused() {
    let fixture = Fixture::of(&[RSA.certificate.as_str(), &P256.public].concat()).await;
    let good = P256.token("a", &claims());
    assert_eq!(fixture.error(&good).await, None);
    let text = claims().to_string();
    let parts: Vec<&str> = good.reveal().split('.').collect();
    let another = Signer::new(&rcgen::PKCS_ECDSA_P256_SHA256, Algorithm::ES256);
    let token = |text: String| BearerToken::of(text);
    // Algorithms: none, and the public key as the secret of a symmetric one.
    for (alg, expect) in [
        ("none", TokenError::Signature),
        ("None", TokenError::Signature),
        ("", TokenError::Signature),
        ("ES512", TokenError::Signature),
        ("RS256", TokenError::Signature),
        ("EdDSA", TokenError::Signature),
    ] {
        let head = encode(&json!({"alg": alg}).to_string());
        for signature in ["", parts[2]] {
            let forged = token(format!("{head}.{}.{signature}", encode(&text)));
            assert_eq!(fixture.error(&forged).await, Some(expect), "{alg} {signature}");
        }
    }
    for secret in [&RSA.certificate, &RSA.public, &P256.public, &P256.public.trim_end().to_owned()] {
        for alg in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let message = format!("{}.{}", encode(&json!({"alg": alg}).to_string()), encode(&text));
            let key = EncodingKey::from_secret(secret.as_bytes());
            let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, alg).unwrap();
            let forged = token(format!("{message}.{signature}"));
            assert_eq!(fixture.error(&forged).await, Some(TokenError::Signature), "{alg:?}");
        }
    }
    // Keys: another's, and another's that the head offers in every way that there is.
    for head in [
        json!({"alg": "ES256"}),
        json!({"alg": "ES256", "kid": "../../etc/passwd"}),
        json!({"alg": "ES256", "kid": "a' OR 1=1"}),
        json!({"alg": "ES256", "jwk": another.jwk("a")}),
        json!({"alg": "ES256", "jku": "https://evil.example/keys", "x5u": "https://evil.example/cert"}),
        json!({"alg": "ES256", "x5c": ["MAA="]}),
    ] {
        let forged = another.sign(&head, &text);
        assert_eq!(fixture.error(&forged).await, Some(TokenError::Signature), "{head}");
        // What is ours stays ours, whatever else its head says.
        assert_eq!(fixture.error(&P256.sign(&head, &text)).await, None, "{head}");
    }
    assert_eq!(fixture.error(&P384.token("a", &claims())).await, Some(TokenError::Signature));
    // Content: changed after it was signed, or signed and saying a thing twice.
    let richer = with("sub", json!("admin")).to_string();
    let forged = token(format!("{}.{}.{}", parts[0], encode(&richer), parts[2]));
    assert_eq!(fixture.error(&forged).await, Some(TokenError::Signature));
    for twice in
        [r#""sub":"admin","#, r#""access":[{"type":"repository","type":"x","name":"a","actions":[]}],"#]
    {
        let text = text.replacen('{', &format!("{{{twice}"), 1);
        assert_eq!(
            fixture.error(&P256.sign(&json!({"alg": "ES256"}), &text)).await,
            Some(TokenError::Claims)
        );
    }
    for text in ["[]", "7", "", "{} {}", "\u{feff}{}"] {
        assert_eq!(
            fixture.error(&P256.sign(&json!({"alg": "ES256"}), text)).await,
            Some(TokenError::Claims),
            "{text}"
        );
    }
    assert_eq!(
        fixture.error(&P256.sign(&json!({"alg": "ES256", "crit": ["exp"], "exp": 1}), &text)).await,
        Some(TokenError::Malformed)
    );
}

#[tokio::test]
async fn what_is_no_token() {
    let fixture = Fixture::of(&P256.public).await;
    let good = P256.token("a", &claims());
    let parts: Vec<&str> = good.reveal().split('.').collect();
    let head = |text: &str| format!("{}.{}.{}", encode(text), parts[1], parts[2]);
    for text in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "x.y.z".to_owned(),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}", good.reveal(), parts[2]),
        format!("{}=.{}.{}", parts[0], parts[1], parts[2]),
        head("{}"),
        head("[]"),
        head(r#"{"alg":"ES256","alg":"ES256"}"#),
        head(r#"{"alg":7}"#),
        head(r#"{"alg":"ES256","kid":{}}"#),
        "x".repeat(1 << 20),
        ".".repeat(1 << 20),
    ] {
        let error = fixture.error(&BearerToken::of(text.clone())).await;
        assert_eq!(error, Some(TokenError::Malformed), "{}", text.chars().take(200).collect::<String>());
    }
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(fixture.error(&P256.sign(&json!({"alg": "ES256"}), &deep)).await, Some(TokenError::Claims));
}

#[tokio::test]
async fn a_token_that_names_nobody_is_what_the_policy_makes_of_it() {
    let nameless = P256.token("a", &without("sub"));
    let granted = Fixture::of(&P256.public).await.bearer.verify(&nameless).await.unwrap();
    assert_eq!((granted.account(), granted.scope().is_some()), (Some(""), true));
    let fixture = Fixture::open(&P256.public, None, Some(AccessControl::default())).await;
    for claims in [without("sub"), with("sub", json!(""))] {
        let anonymous = fixture.bearer.verify(&P256.token("a", &claims)).await.unwrap();
        assert_eq!((anonymous.account(), anonymous.scope().is_some()), (None, true));
    }
    // Without `access`, a token is for nothing at all, which is not the same as for everything.
    let empty = fixture.bearer.verify(&P256.token("a", &without("access"))).await.unwrap();
    assert!(
        empty.scope().is_some_and(|scope| !scope.covers(&app(), Action::Read) && !scope.covers_catalog())
    );
}

/// A pull of many layers costs one verification: the key can go meanwhile, for a while.
#[tokio::test]
async fn a_verified_token_is_remembered_until_it_ends() {
    let fixture = Fixture::of(&P256.public).await;
    let [short, long] = [120, 3600].map(|life| P256.token("a", &with("exp", json!(NOW + life))));
    for token in [&short, &long] {
        assert_eq!(fixture.error(token).await, None);
    }
    std::fs::write(fixture.folder.path().join("issuer.pem"), &RSA.public).unwrap();
    fixture.clock.advance(Duration::from_secs(119));
    assert_eq!((fixture.error(&short).await, fixture.error(&long).await), (None, None));
    fixture.clock.advance(Duration::from_secs(1));
    assert_eq!(fixture.error(&short).await, Some(TokenError::Expired));
    // By now the keys are read again before they are used.
    fixture.clock.advance(Duration::from_secs(600));
    assert_eq!(fixture.error(&long).await, Some(TokenError::Signature));
    let forged = format!("{}x", long.reveal());
    assert_eq!(fixture.error(&BearerToken::of(forged)).await, Some(TokenError::Signature));
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("issuer.pem");
    let open = || async {
        let bearer = BearerOptions { certificates: Some(path.clone()), ..BearerOptions::default() };
        let options = Options { bearer: Some(bearer), ..Options::default() };
        Bearer::open(&options, &Clock::system()).await.err().map(|error| format!("{error:?}"))
    };
    let absent = open().await.unwrap();
    assert!(absent.contains("NotFound"), "{absent}");
    std::fs::write(&path, &P256.private).unwrap();
    let secret = open().await.unwrap();
    let line = P256.private.lines().nth(1).unwrap();
    assert!(secret.contains("Section") && !secret.contains(line), "P11: {secret}");
}

#[tokio::test]
async fn p11_no_token_in_debug() {
    let fixture = Fixture::of(&P256.public).await;
    let token = P256.token("a", &claims());
    let identity = fixture.bearer.verify(&token).await.unwrap();
    let text = format!("{:?} {token:?} {identity:?}", fixture.bearer);
    let parts: BTreeMap<usize, &str> = token.reveal().split('.').enumerate().collect();
    assert!(parts.values().all(|part| !text.contains(part)), "{text}");
}

/// A file may have any number of them up to that of a set, and a token need not name its key.
#[tokio::test]
async fn the_last_of_many_keys_of_a_file_verifies() {
    let signers: Vec<Signer> =
        (0..9).map(|_| Signer::new(&rcgen::PKCS_ECDSA_P256_SHA256, Algorithm::ES256)).collect();
    let fixture = Fixture::of(&signers.iter().map(|it| it.public.as_str()).collect::<String>()).await;
    for (number, signer) in signers.iter().enumerate() {
        assert_eq!(fixture.error(&signer.token("any", &claims())).await, None, "{number}");
    }
}
