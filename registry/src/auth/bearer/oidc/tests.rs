//! Goal: a workload is whom its issuer and the configuration say, and nobody else's token is taken for one of that
//! issuer. Method: an issuer in this process, and every way in which its tokens, or what it says of itself, are wrong.

use std::time::Duration;

use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::auth::bearer::Bearer;
use crate::auth::bearer::testing::{P256, RSA, Signer};
use crate::auth::credentials::BearerToken;
use crate::auth::options::{BearerOptions, MappingOptions, Options};

const NOW: u64 = 1_700_000_000;

struct Fixture {
    server: MockServer,
    clock: Clock,
    bearer: Bearer,
}

impl Fixture {
    async fn new(change: impl FnOnce(&mut OidcOptions)) -> Self {
        let server = MockServer::start().await;
        let mut options = OidcOptions {
            issuer: server.uri(),
            audiences: vec!["registry.example".to_owned(), "other".to_owned()],
            ..OidcOptions::default()
        };
        change(&mut options);
        let bearer = BearerOptions { oidc: vec![options], ..BearerOptions::default() };
        let options = Options { bearer: Some(bearer), ..Options::default() };
        let clock = Clock::manual(Timestamp::from_millis(NOW * 1000));
        let bearer = Bearer::open(&options, &clock).await.unwrap().unwrap();
        let fixture = Self { server, clock, bearer };
        let uri = fixture.server.uri();
        fixture.says(&json!({"issuer": uri, "jwks_uri": format!("{uri}/keys"), "more": []})).await;
        fixture
    }

    /// Lets the issuer say that of itself, and have one key.
    async fn says(&self, discovery: &Value) {
        self.server.reset().await;
        let answer = |body: &Value| ResponseTemplate::new(200).set_body_json(body);
        let discovered = Mock::given(method("GET")).and(path("/.well-known/openid-configuration"));
        discovered.respond_with(answer(discovery)).mount(&self.server).await;
        let keys = json!({"keys": [P256.jwk("a")]});
        Mock::given(method("GET")).and(path("/keys")).respond_with(answer(&keys)).mount(&self.server).await;
    }

    fn claims(&self) -> Value {
        json!({
            "iss": self.server.uri(), "aud": ["registry.example"], "sub": "repo:acme/app:ref:refs/heads/main",
            "iat": NOW, "exp": NOW + 600, "repository": "acme/app", "repository_owner": "acme", "verified": true,
        })
    }

    fn with(&self, name: &str, value: Value) -> Value {
        let mut claims = self.claims();
        claims[name] = value;
        claims
    }

    async fn verify(&self, claims: &Value) -> Result<(String, Vec<String>), TokenError> {
        self.verify_token(&P256.token("a", claims)).await
    }

    async fn verify_token(&self, token: &BearerToken) -> Result<(String, Vec<String>), TokenError> {
        let by_bearer = self.bearer.verify(token).await;
        let by_workload = self.bearer.verify_workload(token).await;
        assert_eq!(by_bearer, by_workload);
        by_bearer.map(|identity| {
            assert!(identity.scope().is_none());
            (identity.account().unwrap().to_owned(), identity.groups().to_vec())
        })
    }

    async fn asked(&self) -> usize {
        self.server.received_requests().await.unwrap().len()
    }
}

#[tokio::test]
async fn a_workload_is_its_issuer_and_subject() {
    let fixture = Fixture::new(|_| {}).await;
    let name = format!("{}/repo:acme/app:ref:refs/heads/main", fixture.server.uri());
    assert_eq!(fixture.verify(&fixture.claims()).await, Ok((name, Vec::new())));
    assert!(fixture.verify(&fixture.with("aud", json!("other"))).await.is_ok());
    // What it says of itself and its keys, once for all tokens.
    assert_eq!(fixture.asked().await, 2);
}

