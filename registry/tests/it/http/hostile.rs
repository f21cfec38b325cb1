//! Goal (P10, P11): whoever may not read a repository learns nothing of it, whatever he sends; nobody becomes
//! somebody else by a header; and no secret of anybody is told again. Method: intruders of every kind at every
//! endpoint of a repository that is there and of one that is not, answer held against answer; and the log of all
//! of it, at its most talkative, searched for every secret that was in play.

use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tempfile::TempDir;
use wharfinger::auth::options::{AccessControl, Action, Options, RepositoryPolicy, Rule};
use wharfinger::clock::{Clock, Timestamp};

use super::exchange::assert_error;
use crate::support::log::Log;
use crate::support::{Answer, Client, Registry, sha256};

const ALL: [Action; 4] = [Action::Read, Action::Create, Action::Update, Action::Delete];
const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
/// Names of one length, so that what names them has one too.
const THERE: &str = "secret/here";
const NOT_THERE: &str = "secret/gone";
const PASSWORDS: [(&str, &str); 2] = [("admin", "correct-horse"), ("eve", "battery-staple")];

struct Harbour {
    client: Client,
    clock: Clock,
    _folder: TempDir,
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

fn admin() -> String {
    basic(PASSWORDS[0].0, PASSWORDS[0].1)
}

fn eve() -> String {
    basic(PASSWORDS[1].0, PASSWORDS[1].1)
}

impl Harbour {
    /// `admin` may do everything, `eve` everything below `team`; only the former has put something below `secret`.
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("htpasswd");
        let line =
            |(user, password): (&str, &str)| format!("{user}:{}\n", bcrypt::hash(password, 4).unwrap());
        std::fs::write(&path, PASSWORDS.map(line).concat()).unwrap();
        let rule = |user: &str| Rule {
            users: vec![user.to_owned()],
            groups: Vec::new(),
            actions: ALL.to_vec(),
            conditions: Vec::new(),
        };
        let team = RepositoryPolicy { policies: vec![rule("eve")], ..RepositoryPolicy::default() };
        let access = AccessControl {
            repositories: vec![("team/**".to_owned(), team)],
            admin: rule("admin"),
            ..AccessControl::default()
        };
        let auth = Options {
            htpasswd: Some(path),
            access: Some(access),
            api_keys: true,
            // The intruders below fail more often than anybody may.
            failures_max: 0,
            ..Options::default()
        };
        let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
        let client = Registry { auth, clock: clock.clone(), ..Registry::default() }.open().await;
        Self { client, clock, _folder: folder }
    }

    async fn send(&self, authorization: &str, method: &str, path: &str, body: &str) -> Answer {
        let mut headers = vec![("host", "registry.example"), ("content-type", IMAGE)];
        if !authorization.is_empty() {
            headers.push(("authorization", authorization));
        }
        self.client.call(method, path, &headers, Body::from(body.to_owned())).await
    }

    /// Puts an image into a repository, and returns its digest.
    async fn fill(&self, name: &str) -> String {
        let (config, layer) = ("{}", "layer");
        for blob in [config, layer] {
            let path = format!("/v2/{name}/blobs/uploads/?digest={}", sha256(blob.as_bytes()));
            assert_eq!(self.send(&admin(), "POST", &path, blob).await.status, 201);
        }
        let describe = |kind: &str, blob: &str| json!({"mediaType": kind, "digest": sha256(blob.as_bytes()), "size": blob.len()});
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": IMAGE,
            "config": describe("application/vnd.oci.image.config.v1+json", config),
            "layers": [describe("application/vnd.oci.image.layer.v1.tar", layer)],
        });
        let answer =
            self.send(&admin(), "PUT", &format!("/v2/{name}/manifests/v1"), &manifest.to_string()).await;
        assert_eq!(answer.status, 201);
        answer.header("docker-content-digest").to_owned()
    }

    async fn page(&self, authorization: &str, query: &str) -> Value {
        let path = format!("/auth/token?service=wharfinger&{query}");
        let answer = self.send(authorization, "GET", &path, "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    async fn token(&self, authorization: &str, scope: &str) -> String {
        self.page(authorization, &format!("scope={scope}")).await["token"].as_str().unwrap().to_owned()
    }

    async fn key(&self, scopes: &Value) -> String {
        let wish = json!({"label": "hostile", "scopes": scopes}).to_string();
        let answer = self.send(&eve(), "POST", "/auth/apikey", &wish).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["apiKey"].as_str().unwrap().to_owned()
    }
}

/// Replaces the header of a token, and what signs it.
fn forged(token: &str, header: &Value, claims: impl Fn(&mut Value), signature: &str) -> String {
    let body = token.split('.').nth(1).unwrap();
    let mut content: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap();
    claims(&mut content);
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", encode(header), encode(&content))
}

