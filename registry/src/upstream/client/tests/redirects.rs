//! Goal: a redirect is followed, so far and no farther, and takes no token to another origin.
//! Method: mock servers that send on to each other, behind a registry that wants a token.

use super::*;
use crate::upstream::exchange::REDIRECTS_MAX;

const BLOB_PATH: &str = "/v2/team/app/manifests/v1";

fn to(location: &str) -> ResponseTemplate {
    ResponseTemplate::new(307).insert_header("location", location)
}

/// Starts a registry that wants a token, gives it, and then answers with `response`.
async fn guarded(response: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    let challenge = format!("Bearer realm=\"{}/token\"", server.uri());
    let refusal = ResponseTemplate::new(401).insert_header("www-authenticate", challenge);
    let token = ResponseTemplate::new(200).set_body_raw(r#"{"token": "secret"}"#, "application/json");
    Mock::given(path("/token")).respond_with(token).mount(&server).await;
    Mock::given(path(BLOB_PATH))
        .and(wiremock::matchers::header_exists("authorization"))
        .respond_with(response)
        .with_priority(1)
        .mount(&server)
        .await;
    Mock::given(path(BLOB_PATH)).respond_with(refusal).mount(&server).await;
    server
}

#[tokio::test]
async fn p11_a_redirect_to_another_origin_goes_without_the_token() {
    let store = MockServer::start().await;
    let ok = ResponseTemplate::new(200).set_body_string("whole");
    Mock::given(path("/content")).respond_with(ok).mount(&store).await;
    let server = guarded(to(&format!("{}/content", store.uri()))).await;
    assert_eq!(manifest(&upstream(&server)).await.unwrap(), "whole");
    assert_eq!(authorizations(&store).await, [None]);
    assert_eq!(authorizations(&server).await, [None, None, Some("Bearer secret".to_owned())]);
}

#[tokio::test]
async fn p11_a_way_back_does_not_bring_the_token_back() {
    let store = MockServer::start().await;
    let server = guarded(to(&format!("{}/content", store.uri()))).await;
    let ok = ResponseTemplate::new(200).set_body_string("whole");
    Mock::given(path("/back")).respond_with(ok).mount(&server).await;
    let back = to(&format!("{}/back", server.uri()));
    Mock::given(path("/content")).respond_with(back).mount(&store).await;
    assert_eq!(manifest(&upstream(&server)).await.unwrap(), "whole");
    assert_eq!(authorizations(&store).await, [None]);
    let sent = authorizations(&server).await;
    assert_eq!(sent, [None, None, Some("Bearer secret".to_owned()), None]);
}

#[tokio::test]
async fn a_redirect_within_the_origin_keeps_the_token() {
    let server = guarded(to("/elsewhere?x=1")).await;
    let ok = ResponseTemplate::new(200).set_body_string("whole");
    Mock::given(path("/elsewhere")).respond_with(ok).mount(&server).await;
    assert_eq!(manifest(&upstream(&server)).await.unwrap(), "whole");
    assert_eq!(authorizations(&server).await.last().unwrap().as_deref(), Some("Bearer secret"));
}

#[tokio::test]
async fn redirects_that_lead_nowhere() {
    for (status, location) in [
        (307, Some(BLOB_PATH)),
        (302, None),
        (302, Some("file:///etc/passwd")),
        (302, Some("http://")),
        (304, None),
    ] {
        let mut response = ResponseTemplate::new(status);
        if let Some(location) = location {
            response = response.insert_header("location", location);
        }
        let server = serving(response).await;
        let error = manifest(&upstream(&server)).await.unwrap_err();
        assert!(matches!(error, Error::Wrong { reason: Wrong::Redirect, .. }), "{location:?}: {error:?}");
        let expect = if location == Some(BLOB_PATH) { 1 + REDIRECTS_MAX } else { 1 };
        assert_eq!(asked(&server, "GET", BLOB_PATH).await, expect, "{location:?}");
    }
}

#[tokio::test]
async fn redirects_of_every_kind_are_followed() {
    for status in [301, 302, 303, 307, 308] {
        let server = serving(ResponseTemplate::new(status).insert_header("location", "../../blob")).await;
        let ok = ResponseTemplate::new(200).set_body_string("whole");
        Mock::given(path("/v2/team/blob")).respond_with(ok).mount(&server).await;
        assert_eq!(manifest(&upstream(&server)).await.unwrap(), "whole", "{status}");
    }
}

#[test]
fn p10_a_redirect_leads_neither_inside_nor_away_from_tls() {
    for (base, location, leads) in [
        ("https://r.example/v2/", "https://cdn.example/x", true),
        ("https://r.example/v2/", "/x", true),
        ("https://r.example/v2/", "http://cdn.example/x", false),
        ("http://r.example/v2/", "http://cdn.example/x", true),
        ("https://r.example/v2/", "https://169.254.169.254/x", false),
        ("https://r.example/v2/", "https://10.0.0.1/x", false),
        ("https://r.example/v2/", "https://[::1]/x", false),
        ("https://r.example/v2/", "https://[::ffff:10.0.0.1]/x", false),
        ("http://r.example/v2/", "http://localhost:8080/x", false),
        ("http://127.0.0.1:5000/v2/", "http://127.0.0.1:6000/x", true),
        ("https://r.example/v2/", "file:///etc/passwd", false),
    ] {
        assert_eq!(
            crate::upstream::exchange::resolve(base, location).is_some(),
            leads,
            "{base} -> {location}"
        );
    }
}
