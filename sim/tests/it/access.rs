//! Goal: an origin with accounts lets in whom it should, tells others nothing, and speaks docker's token
//! flow as clients read it. Method: raw requests by every kind of caller against listening origins.

use std::time::Duration;

use serde_json::Value;
use sim::origin::{
    Access, Account, Action, ImageSpec, Origin, Right, Running, Scheme, SeededImage, TokenOptions,
};

use crate::raw::{Raw, send};

/// `alice:secret`, `bob:secret`, and alice with a wrong password.
const ALICE: &str = "authorization: Basic YWxpY2U6c2VjcmV0\r\n";
const BOB: &str = "authorization: Basic Ym9iOnNlY3JldA==\r\n";
const WRONG: &str = "authorization: Basic YWxpY2U6d3Jvbmc=\r\n";

struct Bench {
    running: Running,
    private: SeededImage,
}

impl Bench {
    /// Alice may do everything in `team/`, bob may pull there from `team/open` only, everybody may pull from
    /// `library/`.
    async fn new(scheme: Scheme) -> Self {
        let account = |name: &str, rights| Account { name: name.into(), password: "secret".into(), rights };
        let access = Access {
            scheme,
            accounts: vec![
                account("alice", vec![Right::of("team/", Action::ALL)]),
                account("bob", vec![Right::of("team/open", [Action::Pull])]),
            ],
            anonymous: vec![Right::of("library/", [Action::Pull])],
        };
        let origin = Origin::guarded(access);
        let spec = ImageSpec { layers: vec![100], ..ImageSpec::default() };
        origin.seed_image("library/app", "v1", &spec);
        let private = origin.seed_image("team/app", "v1", &spec);
        Self { running: origin.serve("127.0.0.1:0").await.unwrap(), private }
    }

    async fn bearer(options: TokenOptions) -> Self {
        Self::new(Scheme::Bearer(options)).await
    }

    async fn send(&self, method: &str, path: &str, headers: &str) -> Raw {
        send(self.running.addr(), method, path, headers, b"").await
    }

    /// Asks for a token with a query, and returns the answer and the header that presents the token.
    async fn token(&self, query: &str, headers: &str) -> (Value, String) {
        let raw = self.send("GET", &format!("/token?{query}"), headers).await;
        assert_eq!(raw.status, 200, "{query}");
        presented(&raw)
    }

    async fn post(&self, form: &str) -> Raw {
        let media_type = "content-type: application/x-www-form-urlencoded\r\n";
        send(self.running.addr(), "POST", "/token", media_type, form.as_bytes()).await
    }

    fn layer(&self, repository: &str) -> String {
        format!("/v2/{repository}/blobs/{}", self.private.layers[0].digest)
    }
}

fn presented(raw: &Raw) -> (Value, String) {
    let body: Value = serde_json::from_slice(&raw.body).unwrap();
    let header = format!("authorization: Bearer {}\r\n", body["token"].as_str().unwrap());
    (body, header)
}

fn challenge(raw: &Raw) -> &str {
    assert_eq!((raw.status, raw.code().as_str()), (401, "UNAUTHORIZED"));
    raw.header("www-authenticate").unwrap()
}