#[tokio::test]
async fn forgeries_of_workloads_are_refused() {
    let fixture = Fixture::new(|_| {}).await;
    assert!(fixture.verify(&fixture.claims()).await.is_ok());
    for (claims, expect) in [
        (fixture.with("iss", json!("https://elsewhere.example")), TokenError::Issuer),
        (fixture.with("iss", json!(format!("{}/", fixture.server.uri()))), TokenError::Issuer),
        (fixture.with("iss", json!([fixture.server.uri()])), TokenError::Issuer),
        (fixture.with("aud", json!("https://kubernetes.default.svc")), TokenError::Audience),
        (fixture.with("aud", Value::Null), TokenError::Audience),
        (fixture.with("exp", json!(NOW)), TokenError::Expired),
        (fixture.with("exp", Value::Null), TokenError::Claims),
        (fixture.with("nbf", json!(NOW + 61)), TokenError::TooEarly),
        (fixture.with("sub", json!(7)), TokenError::Mapping),
        (fixture.with("sub", json!("a\u{7}")), TokenError::Mapping),
        (fixture.with("sub", json!("x".repeat(2000))), TokenError::Mapping),
    ] {
        assert_eq!(fixture.verify(&claims).await.err(), Some(expect), "{claims}");
    }
    let claims = fixture.claims();
    let other = Signer::new(&rcgen::PKCS_ECDSA_P256_SHA256, jsonwebtoken::Algorithm::ES256);
    for (token, expect) in [
        (other.token("a", &claims), TokenError::Signature),
        (other.token("b", &claims), TokenError::KeyUnknown),
        (RSA.token("a", &claims), TokenError::Signature),
        (other.sign(&json!({"alg": "ES256"}), &claims.to_string()), TokenError::Signature),
        (
            other
                .sign(&json!({"alg": "ES256", "kid": "a", "jku": "http://127.0.0.1/x"}), &claims.to_string()),
            TokenError::Signature,
        ),
    ] {
        assert_eq!(fixture.verify_token(&token).await.err(), Some(expect));
    }
}

#[tokio::test]
async fn claims_are_mapped_and_held_to() {
    let fixture = Fixture::new(|options| {
        let text = str::to_owned;
        options.mapping = MappingOptions {
            variables: vec![(text("owner"), text("claims.repository_owner"))],
            validations: vec![
                (text("vars.owner == 'acme'"), text("only acme")),
                (text("claims.verified"), text("verified")),
                (text("!has(claims.actor) || claims.actor != 'eve'"), text("not eve")),
            ],
            username: text("'build/' + claims.repository"),
            groups: Some(text("['builds', vars.owner]")),
        };
    })
    .await;
    let expect = ("build/acme/app".to_owned(), vec!["acme".to_owned(), "builds".to_owned()]);
    assert_eq!(fixture.verify(&fixture.claims()).await, Ok(expect));
    for claims in [
        fixture.with("repository_owner", json!("other")),
        fixture.with("repository_owner", json!(["acme"])),
        fixture.with("repository_owner", Value::Null),
        fixture.with("actor", json!("eve")),
        fixture.with("verified", json!(false)),
        // What comes to nothing does not hold.
        fixture.with("verified", json!("true")),
        fixture.with("verified", Value::Null),
        fixture.with("repository", json!(7)),
    ] {
        assert_eq!(fixture.verify(&claims).await.err(), Some(TokenError::Mapping), "{claims}");
    }
}

#[tokio::test]
async fn an_issuer_that_calls_itself_otherwise_is_not_this_one() {
    let fixture = Fixture::new(|_| {}).await;
    let uri = fixture.server.uri();
    let keys = format!("{uri}/keys");
    for discovery in [
        json!({"issuer": "https://elsewhere.example", "jwks_uri": keys}),
        json!({"issuer": format!("{uri}/"), "jwks_uri": keys}),
        json!({"jwks_uri": keys}),
        json!({"issuer": uri}),
        json!({"issuer": uri, "jwks_uri": "http://192.0.2.1/keys"}),
        json!({"issuer": uri, "jwks_uri": "file:///etc/passwd"}),
        json!([]),
    ] {
        fixture.says(&discovery).await;
        fixture.clock.advance(Duration::from_secs(1));
        assert_eq!(
            fixture.verify(&fixture.claims()).await.err(),
            Some(TokenError::Unavailable),
            "{discovery}"
        );
        assert_eq!(fixture.asked().await, 1);
    }
    fixture.says(&json!({"issuer": uri, "jwks_uri": keys})).await;
    fixture.clock.advance(Duration::from_secs(1));
    assert!(fixture.verify(&fixture.claims()).await.is_ok());
}

#[tokio::test]
async fn without_the_check_of_issuers_keys_alone_tell() {
    let fixture = Fixture::new(|options| options.check = IssuerCheck::Skipped).await;
    fixture.says(&json!({"issuer": "x", "jwks_uri": format!("{}/keys", fixture.server.uri())})).await;
    let claims = fixture.with("iss", json!("https://elsewhere.example"));
    let (name, _) = fixture.verify(&claims).await.unwrap();
    assert!(name.starts_with("https://elsewhere.example/"), "{name}");
    let other = Signer::new(&rcgen::PKCS_ECDSA_P256_SHA256, jsonwebtoken::Algorithm::ES256);
    assert_eq!(fixture.verify_token(&other.token("a", &claims)).await.err(), Some(TokenError::Signature));
}
