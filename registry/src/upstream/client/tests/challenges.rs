//! Goal: a token is fetched when one is asked for, once, from where it may be; and nothing loops.
//! Method: a registry that wants a token, its token service, and a manual clock.

use wiremock::matchers::{header, query_param};

use super::*;

const TOKEN: &str = "/token";

fn challenge(realm: &str) -> String {
    format!("Bearer realm=\"{realm}{TOKEN}\",service=\"registry.example\",scope=\"repository:team/app:pull\"")
}

/// Starts a registry that shows its manifest to who has the token, and names `realm` to others.
async fn guarded(realm: Option<&str>, token: &str) -> MockServer {
    let server = MockServer::start().await;
    let realm = realm.map_or_else(|| server.uri(), str::to_owned);
    Mock::given(path(MANIFEST))
        .and(header("authorization", format!("Bearer {token}").as_str()))
        .respond_with(ResponseTemplate::new(200).set_body_string("whole"))
        .with_priority(1)
        .mount(&server)
        .await;
    let refusal = ResponseTemplate::new(401).insert_header("www-authenticate", challenge(&realm));
    Mock::given(path(MANIFEST)).respond_with(refusal).mount(&server).await;
    server
}

async fn give(server: &MockServer, response: ResponseTemplate) {
    Mock::given(method("GET")).and(path(TOKEN)).respond_with(response).mount(server).await;
}

fn json(body: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(body, "application/json")
}

#[tokio::test]
async fn a_token_is_fetched_once_and_lives_as_long_as_it_says() {
    for (body, lives) in [
        (r#"{"token": "t", "expires_in": 300}"#, 290),
        (r#"{"access_token": "t", "expires_in": 300}"#, 290),
        (r#"{"token": "t"}"#, 50),
        (r#"{"token": "t", "expires_in": 10}"#, 0),
    ] {
        let server = guarded(None, "t").await;
        Mock::given(path(TOKEN))
            .and(query_param("service", "registry.example"))
            .and(query_param("scope", "repository:team/app:pull"))
            .respond_with(json(body))
            .mount(&server)
            .await;
        let clock = Clock::manual(Timestamp::from_millis(0));
        let upstream = upstream_with(&[server.uri()], &clock);
        let check = async |tokens| {
            assert_eq!(manifest(&upstream).await.unwrap(), "whole", "{body}");
            assert_eq!(asked(&server, "GET", TOKEN).await, tokens, "{body} at {:?}", clock.now());
        };
        check(1).await;
        if lives > 0 {
            clock.advance(Duration::from_secs(lives - 1));
            check(1).await;
            clock.advance(Duration::from_secs(1));
        }
        check(2).await;
    }
}

#[tokio::test]
async fn p11_a_token_service_elsewhere_is_not_asked() {
    let elsewhere = MockServer::start().await;
    give(&elsewhere, json(r#"{"token": "t"}"#)).await;
    // The same machine by another name: `localhost` is not the host that was configured.
    let realm = elsewhere.uri().replace("127.0.0.1", "localhost");
    let server = guarded(Some(&realm), "t").await;
    let error = manifest(&upstream(&server)).await.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
    assert_eq!(elsewhere.received_requests().await.unwrap().len(), 0);
}

#[tokio::test]
async fn p11_a_token_goes_to_the_registry_and_not_to_its_token_service() {
    let server = guarded(None, "t").await;
    give(&server, json(r#"{"token": "t", "expires_in": 1}"#)).await;
    let upstream = upstream(&server);
    for _ in 0..2 {
        manifest(&upstream).await.unwrap();
    }
    let bearer = Some("Bearer t".to_owned());
    // The second time it is known what the registry wants.
    assert_eq!(authorizations(&server).await, [None, None, bearer.clone(), None, bearer]);
}

#[tokio::test]
async fn p11_a_mirror_is_not_shown_the_token_of_another() {
    let second = guarded(None, "of the second").await;
    give(&second, json(r#"{"token": "of the second", "expires_in": 300}"#)).await;
    // The first gives a token, and does not accept it.
    let first = MockServer::start().await;
    let refusal = ResponseTemplate::new(401).insert_header("www-authenticate", challenge(&first.uri()));
    give(&first, json(r#"{"token": "of the first", "expires_in": 300}"#)).await;
    Mock::given(path(MANIFEST)).respond_with(refusal).mount(&first).await;
    let upstream = upstream_with(&[first.uri(), second.uri()], &Clock::system());
    for _ in 0..2 {
        assert_eq!(manifest(&upstream).await.unwrap(), "whole");
    }
    let own = Some("Bearer of the second".to_owned());
    assert_eq!(authorizations(&second).await, [None, None, own.clone(), own]);
}

#[tokio::test]
async fn a_token_that_is_refused_is_fetched_again_once() {
    let server = guarded(None, "another").await;
    give(&server, json(r#"{"token": "t", "expires_in": 300}"#)).await;
    let upstream = upstream(&server);
    for round in 1..=2 {
        let error = manifest(&upstream).await.unwrap_err();
        assert!(matches!(error, Error::Denied { .. }), "{error:?}");
        let counts = (asked(&server, "GET", MANIFEST).await, asked(&server, "GET", TOKEN).await);
        // The token that is known is shown first, and the same one is not shown again.
        assert_eq!(counts, (1 + round, round));
    }
}

#[tokio::test]
async fn answers_of_a_token_service() {
    for (response, expect) in [
        (json("{}"), "the upstream hub answered wrongly: its token service gave no token"),
        (json(r#"{"token": ""}"#), "the upstream hub answered wrongly: its token service gave no token"),
        (json("<html>"), "the upstream hub answered wrongly: its token service gave no token"),
        (json(&"x".repeat(65 * 1024)), "the upstream hub answered wrongly: its token service gave no token"),
        // Not "it does not have it": another upstream would then answer for a private name (P10).
        (ResponseTemplate::new(404), "the upstream hub answered wrongly: its token service gave no token"),
        (ResponseTemplate::new(401), "the upstream hub refused access"),
        (ResponseTemplate::new(403), "the upstream hub refused access"),
        (ResponseTemplate::new(429), "the upstream hub limits the rate of requests"),
        (ResponseTemplate::new(500), "the upstream hub answered with status 500"),
    ] {
        let server = guarded(None, "t").await;
        give(&server, response).await;
        let error = manifest(&upstream(&server)).await.unwrap_err();
        assert_eq!(error.to_string(), expect);
    }
}

#[tokio::test]
async fn challenges_that_cannot_be_met() {
    for value in ["Basic realm=\"x\"", "Bearer", "Bearer service=\"x\"", "Negotiate"] {
        let refusal = ResponseTemplate::new(401).insert_header("www-authenticate", value);
        let server = serving(refusal).await;
        let error = manifest(&upstream(&server)).await.unwrap_err();
        assert!(matches!(error, Error::Denied { .. }), "{value}: {error:?}");
        assert_eq!(server.received_requests().await.unwrap().len(), 1, "{value}");
    }
}
