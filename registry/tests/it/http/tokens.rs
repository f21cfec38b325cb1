//! Goal: clients log in as they do at Docker Hub, and a token is worth what it was issued for.
//! Method: the requests of docker, containerd and skopeo, over the real dispatch, with an htpasswd file.

use axum::body::Body;
use serde_json::Value;
use wharfinger::auth::options::{AccessControl, Action, Options, RepositoryPolicy};

use super::accounts::{ALL, HOST, Harbour, NOW, at, basic, rule};
use super::exchange::{ask, assert_error};
use crate::support::{Answer, Registry};

/// Anybody may pull below `public`, `eve` may do everything below `team`, `admin` everywhere.
async fn open() -> Harbour {
    let public = RepositoryPolicy { anonymous_policy: vec![Action::Read], ..RepositoryPolicy::default() };
    let team = RepositoryPolicy { policies: vec![rule(&["eve"], &ALL)], ..RepositoryPolicy::default() };
    let access = AccessControl {
        repositories: vec![("public/**".to_owned(), public), ("team/**".to_owned(), team)],
        admin: rule(&["admin"], &ALL),
        ..AccessControl::default()
    };
    let auth = Options { access: Some(access), ..Options::default() };
    let accounts = [("admin", "admin"), ("eve", "secret")];
    let harbour = Harbour::open(&accounts, Registry { auth, ..at(NOW) }).await;
    for name in ["public/app", "team/app", "team/b"] {
        let path = format!("/v2/{name}/blobs/uploads/");
        assert_eq!(harbour.status(&basic("admin", "admin"), "POST", &path).await, 202);
    }
    harbour
}

/// Asks for a token as docker does.
async fn fetch_token(harbour: &Harbour, authorization: &str, query: &str) -> String {
    let page = fetch_page(harbour, authorization, query).await;
    format!("Bearer {}", page["token"].as_str().unwrap())
}