/// Everybody who may not read what is secret, by what he is; each with an `Authorization` header, or none.
async fn intruders(harbour: &Harbour) -> Vec<(&'static str, String)> {
    let bearer = |token: &str| format!("Bearer {token}");
    let scope = format!("repository:{THERE}:pull,push,delete repository:{NOT_THERE}:pull,push,delete");
    let scope = scope.replace(' ', "%20");
    let (anonymous, of_eve) = (harbour.token("", &scope).await, harbour.token(&eve(), &scope).await);
    let of_team = harbour.token(&admin(), "repository:team/app:pull,push,delete").await;
    let refresh =
        harbour.page(&admin(), "offline_token=true").await["refresh_token"].as_str().unwrap().to_owned();
    let elsewhere = Harbour::open().await.token(&admin(), &scope).await;
    let good = harbour.token(&admin(), &scope).await;
    let parts: Vec<&str> = good.split('.').collect();
    let header: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(parts[0]).unwrap()).unwrap();
    let with = |algorithm: &str| {
        let mut header = header.clone();
        header["alg"] = algorithm.into();
        header
    };
    let key = harbour.key(&json!(["team/**"])).await;
    vec![
        ("nobody", String::new()),
        ("nobody, with a token", bearer(&anonymous)),
        ("eve", eve()),
        ("eve, with a token that asked for it", bearer(&of_eve)),
        ("eve, with a key", basic("eve", &key)),
        ("eve's key under the admin's name", basic("admin", &key)),
        ("the admin's token for another repository", bearer(&of_team)),
        ("a refresh token", bearer(&refresh)),
        ("a token of another registry", bearer(&elsewhere)),
        ("a token without a signature", bearer(&forged(&good, &with("none"), |_| {}, ""))),
        ("a token that says it needs none", bearer(&forged(&good, &with("none"), |_| {}, parts[2]))),
        ("a token of another algorithm", bearer(&forged(&good, &with("HS512"), |_| {}, parts[2]))),
        ("a token for more", bearer(&forged(&of_eve, &header, |it| it["sub"] = "admin".into(), parts[2]))),
        (
            "a token that lasts longer",
            bearer(&forged(&good, &header, |it| it["exp"] = 4_000_000_000_u64.into(), parts[2])),
        ),
        ("a huge token", bearer(&"a.".repeat(7_000))),
        ("the admin with a wrong password", basic("admin", "wrong")),
        ("a stranger", basic("mallory", "wrong")),
        ("a filter for a user", basic("*)(uid=*", "wrong")),
        ("two lines", "Basic YQ==\u{9}X-Evil: 1".to_owned()),
        ("a key of nobody", basic("admin", &format!("zak_{}{}", "0".repeat(32), "A".repeat(43)))),
    ]
}

/// Returns every endpoint of a repository.
fn endpoints(name: &str, manifest: &str, upload: &str) -> Vec<(&'static str, String)> {
    let layer = sha256(b"layer");
    let mut all = Vec::new();
    for reference in ["v1", manifest] {
        for method in ["GET", "HEAD", "PUT", "DELETE"] {
            all.push((method, format!("/v2/{name}/manifests/{reference}")));
        }
    }
    for method in ["GET", "HEAD", "DELETE"] {
        all.push((method, format!("/v2/{name}/blobs/{layer}")));
    }
    all.push(("GET", format!("/v2/{name}/tags/list")));
    all.push(("GET", format!("/v2/{name}/tags/list?n=1&last=a")));
    all.push(("GET", format!("/v2/{name}/referrers/{manifest}")));
    all.push(("POST", format!("/v2/{name}/blobs/uploads/")));
    all.push(("POST", format!("/v2/{name}/blobs/uploads/?mount={layer}&from=team/base")));
    for method in ["GET", "PATCH", "DELETE"] {
        all.push((method, format!("/v2/{name}/blobs/uploads/{upload}")));
    }
    all.push(("PUT", format!("/v2/{name}/blobs/uploads/{upload}?digest={layer}")));
    all.push(("DELETE", format!("/v2/{name}/_wharfinger/cache")));
    all
}

/// Returns what an answer tells, but for the request's own number.
fn told(answer: &Answer, name: &str) -> String {
    let mut headers = answer.headers.clone();
    headers.remove("x-request-id");
    let text = format!("{} {headers:?} {}", answer.status, String::from_utf8_lossy(&answer.body));
    text.replace(name, "<name>")
}

