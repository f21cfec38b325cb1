//! Goal: a pod and a build come in with the token that their issuer gave them, in every way in which clients send
//! one, and so does who has a token of a token service; and they may do what the policy says of them, no more.
//! Method: the real dispatch, and an issuer in this process.

use axum::body::Body;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tempfile::TempDir;
use wharfinger::auth::options::{
    AccessControl, Action, BearerOptions, MappingOptions, OidcOptions, Options, RepositoryPolicy, Rule,
};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::accounts::{self, ALL, NOW, at, basic, rule};
use super::exchange::assert_error;
use crate::support::{Answer, Client, Registry};

/// A registry that takes tokens, and who signs them.
struct Harbour {
    client: Client,
    pair: rcgen::KeyPair,
    issuer: MockServer,
    _folder: TempDir,
}

impl Harbour {
    /// A build of `acme` may do everything below `team`; it needs nobody else's account.
    async fn of_workloads() -> Self {
        let builds = Rule { groups: vec!["builds".to_owned()], ..rule(&[], &ALL) };
        let policy = RepositoryPolicy { policies: vec![builds], ..RepositoryPolicy::default() };
        let access =
            AccessControl { repositories: vec![("team/**".to_owned(), policy)], ..AccessControl::default() };
        let mapping = MappingOptions {
            username: "'build/' + claims.repository".to_owned(),
            groups: Some("['builds', 'unnamed']".to_owned()),
            ..MappingOptions::default()
        };
        Self::open(Some(access), |issuer, _| BearerOptions {
            oidc: vec![OidcOptions {
                issuer: issuer.to_owned(),
                audiences: vec!["registry.example".to_owned()],
                mapping,
                ..OidcOptions::default()
            }],
            ..BearerOptions::default()
        })
        .await
    }

    /// A token service decides; with a policy, `ada` may read below `team`.
    async fn of_service(access: Option<AccessControl>) -> Self {
        Self::open(access, |_, certificate| BearerOptions {
            realm: Some("https://auth.example/token".to_owned()),
            service: "registry.example".to_owned(),
            certificates: Some(certificate.to_owned()),
            ..BearerOptions::default()
        })
        .await
    }

    async fn open(
        access: Option<AccessControl>,
        bearer: impl FnOnce(&str, &std::path::Path) -> BearerOptions,
    ) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let certificate = folder.path().join("issuer.pem");
        std::fs::write(&certificate, pair.public_key_pem()).unwrap();
        let issuer = MockServer::start().await;
        let uri = issuer.uri();
        let (x, y) = pair.public_key_raw()[1..].split_at(32);
        let [x, y] = [x, y].map(|it| BASE64_URL_SAFE_NO_PAD.encode(it));
        let keys = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "a", "x": x, "y": y}]});
        let discovery = json!({"issuer": uri, "jwks_uri": format!("{uri}/keys")});
        for (at, page) in [("/.well-known/openid-configuration", discovery), ("/keys", keys)] {
            let answer = ResponseTemplate::new(200).set_body_json(page);
            Mock::given(method("GET")).and(path(at)).respond_with(answer).mount(&issuer).await;
        }
        let bearer = Some(bearer(&uri, &certificate));
        let auth = Options { access, bearer, api_keys: true, ..Options::default() };
        let client = Registry { auth, ..at(NOW) }.open().await;
        Self { client, pair, issuer, _folder: folder }
    }

    fn sign(&self, claims: &Value) -> String {
        let key = EncodingKey::from_ec_pem(self.pair.serialize_pem().as_bytes()).unwrap();
        let header = Header { kid: Some("a".to_owned()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &key).unwrap()
    }

    fn workload(&self) -> Value {
        json!({
            "iss": self.issuer.uri(), "aud": "registry.example", "sub": "x", "exp": NOW + 600,
            "repository": "acme/app",
        })
    }

    async fn send(&self, authorization: &str, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        accounts::send(&self.client, authorization, method, path, body).await
    }

    async fn status(&self, authorization: &str, method: &str, path: &str) -> u16 {
        self.send(authorization, method, path, Body::empty()).await.status.as_u16()
    }
}