async fn fetch_page(harbour: &Harbour, authorization: &str, query: &str) -> Value {
    let answer = harbour.ask(authorization, "GET", &format!("/auth/token?service=wharfinger{query}")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.json()
}

async fn post_form(harbour: &Harbour, form: &str) -> Answer {
    let headers = [("host", HOST), ("content-type", "application/x-www-form-urlencoded")];
    ask(&harbour.client, "POST", "/auth/token", &headers, form.to_owned()).await
}

#[tokio::test]
async fn a_client_is_told_where_to_get_a_token_and_for_what() {
    let harbour = open().await;
    for (method, path, scope) in [
        ("GET", "/v2/", ""),
        ("GET", "/v2/team/app/manifests/v1", ",scope=\"repository:team/app:pull\""),
        ("HEAD", "/v2/team/app/manifests/v1", ",scope=\"repository:team/app:pull\""),
        ("POST", "/v2/public/app/blobs/uploads/", ",scope=\"repository:public/app:pull,push\""),
        (
            "POST",
            "/v2/team/app/blobs/uploads/?mount=sha256:x&from=team/b",
            ",scope=\"repository:team/app:pull,push repository:team/b:pull\"",
        ),
        ("PUT", "/v2/team/app/manifests/v1", ",scope=\"repository:team/app:pull,push\""),
        ("DELETE", "/v2/public/app/manifests/v1", ",scope=\"repository:public/app:delete\""),
    ] {
        let refused = harbour.ask("", method, path).await;
        assert_eq!(refused.status, 401, "{method} {path}");
        let expect =
            format!("Bearer realm=\"http://registry.example:5000/auth/token\",service=\"wharfinger\"{scope}");
        assert_eq!(refused.header("www-authenticate"), expect, "{method} {path}");
    }
}

/// What `docker pull` does without a login, and what it does after one.
#[tokio::test]
async fn docker_pulls_without_a_login_and_pushes_with_one() {
    let harbour = open().await;
    assert_eq!(harbour.ask("", "GET", "/v2/").await.status, 401);
    let anonymous = fetch_token(&harbour, "", "&scope=repository%3Apublic%2Fapp%3Apull").await;
    // Nothing is there, which is what who may read is told.
    assert_error(
        &harbour.ask(&anonymous, "GET", "/v2/public/app/manifests/v1").await,
        404,
        "MANIFEST_UNKNOWN",
    );
    assert_eq!(harbour.ask(&anonymous, "GET", "/v2/").await.status, 200);
    let login =
        fetch_token(&harbour, &basic("eve", "secret"), "&account=eve&client_id=docker&offline_token=true")
            .await;
    assert_eq!(harbour.ask(&login, "GET", "/v2/").await.status, 200);
    let push = fetch_token(&harbour, &basic("eve", "secret"), "&scope=repository:team/app:pull,push").await;
    assert_eq!(harbour.ask(&push, "POST", "/v2/team/app/blobs/uploads/").await.status, 202);
    // Basic goes on everywhere, and so does nothing at all where anybody may read.
    assert_eq!(harbour.ask(&basic("eve", "secret"), "POST", "/v2/team/app/blobs/uploads/").await.status, 202);
    assert_error(&harbour.ask("", "GET", "/v2/public/app/manifests/v1").await, 404, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn p10_a_token_is_worth_nothing_at_another_repository_or_verb() {
    let harbour = open().await;
    let token = fetch_token(&harbour, &basic("eve", "secret"), "&scope=repository:team/app:pull").await;
    for (method, path) in [
        ("GET", "/v2/team/b/tags/list"),
        ("POST", "/v2/team/app/blobs/uploads/"),
        ("DELETE", "/v2/team/app/manifests/v1"),
        ("GET", "/v2/_catalog"),
    ] {
        let refused = harbour.ask(&token, method, path).await;
        assert_error(&refused, 401, "UNAUTHORIZED");
        assert!(refused.header("www-authenticate").ends_with(",error=\"insufficient_scope\""), "{path}");
    }
    // A mount from where the token does not reach is an upload, as from where there is nothing.
    let digest = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let push = fetch_token(&harbour, &basic("eve", "secret"), "&scope=repository:team/app:pull,push").await;
    let path = format!("/v2/team/app/blobs/uploads/?mount={digest}&from=team/b");
    assert_eq!(harbour.ask(&push, "POST", &path).await.status, 202);
    // What the policy denies, a token for it does not give: it is issued without.
    let page =
        fetch_page(&harbour, &basic("eve", "secret"), "&scope=repository:public/app:pull,push,delete").await;
    let refused = harbour
        .ask(&format!("Bearer {}", page["token"].as_str().unwrap()), "DELETE", "/v2/public/app/manifests/v1")
        .await;
    assert_error(&refused, 403, "DENIED");
    assert!(refused.header("www-authenticate").is_empty());
}

#[tokio::test]
async fn the_list_of_repositories_has_a_scope_of_its_own() {
    let harbour = open().await;
    let token = fetch_token(&harbour, &basic("eve", "secret"), "&scope=registry:catalog:*").await;
    assert_eq!(harbour.ask(&token, "GET", "/v2/_catalog").await.status, 200);
    assert_eq!(harbour.ask("", "GET", "/v2/_catalog").await.status, 200);
    assert_error(&harbour.ask(&token, "GET", "/v2/team/app/tags/list").await, 401, "UNAUTHORIZED");
}

#[tokio::test]
async fn a_token_ends_and_says_so() {
    let harbour = open().await;
    let page = fetch_page(&harbour, &basic("eve", "secret"), "").await;
    assert_eq!(
        (&page["expires_in"], page["issued_at"].as_str()),
        (&300.into(), Some("2023-11-14T22:13:20.000Z"))
    );
    let token = format!("Bearer {}", page["access_token"].as_str().unwrap());
    assert_eq!(harbour.ask(&token, "GET", "/v2/").await.status, 200);
    harbour.clock.advance(std::time::Duration::from_secs(300));
    for token in [token.as_str(), "Bearer x.y.z", "Bearer x"] {
        let refused = harbour.ask(token, "GET", "/v2/public/app/tags/list").await;
        assert_error(&refused, 401, "UNAUTHORIZED");
        assert!(refused.header("www-authenticate").ends_with(",error=\"invalid_token\""));
    }
}

/// What containerd and oras do with a password, and what docker does with an identity token.
#[tokio::test]
async fn forms_and_refresh_tokens() {
    let harbour = open().await;
    let form = "grant_type=password&service=wharfinger&client_id=containerd-client&scope=repository%3Ateam%2Fapp%3Apull+repository%3Ateam%2Fb%3Apull&username=eve&password=secret&access_type=offline";
    let answer = post_form(&harbour, form).await;
    assert_eq!(answer.status, 200);
    let page = answer.json();
    let token = format!("Bearer {}", page["access_token"].as_str().unwrap());
    for name in ["team/app", "team/b"] {
        let answer = harbour.ask(&token, "GET", &format!("/v2/{name}/manifests/v1")).await;
        assert_error(&answer, 404, "MANIFEST_UNKNOWN");
    }
    let refresh = page["refresh_token"].as_str().unwrap().to_owned();
    let renew = format!(
        "grant_type=refresh_token&service=wharfinger&scope=repository:team/b:pull&refresh_token={refresh}"
    );
    let answer = post_form(&harbour, &renew).await;
    assert_eq!(answer.status, 200);
    let token = format!("Bearer {}", answer.json()["access_token"].as_str().unwrap());
    assert_error(&harbour.ask(&token, "GET", "/v2/team/b/manifests/v1").await, 404, "MANIFEST_UNKNOWN");
    assert_error(&harbour.ask(&format!("Bearer {refresh}"), "GET", "/v2/").await, 401, "UNAUTHORIZED");
    // A new password ends it.
    harbour.change_accounts(&[("admin", "admin"), ("eve", "another")]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let refused = loop {
        let answer = post_form(&harbour, &renew).await;
        if answer.status != 200 {
            break answer;
        }
        assert!(std::time::Instant::now() < deadline, "the file is looked at once a second");
        tokio::task::yield_now().await;
    };
    assert_error(&refused, 401, "UNAUTHORIZED");
    for (form, status, code) in [
        ("grant_type=password&username=eve&password=wrong", 401, "UNAUTHORIZED"),
        ("grant_type=password&username=nobody&password=wrong", 401, "UNAUTHORIZED"),
        ("grant_type=password", 401, "UNAUTHORIZED"),
        ("grant_type=refresh_token", 401, "UNAUTHORIZED"),
        ("grant_type=refresh_token&refresh_token=x.y.z", 401, "UNAUTHORIZED"),
        ("grant_type=authorization_code", 400, "UNSUPPORTED"),
        ("", 400, "UNSUPPORTED"),
        ("%ff", 400, "UNSUPPORTED"),
    ] {
        assert_error(&post_form(&harbour, form).await, status, code);
    }
}

#[tokio::test]
async fn a_wrong_password_gets_no_token() {
    let harbour = open().await;
    for authorization in
        [basic("eve", "wrong"), basic("nobody", "wrong"), "Bearer x".to_owned(), "Basic ?".to_owned()]
    {
        let refused = harbour.ask(&authorization, "GET", "/auth/token?service=wharfinger").await;
        assert_error(&refused, 401, "UNAUTHORIZED");
    }
    let answer = harbour.ask("", "PUT", "/auth/token").await;
    assert_error(&answer, 405, "UNSUPPORTED");
    let registry = Registry::default().open().await;
    let headers = [("host", "registry.example")];
    assert_error(&ask(&registry, "GET", "/auth/token", &headers, Body::empty()).await, 404, "UNSUPPORTED");
}

/// A host that somebody makes up is told back to nobody else, and ends no header.
#[tokio::test]
async fn a_strange_host_stays_in_its_quotes() {
    let harbour = open().await;
    for (host, expect) in
        [("evil.example", "http://evil.example/auth/token"), ("", "http://127.0.0.1/auth/token")]
    {
        let answer = ask(&harbour.client, "GET", "/v2/", &[("host", host)], Body::empty()).await;
        let expect = format!("Bearer realm=\"{expect}\",service=\"wharfinger\"");
        assert_eq!(answer.header("www-authenticate"), expect, "{host}");
    }
    for host in ["user:pass@registry.example", "a\",realm=\"b"] {
        let answer = ask(&harbour.client, "GET", "/v2/", &[("host", host)], Body::empty()).await;
        assert_error(&answer, 400, "UNSUPPORTED");
        assert!(!answer.headers.contains_key("www-authenticate"), "{host}");
    }
}