#[tokio::test]
async fn p10_no_intruder_can_tell_what_is_there() {
    let harbour = Harbour::open().await;
    let manifest = harbour.fill(THERE).await;
    let opened = harbour.send(&admin(), "POST", &format!("/v2/{THERE}/blobs/uploads/"), "").await;
    let upload = opened.header("location").rsplit('/').next().unwrap().to_owned();
    let none = uuid(&upload);
    for (who, authorization) in intruders(&harbour).await {
        let there = endpoints(THERE, &manifest, &upload);
        let gone = endpoints(NOT_THERE, &manifest, &none);
        for ((method, one), (_, other)) in there.iter().zip(&gone) {
            let one_answer = harbour.send(&authorization, method, one, "{}").await;
            let other_answer = harbour.send(&authorization, method, other, "{}").await;
            let status = one_answer.status.as_u16();
            assert!(status == 401 || status == 403, "{who}: {method} {one}: {one_answer:?}");
            assert_eq!(told(&one_answer, THERE), told(&other_answer, NOT_THERE), "{who}: {method} {one}");
            assert!(one_answer.headers.get("x-evil").is_none(), "{who}");
        }
        let listed = harbour.send(&authorization, "GET", "/v2/_catalog", "").await;
        assert!(!String::from_utf8_lossy(&listed.body).contains("secret"), "{who}: {listed:?}");
    }
    // All is as it was.
    for (method, path) in
        [("GET", format!("/v2/{THERE}/manifests/v1")), ("GET", format!("/v2/{THERE}/blobs/uploads/{upload}"))]
    {
        let status = harbour.send(&admin(), method, &path, "").await.status.as_u16();
        assert!(status == 200 || status == 204, "{path}: {status}");
    }
}

/// Makes another upload's name of one: of the same form, and nobody's.
fn uuid(upload: &str) -> String {
    let other = |digit: char| if digit == '0' { '1' } else { '0' };
    upload.char_indices().map(|(at, it)| if at == 0 { other(it) } else { it }).collect()
}

#[tokio::test]
async fn p10_no_header_makes_anybody_somebody_else() {
    let harbour = Harbour::open().await;
    harbour.fill(THERE).await;
    let path = format!("/v2/{THERE}/manifests/v1");
    let plain = harbour.send("", "GET", &path, "").await;
    for (name, value) in [
        ("x-forwarded-user", "admin"),
        ("remote-user", "admin"),
        ("x-remote-user", "admin"),
        ("x-remote-group", "admin"),
        ("x-auth-request-user", "admin"),
        ("x-forwarded-for", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1;proto=https;host=evil.example"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.example"),
        ("x-real-ip", "127.0.0.1"),
        ("x-original-url", "/v2/"),
        ("x-rewrite-url", "/v2/"),
        ("x-http-method-override", "HEAD"),
        ("proxy-authorization", &admin()),
        ("x-authorization", &admin()),
        ("cookie", "session=admin; user=admin"),
        ("ssl-client-verify", "SUCCESS"),
        ("x-ssl-client-cn", "admin"),
        ("x-client-cert", "CN=admin"),
    ] {
        let headers = [("host", "registry.example"), ("content-type", IMAGE), (name, value)];
        let answer = harbour.client.call("GET", &path, &headers, Body::empty()).await;
        assert_eq!(told(&answer, THERE), told(&plain, THERE), "{name}: {value}");
    }
    let twice = [("authorization", &*eve()), ("authorization", &*admin())];
    assert_error(&harbour.client.call("GET", &path, &twice, Body::empty()).await, 400, "UNSUPPORTED");
}

#[tokio::test]
async fn p11_no_secret_is_told_again() {
    let (log, _listening) = Log::listen();
    let harbour = Harbour::open().await;
    harbour.fill(THERE).await;
    let intruders = intruders(&harbour).await;
    let mut answers = String::new();
    for (_, authorization) in &intruders {
        for path in ["/v2/", "/v2/secret/here/manifests/v1", "/v2/_catalog", "/auth/apikey", "/nowhere"] {
            answers += &format!("{:?}\n", harbour.send(authorization, "GET", path, "").await);
        }
        answers +=
            &format!("{:?}\n", harbour.send(authorization, "DELETE", "/v2/team/app/manifests/v1", "").await);
    }
    harbour.clock.advance(Duration::from_secs(600));
    for (_, authorization) in &intruders {
        answers += &format!("{:?}\n", harbour.send(authorization, "GET", "/v2/", "").await);
    }
    let wrong = "grant_type=password&username=admin&password=wrong-and-secret&access_type=offline";
    answers += &format!("{:?}\n", harbour.send("", "POST", "/auth/token", wrong).await);
    let mut secrets: Vec<String> = PASSWORDS.iter().map(|(_, password)| (*password).to_owned()).collect();
    secrets.push("wrong-and-secret".to_owned());
    for (_, authorization) in intruders {
        let Some((scheme, value)) = authorization.split_once(' ') else { continue };
        secrets.push(value.chars().take(60).collect());
        if scheme == "Bearer" {
            secrets.extend(value.split('.').filter(|part| part.len() > 20).map(str::to_owned));
        } else if let Ok(pair) = BASE64_STANDARD.decode(value) {
            let pair = String::from_utf8(pair).unwrap();
            secrets.extend(pair.split_once(':').map(|(_, password)| password.to_owned()));
        }
    }
    let log = log.take();
    assert!(log.contains("/v2/team/app/manifests/v1"), "what is searched is a log");
    for secret in secrets.iter().filter(|secret| *secret != "wrong" && secret.len() > 5) {
        for (place, text) in [("the log", &log), ("an answer", &answers)] {
            assert!(!text.contains(secret.as_str()), "P11: {secret} stands in {place}");
        }
    }
}