#[tokio::test]
async fn basic_lets_in_by_account_and_right() {
    let bench = Bench::new(Scheme::Basic).await;
    let manifest = "/v2/team/app/manifests/v1";
    for (method, path, who, expect) in [
        ("GET", manifest, ALICE, 200),
        ("GET", manifest, "", 401),
        ("GET", manifest, WRONG, 401),
        ("GET", manifest, "authorization: Bearer x\r\n", 401),
        ("GET", manifest, BOB, 403),
        ("GET", "/v2/library/app/manifests/v1", "", 200),
        ("GET", "/v2/library/app/manifests/v1", WRONG, 401),
        ("GET", "/v2/", "", 200),
        ("POST", "/v2/library/app/blobs/uploads/", "", 401),
        ("POST", "/v2/team/open/blobs/uploads/", BOB, 403),
        ("POST", "/v2/team/open/blobs/uploads/", ALICE, 202),
        ("DELETE", manifest, BOB, 403),
        ("DELETE", manifest, ALICE, 202),
    ] {
        let raw = bench.send(method, path, who).await;
        assert_eq!(raw.status, expect, "{method} {path} {who}");
        match expect {
            401 => assert_eq!(challenge(&raw), "Basic realm=\"sim\""),
            403 => assert_eq!(raw.code(), "DENIED"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn what_is_refused_does_not_show_whether_it_is_there() {
    let options = TokenOptions::default();
    for scheme in [Scheme::Basic, Scheme::Bearer(options)] {
        let is_bearer = matches!(scheme, Scheme::Bearer(_));
        let bench = Bench::new(scheme).await;
        for tail in ["manifests/v1", "tags/list", "blobs/uploads/"] {
            let method = if tail.starts_with("blobs") { "POST" } else { "GET" };
            let mut seen = Vec::new();
            for repository in ["team/app", "team/not"] {
                let scope = format!("scope=repository:{repository}:pull,push");
                let who = if is_bearer { bench.token(&scope, BOB).await.1 } else { BOB.to_owned() };
                let raw = bench.send(method, &format!("/v2/{repository}/{tail}"), &who).await;
                let head = raw.head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("date:"));
                let head: Vec<String> = head.map(|line| line.replace(repository, "NAME")).collect();
                seen.push((raw.status, head, raw.body));
            }
            assert!(matches!(seen[0].0, 401 | 403), "{tail}");
            assert_eq!(seen[0], seen[1], "{tail}");
        }
    }
}

#[tokio::test]
async fn a_challenge_says_realm_service_and_scope() {
    let options = TokenOptions { realm_query: Some("tenant=a".into()), ..TokenOptions::default() };
    let bench = Bench::bearer(options).await;
    let digest = &bench.private.layers[0].digest;
    let base = format!("Bearer realm=\"http://{}/token?tenant=a\",service=\"sim\"", bench.running.addr());
    for (method, path, scope) in [
        ("GET", "/v2/".to_owned(), ""),
        ("GET", "/v2/a/b/manifests/x".to_owned(), "repository:a/b:pull"),
        ("PUT", "/v2/a/b/manifests/x".to_owned(), "repository:a/b:pull,push"),
        ("POST", "/v2/a/b/blobs/uploads/".to_owned(), "repository:a/b:pull,push"),
        ("DELETE", "/v2/a/b/manifests/x".to_owned(), "repository:a/b:delete"),
        (
            "POST",
            format!("/v2/a/b/blobs/uploads/?mount={digest}&from=c/d"),
            "repository:a/b:pull,push repository:c/d:pull",
        ),
        ("GET", "/v2/_catalog".to_owned(), "registry:catalog:*"),
    ] {
        let raw = bench.send(method, &path, "").await;
        let scope = if scope.is_empty() { String::new() } else { format!(",scope=\"{scope}\"") };
        assert_eq!(challenge(&raw), format!("{base}{scope}"), "{method} {path}");
        // Basic is for the token endpoint.
        assert_eq!(bench.send(method, &path, ALICE).await.status, 401, "{method} {path}");
    }
    assert_eq!(bench.send("GET", "/token?service=sim", ALICE).await.status, 404, "its query is lost");
    assert_eq!(bench.send("GET", "/token?tenant=a&service=sim", ALICE).await.status, 200);
}

#[tokio::test]
async fn a_token_opens_what_it_was_granted_for() {
    let bench = Bench::bearer(TokenOptions::default()).await;
    let (body, alice) = bench.token("service=sim&account=alice&scope=repository:team/app:pull", ALICE).await;
    assert_eq!((body["expires_in"].as_u64(), &body["token"]), (Some(300), &body["access_token"]));
    assert!(body["issued_at"].as_str().unwrap().ends_with('Z') && body.get("refresh_token").is_none());
    assert_eq!(bench.send("GET", "/v2/team/app/manifests/v1", &alice).await.status, 200);
    assert_eq!(bench.send("GET", "/v2/", &alice).await.status, 200);

    let refused = bench.send("POST", "/v2/team/app/blobs/uploads/", &alice).await;
    assert!(challenge(&refused).ends_with(",error=\"insufficient_scope\""));
    let refused = bench.send("GET", "/v2/team/other/manifests/v1", &alice).await;
    assert!(challenge(&refused).ends_with(",error=\"invalid_token\""), "it is about something else");

    // More than one may have is no error, and no more than one may have.
    let (_, bob) = bench.token("scope=repository:team/open:pull,push", BOB).await;
    assert_eq!(bench.send("GET", "/v2/team/open/manifests/v1", &bob).await.status, 404);
    let refused = bench.send("POST", "/v2/team/open/blobs/uploads/", &bob).await;
    assert!(challenge(&refused).ends_with(",error=\"insufficient_scope\""));

    let (_, nobody) =
        bench.token("scope=repository:library/app:pull&scope=repository:team/app:pull", "").await;
    assert_eq!(bench.send("GET", "/v2/library/app/manifests/v1", &nobody).await.status, 200);
    assert_eq!(bench.send("GET", "/v2/team/app/manifests/v1", &nobody).await.status, 401);
}

#[tokio::test]
async fn a_token_that_is_no_good_is_invalid() {
    let expired = Bench::bearer(TokenOptions { lifetime: Duration::ZERO, ..TokenOptions::default() }).await;
    let good = Bench::bearer(TokenOptions::default()).await;
    let scope = "scope=repository:team/app:pull";
    let (_, late) = expired.token(scope, ALICE).await;
    let (_, foreign) = good.token(&format!("service=other&{scope}"), ALICE).await;
    let (_, elsewhere) = Bench::bearer(TokenOptions::default()).await.token(scope, ALICE).await;
    for (bench, token) in [
        (&expired, late),
        (&good, foreign),
        (&good, elsewhere),
        (&good, "authorization: Bearer x\r\n".into()),
    ] {
        let raw = bench.send("GET", "/v2/team/app/manifests/v1", &token).await;
        assert!(challenge(&raw).ends_with(",error=\"invalid_token\""), "{token}");
    }
    for who in [WRONG, "authorization: Basic !\r\n", "authorization: Bearer x\r\n"] {
        assert_eq!(good.send("GET", &format!("/token?{scope}"), who).await.status, 401, "{who}");
    }
    let other = good.send("GET", &format!("/token?account=bob&{scope}"), ALICE).await;
    assert_eq!(other.status, 401, "the account is not the one that logs in");
}

#[tokio::test]
async fn a_form_gets_tokens_too_and_a_refresh_token_goes_on() {
    let bench = Bench::bearer(TokenOptions::default()).await;
    let rest = "service=sim&scope=repository:team/app:pull+repository:team/b:pull%2Cpush&client_id=x";
    let raw = bench.post(&format!("grant_type=password&username=alice&password=secret&{rest}")).await;
    let (body, token) = presented(&raw);
    assert!(body.get("refresh_token").is_none());
    assert_eq!(bench.send("GET", "/v2/team/app/manifests/v1", &token).await.status, 200);
    assert_eq!(bench.send("POST", "/v2/team/b/blobs/uploads/", &token).await.status, 202);

    let offline = format!("grant_type=password&username=alice&password=secret&access_type=offline&{rest}");
    let (body, _) = presented(&bench.post(&offline).await);
    let by_get = bench.token("offline_token=true&service=sim", ALICE).await.0;
    for refresh in [&body["refresh_token"], &by_get["refresh_token"]] {
        let refresh = refresh.as_str().unwrap();
        let raw = bench.post(&format!("grant_type=refresh_token&refresh_token={refresh}&{rest}")).await;
        let (body, token) = presented(&raw);
        assert_eq!(body["refresh_token"], refresh);
        assert_eq!(bench.send("GET", "/v2/team/app/manifests/v1", &token).await.status, 200);
    }
    for (bad, expect) in [
        ("grant_type=password&username=alice&password=wrong", 401),
        ("grant_type=password&username=alice", 401),
        ("grant_type=refresh_token&refresh_token=x", 401),
        ("grant_type=magic", 400),
        ("", 400),
    ] {
        assert_eq!(bench.post(bad).await.status, expect, "{bad}");
    }
    let put = bench.send("PUT", "/token", ALICE).await;
    assert_eq!((put.status, put.header("allow")), (405, Some("GET, POST")));
}

#[tokio::test]
async fn a_mount_takes_only_what_the_caller_may_pull() {
    for (source, expect) in [("team/app", 202), ("library/app", 201), ("team/nothing", 202)] {
        let access = Access {
            scheme: Scheme::Basic,
            accounts: vec![Account {
                name: "bob".into(),
                password: "secret".into(),
                rights: vec![
                    Right::of("mine/", Action::ALL),
                    Right::of("library/", [Action::Pull]),
                    Right::of("team/app", [Action::Push]),
                ],
            }],
            anonymous: Vec::new(),
        };
        let origin = Origin::guarded(access);
        let spec = ImageSpec { layers: vec![100], ..ImageSpec::default() };
        let layer = origin.seed_image("team/app", "v1", &spec).layers[0].digest.clone();
        origin.seed_image("library/app", "v1", &spec);
        let running = origin.serve("127.0.0.1:0").await.unwrap();
        let path = format!("/v2/mine/x/blobs/uploads/?mount={layer}&from={source}");
        assert_eq!(send(running.addr(), "POST", &path, BOB, b"").await.status, expect, "{source}");
    }
}

#[tokio::test]
async fn a_token_without_the_source_does_not_mount() {
    let bench = Bench::bearer(TokenOptions::default()).await;
    let digest = bench.private.layers[0].digest.clone();
    let path = format!("/v2/team/b/blobs/uploads/?mount={digest}&from=team/app");
    let (_, narrow) = bench.token("scope=repository:team/b:pull,push", ALICE).await;
    assert_eq!(bench.send("POST", &path, &narrow).await.status, 202);
    assert_eq!(bench.send("HEAD", &bench.layer("team/b"), &narrow).await.status, 404);
    let both = "scope=repository:team/b:pull,push&scope=repository:team/app:pull";
    let (_, wide) = bench.token(both, ALICE).await;
    assert_eq!(bench.send("POST", &path, &wide).await.status, 201);
}

#[tokio::test]
async fn the_catalog_shows_what_the_caller_may_pull() {
    let bench = Bench::new(Scheme::Basic).await;
    for (who, expect) in [(ALICE, "team/app"), ("", "library/app")] {
        let raw = bench.send("GET", "/v2/_catalog", who).await;
        let body: Value = serde_json::from_slice(&raw.body).unwrap();
        assert_eq!(body["repositories"], serde_json::json!([expect]));
    }
    let bench = Bench::bearer(TokenOptions::default()).await;
    let (_, token) = bench.token("scope=registry:catalog:*", BOB).await;
    let raw = bench.send("GET", "/v2/_catalog", &token).await;
    assert_eq!((raw.status, raw.body.as_slice()), (200, br#"{"repositories":[]}"#.as_slice()));
    let (_, token) = bench.token("scope=repository:team/open:pull", BOB).await;
    assert_eq!(bench.send("GET", "/v2/_catalog", &token).await.status, 401);
}