#[tokio::test]
async fn a_workload_comes_in_with_its_token_however_it_is_sent() {
    let harbour = Harbour::of_workloads().await;
    let token = harbour.sign(&harbour.workload());
    let refused = harbour.send("", "GET", "/v2/team/app/tags/list", Body::empty()).await;
    assert_error(&refused, 401, "UNAUTHORIZED");
    assert_eq!(
        refused.header("www-authenticate"),
        "Bearer realm=\"http://registry.example:5000/auth/token\",service=\"wharfinger\",scope=\"repository:team/app:pull\""
    );
    let asked = "scope=repository:team/app:pull,push&scope=repository:else:pull";
    let by_query =
        harbour.send(&basic("any", &token), "GET", &format!("/auth/token?{asked}"), Body::empty()).await;
    let form = format!("grant_type=password&username=any&password={token}&access_type=offline&{asked}");
    let by_form = harbour.send("", "POST", "/auth/token", form).await;
    let grant = "urn:ietf:params:oauth:grant-type:token-exchange";
    let form = format!(
        "grant_type={grant}&subject_token={token}&subject_token_type=urn:ietf:params:oauth:token-type:id_token&{asked}"
    );
    let exchanged = harbour.send("", "POST", "/zot/auth/token", form).await;
    assert_eq!(exchanged.json()["issued_token_type"], "urn:ietf:params:oauth:token-type:access_token");
    let mut ways = vec![format!("Bearer {token}"), basic("any", &token)];
    for answer in [by_query, by_form, exchanged] {
        assert_eq!(answer.status, 200, "{answer:?}");
        let page = answer.json();
        assert_eq!(page["refresh_token"], Value::Null);
        let ours = page["access_token"].as_str().unwrap();
        let payload = BASE64_URL_SAFE_NO_PAD.decode(ours.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!((&claims["sub"], &claims["groups"]), (&json!("build/acme/app"), &json!(["builds"])));
        ways.push(format!("Bearer {ours}"));
    }
    for authorization in &ways {
        assert_eq!(harbour.status(authorization, "GET", "/v2/").await, 200);
        assert_eq!(harbour.status(authorization, "POST", "/v2/team/app/blobs/uploads/").await, 202);
        assert_eq!(harbour.status(authorization, "GET", "/v2/else/tags/list").await, 403);
        // Whatever lasts a few minutes does not make what lasts for ever.
        assert_eq!(harbour.status(authorization, "POST", "/auth/apikey").await, 403);
    }
}

#[tokio::test]
async fn what_is_no_workload_does_not_come_in() {
    let harbour = Harbour::of_workloads().await;
    let mut claims = harbour.workload();
    claims["aud"] = json!("another");
    let foreign = harbour.sign(&claims);
    let forged = format!("{}A", harbour.sign(&harbour.workload()));
    for token in [foreign.as_str(), &forged, "x.y.z"] {
        for authorization in [format!("Bearer {token}"), basic("any", token)] {
            let refused = harbour.send(&authorization, "GET", "/v2/", Body::empty()).await;
            assert_error(&refused, 401, "UNAUTHORIZED");
        }
        for form in [
            format!("grant_type=password&username=any&password={token}"),
            format!("grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={token}"),
        ] {
            assert_error(&harbour.send("", "POST", "/auth/token", form).await, 401, "UNAUTHORIZED");
        }
    }
    for form in [
        "grant_type=urn:ietf:params:oauth:grant-type:token-exchange".to_owned(),
        format!(
            "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={}&subject_token_type=saml",
            harbour.sign(&harbour.workload())
        ),
    ] {
        let status = harbour.send("", "POST", "/auth/token", form).await.status;
        assert!(status == 400 || status == 401, "{status}");
    }
    // A password in this place is none: there are no accounts.
    assert_eq!(harbour.status(&basic("eve", "eveeve"), "GET", "/v2/").await, 401);
}

fn access_of(names: &[(&str, &[&str])]) -> Value {
    names
        .iter()
        .map(|(name, actions)| json!({"type": "repository", "name": name, "actions": actions}))
        .collect()
}

#[tokio::test]
async fn a_token_service_decides_alone_where_there_is_no_policy() {
    let harbour = Harbour::of_service(None).await;
    let refused = harbour.send("", "POST", "/v2/team/app/blobs/uploads/", Body::empty()).await;
    assert_eq!(
        refused.header("www-authenticate"),
        "Bearer realm=\"https://auth.example/token\",service=\"registry.example\",scope=\"repository:team/app:pull,push\""
    );
    for sub in ["ada", ""] {
        let access = access_of(&[("team/app", &["pull", "push"])]);
        let token =
            harbour.sign(&json!({"aud": "registry.example", "sub": sub, "exp": NOW + 60, "access": access}));
        let token = format!("Bearer {token}");
        for (method, path, expect) in [
            ("GET", "/v2/", 200),
            ("POST", "/v2/team/app/blobs/uploads/", 202),
            ("DELETE", "/v2/team/app/manifests/v1", 401),
            ("GET", "/v2/team/b/tags/list", 401),
            ("GET", "/v2/_catalog", 401),
        ] {
            assert_eq!(harbour.status(&token, method, path).await, expect, "{sub} {method} {path}");
        }
    }
    assert_eq!(harbour.status("", "GET", "/auth/token").await, 404);
    assert_eq!(harbour.status(&basic("ada", "adaada"), "GET", "/v2/").await, 401);
}

#[tokio::test]
async fn a_token_service_and_the_policy_both_decide() {
    let team = RepositoryPolicy { policies: vec![rule(&["ada"], &ALL)], ..RepositoryPolicy::default() };
    let public = RepositoryPolicy { anonymous_policy: vec![Action::Read], ..RepositoryPolicy::default() };
    let access = AccessControl {
        repositories: vec![("team/**".to_owned(), team), ("public/**".to_owned(), public)],
        ..AccessControl::default()
    };
    let harbour = Harbour::of_service(Some(access)).await;
    let everything = access_of(&[("team/app", &["*"]), ("public/app", &["*"])]);
    let little = access_of(&[("team/app", &["pull"])]);
    let token = |sub: &str, access: &Value| {
        let claims = json!({"aud": "registry.example", "sub": sub, "exp": NOW + 60, "access": access});
        format!("Bearer {}", harbour.sign(&claims))
    };
    for (sub, access, method, path, expect) in [
        ("ada", &everything, "POST", "/v2/team/app/blobs/uploads/", 202),
        ("ada", &little, "POST", "/v2/team/app/blobs/uploads/", 401),
        ("eve", &everything, "POST", "/v2/team/app/blobs/uploads/", 403),
        ("ada", &everything, "POST", "/v2/public/app/blobs/uploads/", 403),
        ("", &everything, "POST", "/v2/team/app/blobs/uploads/", 401),
        ("", &everything, "GET", "/v2/public/app/manifests/v1", 404),
        ("", &little, "GET", "/v2/public/app/manifests/v1", 401),
    ] {
        assert_eq!(harbour.status(&token(sub, access), method, path).await, expect, "{sub} {method} {path}");
    }
}
