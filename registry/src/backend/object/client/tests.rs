//! Goal: a refusal is told as one, whatever the request, and not as a server that is away: nobody asks again what
//! needs somebody to act. Method: a server that answers as the providers do, asked by the real client.

use std::collections::BTreeMap;

use bytes::Bytes;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{Bucket, BucketOptions, Client, Error, Put};
use crate::telemetry::WithCauses;

const SKEWED: &str = "<?xml version=\"1.0\"?><Error><Code>RequestTimeTooSkewed</Code>\
    <Message>The difference between the request time and the current time is too large.</Message></Error>";
const DENIED: &str =
    "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
const TOO_OLD: &str = "<?xml version=\"1.0\"?><Error><Code>AuthenticationFailed</Code><Message>Server failed \
    to authenticate the request.</Message><AuthenticationErrorDetail>Request date header too old: \
    'Thu, 01 Jan 1970 00:00:00 GMT'</AuthenticationErrorDetail></Error>";

async fn answering(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

fn client(url: &str, server: &MockServer) -> Client {
    let account: &[(&str, &str)] = match url.starts_with("s3") {
        true => &[("access_key_id", "us"), ("secret_access_key", "planted"), ("region", "here")],
        false => &[("account_name", "us"), ("account_key", "cGxhbnRlZA==")],
    };
    let mut settings: BTreeMap<String, String> =
        account.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    settings.insert("endpoint".to_owned(), server.uri());
    settings.insert("allow_http".to_owned(), "true".to_owned());
    Client::new(BucketOptions::new(url, settings).unwrap()).unwrap()
}

/// Asks for everything, and returns what each ended with.
async fn everything(client: &Client) -> Vec<(&'static str, Error)> {
    let bytes = || Bytes::from_static(b"a");
    vec![
        ("get", client.get("a", None).await.unwrap_err()),
        ("put", client.put("a", bytes(), Put::New).await.unwrap_err()),
        ("list", client.children("").await.unwrap_err()),
        ("part", client.part("a", "upload", 0, bytes()).await.unwrap_err()),
        ("remove", client.remove(vec!["a".to_owned(), "b".to_owned()]).await.unwrap_err()),
    ]
}

#[tokio::test]
async fn a_refusal_of_any_request_is_told_as_one() {
    for url in ["s3://images", "az://images"] {
        for status in [401, 403] {
            let server = answering(ResponseTemplate::new(status).set_body_string(DENIED)).await;
            for (what, error) in everything(&client(url, &server)).await {
                let told = WithCauses(&error).to_string();
                assert!(matches!(error, Error::Denied { .. }), "{url} {status} {what}: {told}");
                assert!(!told.contains("clock"), "{url} {status} {what}: {told}");
            }
            let asked = server.received_requests().await.unwrap().len();
            assert_eq!(asked, 5, "{url} {status}: nothing is asked again");
        }
    }
}

/// The whole is answered 200 or 202, and each object by itself.
#[tokio::test]
async fn a_refusal_of_one_removal_among_several_is_told_as_one() {
    let deleted = "<?xml version=\"1.0\"?><DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>b</Key>\
        <Code>AccessDenied</Code><Message>Access Denied</Message></Error></DeleteResult>";
    let of_s3 = ResponseTemplate::new(200).set_body_string(deleted);
    let part = |id: usize, status: &str| {
        format!(
            "--batch\r\nContent-Type: application/http\r\nContent-ID: {id}\r\n\r\nHTTP/1.1 {status}\r\n\
             x-ms-request-id: 1\r\n\r\n"
        )
    };
    let parts = format!("{}{}--batch--", part(0, "202 Accepted"), part(1, "403 Forbidden"));
    let of_azure = ResponseTemplate::new(202).set_body_raw(parts, "multipart/mixed; boundary=batch");
    for (url, answer) in [("s3://images", of_s3), ("az://images", of_azure)] {
        let server = answering(answer).await;
        let error = client(url, &server).remove(vec!["a".to_owned(), "b".to_owned()]).await.unwrap_err();
        let told = WithCauses(&error).to_string();
        assert!(matches!(error, Error::Denied { .. }), "{url}: {told}");
    }
}

/// Who is busy is asked again later, and tells of no right.
#[tokio::test]
async fn a_server_that_is_away_is_not_told_as_a_refusal() {
    for url in ["s3://images", "az://images"] {
        let server = answering(ResponseTemplate::new(400).set_body_string("no")).await;
        let error = client(url, &server).remove(vec!["a".to_owned()]).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{url}: {error:?}");
    }
}

#[tokio::test]
async fn a_clock_that_the_bucket_finds_wrong_is_told_as_that() {
    for (url, answer) in [("s3://images", SKEWED), ("az://images", TOO_OLD)] {
        let server = answering(ResponseTemplate::new(403).set_body_string(answer)).await;
        for (what, error) in everything(&client(url, &server)).await {
            let told = WithCauses(&error).to_string();
            assert!(matches!(error, Error::Denied { .. }), "{url} {what}: {told}");
            assert!(told.contains("this machine's clock wrong"), "{url} {what}: {told}");
            assert!(!told.contains("planted"), "{url} {what}: {told}");
        }
    }
}
