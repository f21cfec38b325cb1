//! Goal: a key that a user made does what he made it for, in the place of his password, until it ends, is revoked,
//! or his account is gone; and it makes no further keys. Method: the real dispatch, with an htpasswd file.

use axum::body::Body;
use serde_json::{Value, json};
use wharfinger::auth::options::{AccessControl, Options, RepositoryPolicy};

use super::accounts::{ALL, Harbour, NOW, at, basic, rule};
use super::exchange::{ask, assert_error};
use crate::support::Registry;

/// `eve` and `ada` may do everything below `team`, with passwords that are their names twice.
async fn open() -> Harbour {
    let team =
        RepositoryPolicy { policies: vec![rule(&["eve", "ada"], &ALL)], ..RepositoryPolicy::default() };
    let repositories = vec![("team/**".to_owned(), team)];
    let access = AccessControl { repositories, admin: rule(&["root"], &ALL), ..AccessControl::default() };
    let auth = Options { access: Some(access), api_keys: true, ..Options::default() };
    let accounts = [("eve", "eveeve"), ("ada", "adaada"), ("root", "rootroot")];
    Harbour::open(&accounts, Registry { auth, ..at(NOW) }).await
}

/// Makes a key of eve's, and returns how it is used and its name.
async fn make_key(harbour: &Harbour, wish: &Value) -> (String, String) {
    let answer = harbour.send(&basic("eve", "eveeve"), "POST", "/auth/apikey", wish.to_string()).await;
    assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (201, "no-store"), "{answer:?}");
    let page = answer.json();
    (page["apiKey"].as_str().unwrap().to_owned(), page["uuid"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn the_life_of_a_key() {
    let harbour = open().await;
    let eve = basic("eve", "eveeve");
    let wish = json!({"label": "build", "scopes": ["team/app:pull", "team/b"], "expirationDate": "2023-11-14T23:13:20Z"});
    let (key, id) = make_key(&harbour, &wish).await;
    assert!(key.starts_with("zak_"), "{key}");
    let with_key = basic("eve", &key);
    for (method, path, expect) in [
        ("GET", "/v2/", 200),
        ("GET", "/v2/team/app/manifests/v1", 404),
        ("POST", "/v2/team/app/blobs/uploads/", 401),
        ("POST", "/v2/team/b/blobs/uploads/", 202),
        ("GET", "/v2/team/other/manifests/v1", 401),
        // A key opens nothing that its user may not open.
        ("GET", "/v2/else/manifests/v1", 403),
    ] {
        assert_eq!(harbour.status(&with_key, method, path).await, expect, "{method} {path}");
    }
    // Both paths list it, without its secret, and to nobody else.
    for path in ["/auth/apikey", "/zot/auth/apikey"] {
        let listed = harbour.send(&eve, "GET", path, Body::empty()).await;
        let secret = &key["zak_".len() + 32..];
        assert!(!String::from_utf8_lossy(&listed.body).contains(secret), "P11");
        let page = json!({
            "id": id, "uuid": id, "label": "build", "scopes": ["team/app:pull", "team/b"],
            "createdAt": "2023-11-14T22:13:20.000Z", "expirationDate": "2023-11-14T23:13:20.000Z", "isExpired": false,
        });
        assert_eq!(listed.json(), json!({"apiKeys": [page]}));
    }
    let others = harbour.send(&basic("ada", "adaada"), "GET", "/auth/apikey", Body::empty()).await;
    assert_eq!(others.json(), json!({"apiKeys": []}));
    assert_eq!(
        harbour.status(&basic("ada", "adaada"), "DELETE", &format!("/auth/apikey?id={id}")).await,
        404
    );
    assert_eq!(harbour.status(&eve, "DELETE", &format!("/zot/auth/apikey?id={id}")).await, 200);
    assert_error(&harbour.send(&with_key, "GET", "/v2/", Body::empty()).await, 401, "UNAUTHORIZED");
    let gone = harbour.send(&eve, "DELETE", &format!("/auth/apikey?id={id}"), Body::empty()).await;
    assert_error(&gone, 404, "UNSUPPORTED");
}

#[tokio::test]
async fn a_key_ends_in_time_and_with_its_account() {
    let harbour = open().await;
    let (short, _) = make_key(&harbour, &json!({"expirationDate": "2023-11-14T22:14:20Z"})).await;
    let (long, _) = make_key(&harbour, &json!({"label": "long", "expirationDate": ""})).await;
    let get = async |key: &str| harbour.status(&basic("eve", key), "GET", "/v2/").await;
    assert_eq!((get(&short).await, get(&long).await), (200, 200));
    harbour.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!((get(&short).await, get(&long).await), (401, 200));
    harbour.change_accounts(&[("ada", "adaada")]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while get(&long).await != 401 {
        assert!(std::time::Instant::now() < deadline, "the file is looked at once a second");
        tokio::task::yield_now().await;
    }
    assert_eq!(harbour.status(&basic("ada", &long), "GET", "/v2/").await, 401);
}

/// What docker and containerd do with a password; with a key it ends in a token for less.
#[tokio::test]
async fn a_key_is_exchanged_for_a_token_within_its_scopes() {
    let harbour = open().await;
    let (key, _) = make_key(&harbour, &json!({"scopes": ["team/app:pull"]})).await;
    let scopes = "scope=repository:team/app:pull,push&scope=repository:team/b:pull&scope=registry:catalog:*";
    let query = format!("/auth/token?offline_token=true&{scopes}");
    let of_query = harbour.send(&basic("eve", &key), "GET", &query, Body::empty()).await;
    let form = format!("grant_type=password&access_type=offline&username=eve&password={key}&{scopes}");
    let of_form = harbour.send("", "POST", "/zot/auth/token", form).await;
    for answer in [of_query, of_form] {
        assert_eq!(answer.status, 200);
        let page = answer.json();
        // It would be good for everything, and as long as the password is.
        assert_eq!(page["refresh_token"], Value::Null);
        let token = format!("Bearer {}", page["token"].as_str().unwrap());
        for (method, path, expect) in [
            ("GET", "/v2/team/app/manifests/v1", 404),
            ("POST", "/v2/team/app/blobs/uploads/", 401),
            ("GET", "/v2/team/b/manifests/v1", 401),
            ("GET", "/v2/_catalog", 401),
        ] {
            assert_eq!(harbour.status(&token, method, path).await, expect, "{method} {path}");
        }
    }
    // Used by itself, a key sees of the list what it is for.
    assert_eq!(harbour.status(&basic("eve", &key), "GET", "/v2/_catalog").await, 200);
}

#[tokio::test]
async fn only_who_has_logged_in_himself_makes_keys() {
    let harbour = open().await;
    let (key, id) = make_key(&harbour, &json!({})).await;
    let token = harbour.send(&basic("eve", "eveeve"), "GET", "/auth/token", Body::empty()).await.json();
    let token = format!("Bearer {}", token["token"].as_str().unwrap());
    let forged =
        basic("eve", &format!("{}{}", &key[..key.len() - 1], if key.ends_with('A') { 'Q' } else { 'A' }));
    for (authorization, status, code) in [
        (basic("eve", &key), 403, "DENIED"),
        (token, 403, "DENIED"),
        (String::new(), 401, "UNAUTHORIZED"),
        (basic("eve", "wrong"), 401, "UNAUTHORIZED"),
        (forged, 401, "UNAUTHORIZED"),
    ] {
        for (method, path) in [
            ("POST", "/auth/apikey".to_owned()),
            ("GET", "/auth/apikey".to_owned()),
            ("DELETE", format!("/auth/apikey?id={id}")),
        ] {
            let refused = harbour.send(&authorization, method, &path, "{}").await;
            assert_error(&refused, status, code);
        }
    }
    assert_eq!(harbour.status(&basic("eve", &key), "GET", "/v2/").await, 200);
}

/// Before a name is given to somebody else, the keys under it have to go.
#[tokio::test]
async fn an_administrator_sees_and_revokes_the_keys_of_others_and_makes_none() {
    let harbour = open().await;
    let (key, id) = make_key(&harbour, &json!({"label": "build"})).await;
    let root = basic("root", "rootroot");
    let listed = harbour.send(&root, "GET", "/auth/apikey?user=eve", Body::empty()).await;
    assert_eq!(listed.json()["apiKeys"][0]["id"], id);
    assert_error(&harbour.send(&root, "POST", "/auth/apikey?user=eve", "{}").await, 403, "DENIED");
    let of_eve = |verb: &str| (verb.to_owned(), format!("/auth/apikey?user=eve&id={id}"));
    for (method, path) in [of_eve("GET"), of_eve("DELETE"), of_eve("POST")] {
        let refused = harbour.send(&basic("ada", "adaada"), &method, &path, "{}").await;
        assert_error(&refused, 403, "DENIED");
        assert_error(&harbour.send(&basic("eve", &key), &method, &path, "{}").await, 403, "DENIED");
        assert_error(&harbour.send("", &method, &path, "{}").await, 401, "UNAUTHORIZED");
    }
    assert_eq!(harbour.status(&basic("eve", "eveeve"), "GET", "/auth/apikey?user=eve").await, 200);
    assert_eq!(harbour.status(&basic("eve", &key), "GET", "/v2/").await, 200);
    let (method, path) = of_eve("DELETE");
    assert_eq!(harbour.status(&root, &method, &path).await, 200);
    assert_eq!(harbour.status(&basic("eve", &key), "GET", "/v2/").await, 401);
    assert_eq!(harbour.status(&root, &method, &path).await, 404);
}

#[tokio::test]
async fn wishes_that_cannot_be_met() {
    let harbour = open().await;
    let eve = basic("eve", "eveeve");
    for wish in [
        "",
        "[]",
        "{",
        r#"{"scopes": "team/*"}"#,
        r#"{"scopes": ["team/["]}"#,
        r#"{"scopes": ["a:read"]}"#,
        r#"{"label": "a\nb"}"#,
        r#"{"expirationDate": "tomorrow"}"#,
        r#"{"expirationDate": "2023-11-14T22:13:20Z"}"#,
        r#"{"label": 7}"#,
        r#"{"expirationDate": "9999-12-31T23:59:59-23:59"}"#,
        "\u{ff}",
    ] {
        assert_error(&harbour.send(&eve, "POST", "/auth/apikey", wish).await, 400, "UNSUPPORTED");
    }
    let large = format!("{{\"label\": \"{}\"}}", "x".repeat(64 * 1024));
    assert_error(&harbour.send(&eve, "POST", "/auth/apikey", large).await, 413, "SIZE_INVALID");
    assert_error(&harbour.send(&eve, "PUT", "/auth/apikey", "{}").await, 405, "UNSUPPORTED");
    for _ in 0..wharfinger::auth::API_KEYS_MAX {
        make_key(&harbour, &json!({"label": "x", "unknown": 1})).await;
    }
    assert_error(&harbour.send(&eve, "POST", "/auth/apikey", "{}").await, 403, "DENIED");
    let without = Registry::default().open().await;
    assert_error(&ask(&without, "GET", "/auth/apikey", &[], Body::empty()).await, 404, "UNSUPPORTED");
}
